# SPDX-License-Identifier: BSD-2-Clause
"""Standard input and output of every kind, and the other places a serial port may lead to."""

from __future__ import annotations

import fcntl
import os
import pty
import random
import re
import signal
import socket
import subprocess
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiny import LIMIT, OK, QUIT, Bantam, Running

END = b"\x04"  # ends the echo guest


def some_bytes(count: int) -> bytes:
    """Any bytes but the one that ends the guest; the same ones each time."""
    return bytes(random.Random(count).choices([b for b in range(256) if b != 4], k=count))


def flood() -> bytes:
    """What guests/flood.long.S prints."""
    return b"".join(b"line %08x .\n" % i for i in range(6144))


# ---- input ------------------------------------------------------------------------------------


# What comes before the guest has cleared its FIFO is lost, as on any serial port. In a pipe or file
# all is there from the beginning, so this stands in front.
PADDING = bytes(64)


def test_input_pipe(bantam: Bantam) -> None:
    text = some_bytes(4000) + END
    result = bantam.run("echo.long", input=PADDING + text)
    assert result.stdout.removeprefix(b"ready\n").lstrip(b"\0") == text.lstrip(b"\0")
    assert result.returncode == OK


def test_input_file(bantam: Bantam, tmp_path: Path) -> None:
    text = some_bytes(4000) + END
    path = tmp_path / "input"
    path.write_bytes(PADDING + text)
    with path.open("rb") as stdin:
        result = bantam.run("echo.long", stdin=stdin)
    assert result.stdout.removeprefix(b"ready\n").lstrip(b"\0") == text.lstrip(b"\0")
    assert result.returncode == OK


@pytest.mark.parametrize("how", ["null", "closed", "pipe"])
def test_input_ends(bantam: Bantam, how: str) -> None:
    """The end of input is no end of the guest."""
    options: dict[str, object] = {"stdin": subprocess.DEVNULL}
    if how == "closed":
        options = {"stdin": None, "preexec_fn": lambda: os.close(0)}
    if how == "pipe":
        options = {"stdin": subprocess.PIPE}
    with bantam.start("sleep.real", **options) as guest:
        guest.expect(b"asleep\n")
        if guest.process.stdin:
            guest.process.stdin.close()
        assert guest.read(0.3) == b""
        assert guest.process.poll() is None
        assert guest.terminate() == -signal.SIGTERM


def test_all_descriptors_closed(bantam: Bantam) -> None:
    """Neither a file of the VM's gets their numbers, nor is anything missed."""
    argv = bantam.argv("hello.long")
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *argv], check=False, timeout=LIMIT
    )
    assert done.returncode == OK


# ---- output -----------------------------------------------------------------------------------


def test_output_file(bantam: Bantam, tmp_path: Path) -> None:
    path = tmp_path / "output"
    with path.open("wb") as stdout:
        done = subprocess.run(
            bantam.argv("flood.long"),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=LIMIT,
        )
    assert path.read_bytes() == flood()
    assert done.returncode == OK


def test_output_pipe_closed(bantam: Bantam) -> None:
    """The guest goes on without a reader, and powers off."""
    with bantam.start("flood.long") as guest:
        guest.expect(b"line 00000010")
        guest.process.stdout.close()
        assert guest.status() == OK


def narrow(guest: Running) -> None:
    """Leaves the pipe hardly any room, so that it is full soon."""
    fcntl.fcntl(guest.out, fcntl.F_SETPIPE_SZ, 4096)


def test_reader_that_pauses(bantam: Bantam) -> None:
    """More than all buffers hold is waiting meanwhile; the guest waits, nothing is lost."""
    with bantam.start("flood.long") as guest:
        narrow(guest)
        start = guest.expect(b"line 00000000")
        time.sleep(2.5)
        assert guest.process.poll() is None
        assert start + guest.rest() == flood()
        assert guest.status() == OK


def test_reader_that_is_gone_for_good(bantam: Bantam) -> None:
    """A reader that stays away costs output, never the guest."""
    with bantam.start("flood.long") as guest:
        narrow(guest)
        assert guest.status() == OK
        text = guest.rest()
    assert len(text) >= 4096
    assert text[:4096] == flood()[:4096]


def test_full_disk(bantam: Bantam) -> None:
    result = bantam.run("hello.long", "--serial", "file:/dev/full")
    assert result.returncode == OK


# ---- a terminal -------------------------------------------------------------------------------


