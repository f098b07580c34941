# SPDX-License-Identifier: BSD-2-Clause
"""Runs `bantam run --flat` on a tiny guest: to its end, or beside a test that talks to it.

A guest is named as its source, "echo.long" for guests/echo.long.S, which tells the mode.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

# Seconds. Tests end far earlier, except on a machine that has better things to do.
LIMIT = 30

# Exit codes of bantam
OK, HOST, USAGE, REBOOT, PANIC, INTERNAL, QUIT = range(7)


def words(text: bytes) -> dict[str, int]:
    """What a guest printed by its macro "show": a name and a number on each line."""
    found = re.findall(rb"^([\w-]+) ([0-9a-f]{8})$", text, re.MULTILINE)
    return {name.decode(): int(number, 16) for name, number in found}


def may_look(pid: int) -> None:
    """Inside the sandbox a process is not its user's to look into."""
    if not os.access(f"/proc/{pid}/fd", os.R_OK | os.X_OK):
        pytest.skip("needs root to look at what a process has open")


class Bantam:
    """Makes command lines for one binary, and runs them."""

    def __init__(self, binary: str, guests: Path, scratch: Path) -> None:
        self.binary = binary
        self.guests = guests
        self.scratch = scratch

    def path(self, name: str) -> Path:
        return self.guests / f"{name}.bin"

    def argv(self, name: str, *options: str) -> list[str]:
        mode = name.rsplit(".", 1)[1]
        flat = ["--flat", str(self.path(name)), "--mode", mode]
        return [self.binary, "run", *flat, "-m", "16M", *options]

    def command(self, *words: str, **popen: object) -> subprocess.CompletedProcess[bytes]:
        """Any command line, to its end."""
        popen.setdefault("timeout", LIMIT)
        if "stdin" not in popen and "input" not in popen:
            popen["stdin"] = subprocess.DEVNULL
        return subprocess.run([self.binary, *words], capture_output=True, check=False, **popen)

    def run(
        self, name: str, *options: str, **popen: object
    ) -> subprocess.CompletedProcess[bytes]:
        """A guest, to its end."""
        return self.command(*self.argv(name, *options)[1:], **popen)

    def start(self, name: str, *options: str, **popen: object) -> Running:
        return Running(self.argv(name, *options), self.scratch, **popen)


class Running:
    """A guest that runs. Standard input and output are pipes unless said otherwise."""

    def __init__(self, argv: list[str], scratch: Path, **popen: object) -> None:
        popen.setdefault("stdin", subprocess.PIPE)
        popen.setdefault("stdout", subprocess.PIPE)
        self.errors = scratch / "stderr"
        self.seen = b""
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(argv, stderr=errors, bufsize=0, **popen)
        self.out = self.process.stdout.fileno() if self.process.stdout else -1

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    def stderr(self) -> str:
        return self.errors.read_text()

    def send(self, data: bytes) -> None:
        self.process.stdin.write(data)

    def read(self, limit: float) -> bytes:
        """What comes next; nothing at the end, or when nothing comes in time."""
        if not select.select([self.out], [], [], max(limit, 0))[0]:
            return b""
        try:
            data = os.read(self.out, 65536)
        except OSError:  # a terminal whose other side is gone
            data = b""
        self.seen += data
        return data

    def expect(self, text: bytes, limit: float = LIMIT) -> bytes:
        """Waits for text; takes and returns all up to its end."""
        deadline = time.monotonic() + limit
        while text not in self.seen:
            data = self.read(deadline - time.monotonic())
            assert data, f"{text!r} did not come, but {self.seen[-400:]!r}; {self.stderr()}"
        end = self.seen.index(text) + len(text)
        taken, self.seen = self.seen[:end], self.seen[end:]
        return taken

    def rest(self, limit: float = LIMIT) -> bytes:
        """All that comes until the end of output."""
        deadline = time.monotonic() + limit
        while self.read(deadline - time.monotonic()):
            pass
        return self.seen

    def wait_stderr(self, text: str, limit: float = LIMIT) -> None:
        deadline = time.monotonic() + limit
        while text not in self.stderr():
            assert time.monotonic() < deadline, f"{text!r} is not in {self.stderr()!r}"
            assert self.process.poll() is None, self.stderr()
            time.sleep(0.005)

    def terminate(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.status()

    def status(self, limit: float = LIMIT) -> int:
        """Waits for the end; the exit status, negative for a signal that killed."""
        return self.process.wait(limit)
