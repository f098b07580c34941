# SPDX-License-Identifier: BSD-2-Clause
"""What `--sandbox log` would have denied is in the kernel's log. The sanitizers' builds run so, and
the lists must have all that Bantam itself calls there. Where that log cannot be read, or the kernel
has left lines out, as it does when there are many, nothing can be said."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inject import Thread
from test_control import up, verb
from tiny import OK, Bantam

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="for x86-64"),
]

CHROOT = 161
# The socket goes by its path, as no directory is kept open for it
UNLINKAT = 263
# sigaltstack, clone, prctl, sched_getaffinity: by the sanitizers, when a thread or the process ends
SANITIZERS = {131, 56, 157, 204}


class KernelLog:
    """From now on."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.text = ""
        os.lseek(fd, 0, os.SEEK_END)

    def denied(self, pid: int) -> set[int]:
        while True:
            try:
                self.text += os.read(self.fd, 8192).decode(errors="replace")
            except BlockingIOError:
                break
            except BrokenPipeError:  # some were overwritten
                continue
        lines = re.findall(r"type=1326 .* pid=(\d+) .* syscall=(\d+) ", self.text)
        return {int(call) for process, call in lines if int(process) == pid}

    def wait(self, pid: int, calls: set[int]) -> set[int]:
        """All that are there by the time that there is one of these."""
        deadline = time.monotonic() + 5
        while not calls & self.denied(pid):
            if time.monotonic() > deadline:
                pytest.skip("the kernel's log does not say")
            time.sleep(0.01)
        return self.denied(pid)


@pytest.fixture
def kernel_log() -> Iterator[KernelLog]:
    try:
        fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"/dev/kmsg: {error.strerror}")
    try:
        yield KernelLog(fd)
    finally:
        os.close(fd)


def test_names_what_it_would_deny(bantam: Bantam, kernel_log: KernelLog) -> None:
    with bantam.start("echo.long", "--sandbox", "log") as running:
        running.expect(b"ready\n")
        with Thread(running.pid, running.pid) as thread:
            assert thread.call(CHROOT, b"/") == 0
        running.send(b"still here\n")
        running.expect(b"still here")
        assert kernel_log.wait(running.pid, {CHROOT}) - {UNLINKAT} == {CHROOT}


def test_sanitizers_build(bantam_asan: Bantam, kernel_log: KernelLog, tmp_path: Path) -> None:
    """Its own calls are in the lists, from the first one to the last."""
    usual = SANITIZERS | {UNLINKAT}
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    devices = ["-d", str(tmp_path / "disk"), "-c", "2", "-n", "user"]
    with bantam_asan.start("echo.long", "--name", "logged", *devices) as running:
        running.expect(b"ready\n")
        up(bantam_asan, "logged")
        verb(bantam_asan, "pause", "logged")
        verb(bantam_asan, "resume", "logged")
        verb(bantam_asan, "stop", "--force", "logged")
        assert running.status() != OK
        assert kernel_log.wait(running.pid, usual) <= usual