class Terminal:
    """A pseudo-terminal; its other side stays open, so that its modes can be looked at."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self.modes = termios.tcgetattr(self.slave)

    def restored(self) -> bool:
        return termios.tcgetattr(self.slave) == self.modes

    def is_raw(self) -> bool:
        lflag = termios.tcgetattr(self.slave)[tty.LFLAG]
        return not lflag & (termios.ECHO | termios.ICANON | termios.ISIG)

    def start(self, bantam: Bantam, name: str, *options: str) -> Running:
        def own_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        guest = bantam.start(
            name,
            *options,
            stdin=self.slave,
            stdout=self.slave,
            start_new_session=True,
            preexec_fn=own_terminal,
        )
        guest.out = self.master
        return guest

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def wait_restored(self) -> bool:
        deadline = time.monotonic() + 5
        while not self.restored() and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.restored()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    it = Terminal()
    yield it
    os.close(it.master)
    os.close(it.slave)


def test_terminal(bantam: Bantam, terminal: Terminal) -> None:
    """All keys reach the guest as they are, ^C and ^Z too, and nothing else echoes them."""
    with terminal.start(bantam, "echo.long") as guest:
        guest.expect(b"ready\n")
        assert terminal.is_raw()
        for key in b"a\r\n\x03\x1a\x1c\x7f":
            terminal.type(bytes([key]))
            assert guest.expect(bytes([key])) == bytes([key])
        terminal.type(END)
        assert guest.status() == OK
    assert terminal.restored()


@pytest.mark.parametrize(
    ("name", "text"),
    [("echo.long", b"ready\n"), ("sleep.real", b"asleep\n"), ("spin.long", b"spinning\n")],
)
def test_quit(bantam: Bantam, terminal: Terminal, name: str, text: bytes) -> None:
    """Ctrl-A x, whatever the guest is at."""
    with terminal.start(bantam, name) as guest:
        guest.expect(text)
        terminal.type(b"\x01x")
        assert guest.status() == QUIT
    assert terminal.restored()


def test_quit_while_input_waits(bantam: Bantam, terminal: Terminal) -> None:
    """The guest takes no input; Ctrl-A x behind some of it is seen all the same."""
    with terminal.start(bantam, "spin.long") as guest:
        guest.expect(b"spinning\n")
        terminal.type(b"keys " * 40)
        terminal.type(b"\x01x")
        assert guest.status() == QUIT
    assert terminal.restored()


def test_escapes(bantam: Bantam, terminal: Terminal) -> None:
    """Ctrl-A a is itself, Ctrl-A ? lists, Ctrl-A r resets."""
    with terminal.start(bantam, "echo.long") as guest:
        guest.expect(b"ready\n")
        terminal.type(b"\x01a")
        assert guest.expect(b"\x01") == b"\x01"
        terminal.type(b"\x01?")
        assert b"Ctrl-A x" in guest.expect(b"list these keys")
        terminal.type(b"\x01r")
        guest.expect(b"ready\n")
        terminal.type(b"\x01x")
        assert guest.status() == QUIT


def test_quit_when_paused(bantam: Bantam, terminal: Terminal) -> None:
    """Of a guest that has stopped; Ctrl-A r starts it anew."""
    with terminal.start(bantam, "ends.protected", "--on-panic=pause") as guest:
        guest.expect(b"ready\n")
        terminal.type(b"v")
        guest.wait_stderr("paused")
        terminal.type(b"\x01r")
        guest.expect(b"ready\n")
        terminal.type(b"v")
        time.sleep(0.2)
        terminal.type(b"\x01x")
        assert guest.status() == QUIT
    assert terminal.restored()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_terminal_after_a_signal(bantam: Bantam, terminal: Terminal, number: int) -> None:
    with terminal.start(bantam, "spin.long") as guest:
        guest.expect(b"spinning\n")
        assert terminal.is_raw()
        assert guest.terminate(number) == -number
    assert terminal.wait_restored()


def test_terminal_after_an_error(bantam: Bantam, terminal: Terminal) -> None:
    with terminal.start(bantam, "internal.long") as guest:
        assert guest.status() == 5
    assert terminal.restored()


# ---- --serial ---------------------------------------------------------------------------------


def test_null(bantam: Bantam) -> None:
    result = bantam.run("hello.real", "--serial", "null")
    assert result.stdout == b""
    assert result.returncode == OK


def test_pty(bantam: Bantam) -> None:
    with bantam.start("sleep.real", "--serial", "pty") as first:
        first.wait_stderr("/dev/pts/")
        assert first.terminate() == -signal.SIGTERM
    # the guest waits for input, so nothing it says is lost before we are there
    with bantam.start("echo.long", "--serial", "pty") as guest:
        guest.wait_stderr("/dev/pts/")
        path = re.search(r"/dev/pts/\d+", guest.stderr())[0]
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        try:
            tty.setraw(fd)
            guest.out = fd
            guest.seen = b""
            os.write(fd, PADDING + b"by pty")
            guest.expect(b"by pty")
            os.write(fd, END)
            assert guest.status() == OK
        finally:
            os.close(fd)


def test_unix_socket(bantam: Bantam, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with bantam.start("echo.long", "--serial", f"unix:{path}") as guest:
        for text in (b"one client", b"and another"):
            with connect(path) as client:
                client.sendall(PADDING + text)
                guest.out = client.fileno()
                guest.expect(text)
                guest.seen = b""
        with connect(path) as client:
            client.sendall(END)
            assert guest.status() == OK
    assert not path.exists()


def connect(path: Path) -> socket.socket:
    deadline = time.monotonic() + LIMIT
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(LIMIT)
    while True:
        try:
            client.connect(str(path))
            return client
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
