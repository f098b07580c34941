# SPDX-License-Identifier: BSD-2-Clause
"""A guest that a test talks to: `bantam run` on a pty of its own, driven by pexpect.

The test initramfs (tests/lab/guest-init) gives a busybox shell on the console with the prompt
below. Everything is bytes, because what arrives byte for byte is part of what is tested.
"""

from __future__ import annotations

import base64
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pexpect
import pytest

PROMPT = b"guest# "
ESCAPE = b"\x01"
QUIET = "quiet cryptomgr.notests"
if os.environ.get("BANTAM_IN_LAB"):
    # Emulated CPUs may stand still for long, and the kernel would say so on any console
    QUIET += " nowatchdog"
# a word for the kernel's command line: the drivers of disks, over both transports
DISK_MODULES = "bantam.modules=virtio_pci,virtio_mmio,virtio_blk"

# Limits in seconds. They only end what hangs: an emulated host is slow, and 8 virtual CPUs on
# its two are slower, and it may be busy.
BOOT = 180
COMMAND = 120
END = 120


def slow(*values: object) -> object:
    """A test's parameters that are left out by -m 'not slow': others stand for them there."""
    return pytest.param(*values, marks=pytest.mark.slow)


def job(script: str) -> str:
    """The kernel command line word that makes the guest run a script and power off."""
    return "bantam.run=" + base64.b64encode(script.encode()).decode()


class Guest:
    """One `bantam run`, from its start to its exit status."""

    def __init__(self, argv: list[str], log: BinaryIO) -> None:
        self.argv = argv
        self.child = pexpect.spawn(
            argv[0], argv[1:], timeout=COMMAND, maxread=65536, dimensions=(40, 200), echo=True
        )
        self.child.delaybeforesend = None
        self.child.logfile_read = log

    @property
    def pid(self) -> int:
        return self.child.pid

    def expect(self, pattern: bytes, timeout: float = COMMAND) -> re.Match[bytes]:
        self.child.expect(re.compile(pattern, re.DOTALL), timeout=timeout)
        return self.child.match

    def send(self, data: bytes) -> None:
        """Writes all of data at once, while what comes back is still being read elsewhere."""
        view = memoryview(data)
        while view:
            written = os.write(self.child.child_fd, view)
            view = view[written:]

    def paste(self, data: bytes) -> threading.Thread:
        """Like send, beside the caller, who has to read meanwhile."""
        writer = threading.Thread(target=self.send, args=(data,), daemon=True)
        writer.start()
        return writer

    def escape(self, key: bytes) -> None:
        self.send(ESCAPE + key)

    def shell(self, timeout: float = BOOT) -> Guest:
        """Waits for the shell; from then on nothing is echoed and the kernel is quiet.

        busybox's shell edits its lines (and echoes them itself) unless the tty is set not to
        echo, which it takes for a sign of a script.
        """
        self.child.expect_exact(PROMPT, timeout=timeout)
        self.send(b"stty -echo; dmesg -n 1; echo syn''ced\n")
        self.child.expect_exact(b"synced\r\n")
        self.child.expect_exact(PROMPT)
        return self

    def login(self, tty: bytes, timeout: float = BOOT) -> Guest:
        """Waits for Debian's login prompt on that tty, and goes on with a shell as above."""
        self.expect(rb"debian " + tty + rb"\r\n.*debian login: ", timeout=timeout)
        self.send(b"root\n")
        self.expect(rb":~# ")
        # another one than bash, which edits lines and tells the terminal about it
        self.send(b"PS1='" + PROMPT + b"' exec dash\n")
        return self.shell()

    def run(self, command: str, timeout: float = COMMAND) -> str:
        """What a command wrote, without the carriage returns that the tty adds."""
        self.begin(command)
        return self.end(timeout)

    def beside(self, script: str) -> None:
        """Starts a script that goes on beside the shell, as no child of it.

        busybox's shell, when it does not edit its lines, takes the end of a child while it waits
        at its prompt for the end of its input; it ends, and the guest powers off.
        """
        self.run(f"( ( {script} ) </dev/null & )")

    def begin(self, command: str) -> None:
        """The first half of run, for what several guests do at once."""
        self.send(command.encode() + b"\n")

    def end(self, timeout: float = COMMAND) -> str:
        self.child.expect_exact(PROMPT, timeout=timeout)
        return self.child.before.replace(b"\r\n", b"\n").decode(errors="replace")

    def watch(self, seconds: int) -> None:
        """From now on the kernel notes CPUs that have not run for so long: off in the lab."""
        self.run(f"cd /proc/sys/kernel; echo {seconds // 2} >watchdog_thresh; echo 1 >watchdog")
        assert self.run("cat soft_watchdog; cd") == "1\n"

    def status(self, timeout: float = END) -> int:
        """Waits for the end of bantam; its exit status, 128 + N if signal N ended it."""
        self.child.expect(pexpect.EOF, timeout=timeout)
        self.child.close()
        if self.child.signalstatus is not None:
            return 128 + self.child.signalstatus
        return self.child.exitstatus

    def activity(self) -> str:
        """What its threads wait for, and what KVM counts in a second: for a guest that hangs."""
        if not self.child.isalive():
            return "it has ended"
        lines = []
        for task in sorted(Path(f"/proc/{self.pid}/task").iterdir()):
            words = [(task / name).read_text().strip() for name in ("comm", "wchan", "syscall")]
            state = (task / "stat").read_text().rpartition(")")[2].split()[0]
            lines.append(" ".join([task.name, state, *words]))
        before = self._kvm_counts()
        time.sleep(1)
        after = self._kvm_counts()
        for name, count in after.items():
            lines.append(f"{name}: {count} (+{count - before.get(name, 0)})")
        return "\n".join(lines)

    def _kvm_counts(self) -> dict[str, int]:
        """KVM's own counters of this virtual machine, where debugfs is mounted."""
        counts = {}
        for path in sorted(Path("/sys/kernel/debug/kvm").glob(f"{self.pid}-*/**/*")):
            text = path.read_text().strip() if path.is_file() else ""
            if text.isdigit() and text != "0":
                counts["/".join(path.parts[6:])] = int(text)
        return counts

    def close(self) -> None:
        """Ends it in whatever state it is, and waits until it is gone."""
        if self.child.isalive():
            self.child.kill(signal.SIGKILL)
            self.child.wait()
        self.child.close()


def mapped(pid: int) -> Iterator[tuple[str, int, int]]:
    """Of each mapping of a process the file, the size and how much of it is resident, in bytes.

    As the kernel counts pages: those that it shares with other processes, too.
    """
    name, size = "", 0
    with open(f"/proc/{pid}/smaps", encoding="ascii") as smaps:
        for line in smaps:
            words = line.split()
            if "-" in words[0]:
                name = words[5] if len(words) > 5 else "anonymous"
            elif words[0] == "Size:":
                size = int(words[1]) * 1024
            elif words[0] == "Rss:":
                yield name, size, int(words[1]) * 1024


def rss(pid: int, ram: int) -> tuple[int, int]:
    """Resident bytes of the guest's RAM, one mapping of that many bytes, and of the rest."""
    found = list(mapped(pid))
    inside = next((resident for _, size, resident in found if size == ram), None)
    if inside is None:
        raise ValueError(f"no mapping of {ram} bytes")
    return inside, sum(resident for _, _, resident in found) - inside


def mappings(pid: int) -> str:
    """Resident KiB of each mapping that has 64 or more: for a test that finds them too many."""
    lines = [f"{resident // 1024} {name}" for name, _, resident in mapped(pid)]
    return "\n".join(line for line in lines if int(line.split()[0]) >= 64)
