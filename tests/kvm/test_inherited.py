# SPDX-License-Identifier: BSD-2-Clause
"""What whoever starts bantam leaves to it: limits, signals ignored or blocked, a timer, a umask."""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from test_pack import elf
from tiny import HOST, OK, Bantam

Prepare = Callable[[], None]


def limit(which: int, soft: int) -> Prepare:
    hard = resource.getrlimit(which)[1]
    return lambda: resource.setrlimit(which, (soft, hard))


def ignore(*numbers: int) -> Prepare:
    def prepare() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    return prepare


def test_file_size(bantam: Bantam, tmp_path: Path) -> None:
    """A file that may not grow costs output, not the guest."""
    path = tmp_path / "console"
    result = bantam.run(
        "flood.long",
        "--serial",
        f"file:{path}",
        preexec_fn=limit(resource.RLIMIT_FSIZE, 8192),
    )
    assert result.returncode == OK
    assert path.stat().st_size == 8192
    assert b"File too large" in result.stderr


def test_file_size_of_a_packed_image(command: Bantam, tmp_path: Path) -> None:
    """Other verbs fail as for a disk that is full."""
    (tmp_path / "kernel").write_bytes(elf())
    result = command.command(
        "pack",
        "-k",
        str(tmp_path / "kernel"),
        "-o",
        str(tmp_path / "image"),
        preexec_fn=limit(resource.RLIMIT_FSIZE, 0),
    )
    assert result.returncode > OK
    assert re.fullmatch(r"bantam: [^\n]+File too large\n", result.stderr.decode())


def test_queue_of_signals(bantam: Bantam) -> None:
    """vCPUs are got out of the guest although no signal can be queued."""
    with bantam.start(
        "spin.long", "-c", "4", preexec_fn=limit(resource.RLIMIT_SIGPENDING, 0)
    ) as guest:
        guest.expect(b"spinning\n")
        assert guest.terminate() == -signal.SIGTERM


def test_descriptors(bantam: Bantam, tmp_path: Path) -> None:
    """More disks than the soft limit allows descriptors."""
    disks = []
    for i in range(24):
        path = tmp_path / f"disk{i}"
        path.write_bytes(bytes(4096))
        disks += ["-d", str(path)]
    result = bantam.run("hello.long", *disks, preexec_fn=limit(resource.RLIMIT_NOFILE, 24))
    assert (result.returncode, result.stderr) == (OK, b"")


@pytest.mark.parametrize("which", [resource.RLIMIT_AS, resource.RLIMIT_NOFILE])
def test_too_little(bantam: Bantam, which: int) -> None:
    """A limit that is meant ends it with one line."""
    amount = 96 << 20 if which == resource.RLIMIT_AS else 6
    result = bantam.run(
        "hello.long", "-m", "128M", preexec_fn=lambda: resource.setrlimit(which, (amount, amount))
    )
    assert result.returncode == HOST
    assert re.fullmatch(r"bantam: [^\n]+\n", result.stderr.decode())


def test_timer(bantam: Bantam) -> None:
    """`perl -e 'alarm 1; exec ...'` is how scripts limit a program's time: it ends in order."""
    with bantam.start("spin.long", "-v", preexec_fn=lambda: signal.alarm(2)) as guest:
        guest.expect(b"spinning\n")
        assert guest.status() == -signal.SIGALRM
        assert "ended by signal" in guest.stderr()


def test_cpu_time(bantam: Bantam) -> None:
    with bantam.start("spin.long", preexec_fn=limit(resource.RLIMIT_CPU, 1)) as guest:
        assert guest.status() == -signal.SIGXCPU
        assert "ended by signal" in guest.stderr()


def test_all_blocked(bantam: Bantam) -> None:
    def block() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    with bantam.start("spin.long", preexec_fn=block) as guest:
        guest.expect(b"spinning\n")
        assert guest.terminate() == -signal.SIGTERM


def test_all_ignored(bantam: Bantam) -> None:
    """Signals that end it stay ignored, as nohup wants it; nothing else depends on any."""
    numbers = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    with bantam.start("echo.long", preexec_fn=ignore(*numbers)) as guest:
        guest.expect(b"ready\n")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
            guest.process.send_signal(number)
        guest.send(b"still here")
        guest.expect(b"still here")
        guest.send(b"\x04")
        assert guest.status() == OK


@pytest.mark.parametrize("mask", [0, 0o077])
def test_umask(bantam: Bantam, tmp_path: Path, mask: int) -> None:
    """The socket is the user's alone, and his to use."""
    path = tmp_path / "socket"
    with bantam.start(
        "sleep.real", "--serial", f"unix:{path}", preexec_fn=lambda: os.umask(mask) and None
    ) as guest:
        while not path.exists():
            assert guest.process.poll() is None
        assert path.stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            # It is there a moment before anybody listens.
            while client.connect_ex(str(path)) == errno.ECONNREFUSED:
                assert guest.process.poll() is None
            assert client.getpeername() == str(path)
