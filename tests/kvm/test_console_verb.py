# SPDX-License-Identifier: BSD-2-Clause
"""`bantam console`: attach to a VM's console, look on, leave, and come back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import termios
import time
from pathlib import Path

import pytest

from test_console import END, Terminal, flood, terminal
from test_control import raw, up, until, verb
from tiny import LIMIT, OK, USAGE, Bantam, Running, may_look

NO_VM = 7

__all__ = ["terminal"]


def attach(bantam: Bantam, tmp_path: Path, *words: str, **popen: object) -> Running:
    scratch = tmp_path / f"client{time.monotonic_ns()}"
    scratch.mkdir()
    return Running([bantam.binary, "console", *words], scratch, **popen)


def echo(bantam: Bantam, *options: str, **popen: object) -> Running:
    popen.setdefault("stdin", subprocess.DEVNULL)
    return bantam.start("echo.long", "--name", "web", *options, **popen)


def test_piped(bantam: Bantam, tmp_path: Path) -> None:
    """A script talks to the guest until that ends, and has its status."""
    with echo(bantam) as guest:
        up(bantam, "web")
        guest.expect(b"ready\n")
        run = bantam.command("console", "web", input=b"poweroff" + END)
        assert (run.returncode, run.stdout, run.stderr) == (OK, b"ready\npoweroff" + END, b"")
        assert guest.status() == OK
        assert guest.rest() == b"poweroff" + END


def test_exit_status(bantam: Bantam) -> None:
    """That of the VM, also when it is ended from outside."""
    with echo(bantam) as guest:
        up(bantam, "web")
        with subprocess.Popen(
            [bantam.binary, "console", "web"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as client:
            assert os.read(client.stdout.fileno(), 6) == b"ready\n"
            verb(bantam, "stop", "--force", "web")
            assert client.wait(LIMIT) == guest.status()


def test_killed_vm(bantam: Bantam, tmp_path: Path) -> None:
    with echo(bantam) as guest:
        up(bantam, "web")
        with attach(bantam, tmp_path, "web") as client:
            client.expect(b"ready\n")
            guest.process.kill()
            assert client.status() == NO_VM
            assert client.stderr() == "bantam: web: the VM has ended\n"


def test_several(bantam: Bantam, tmp_path: Path) -> None:
    """Each sees all of it, and each may write, but for one that only looks on."""
    with echo(bantam, stdin=subprocess.PIPE) as guest:
        up(bantam, "web")
        guest.expect(b"ready\n")
        with attach(bantam, tmp_path, "web") as one, attach(bantam, tmp_path, "--ro", "web") as two:
            one.expect(b"ready\n")
            two.expect(b"ready\n")
            two.send(b"not this")
            for sender, text in ((one, b"from one"), (guest, b"from stdin")):
                sender.send(text)
                for reader in (guest, one, two):
                    assert reader.expect(text) == text
            with attach(bantam, tmp_path, "--no-history", "web") as three:
                until(lambda: len(sockets(guest.pid)) > 0, "attached")
                three.send(b"!")
                assert three.expect(b"!") == b"!"
            guest.send(END)
            assert [vm.status() for vm in (guest, one, two)] == [OK, OK, OK]


def sockets(pid: int) -> list[str]:
    may_look(pid)
    links = [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    return [link for link in links if link.startswith("socket:")]


def test_left_and_taken_up(bantam: Bantam, terminal: Terminal, tmp_path: Path) -> None:
    """What was missed is shown; the terminal is as it was, whatever key was used to leave."""
    before = termios.tcgetattr(terminal.slave)
    popen = {"stdin": terminal.slave, "stdout": terminal.slave}
    with echo(bantam) as guest:
        up(bantam, "web")
        seen = b"ready\n"
        for key, text in ((b"d", b"one"), (b"x", b"two")):
            with attach(bantam, tmp_path, "web", **popen) as client:
                client.out = terminal.master
                client.expect(seen)
                client.wait_stderr("Ctrl-A d leaves")
                os.write(terminal.master, text + b"\x01?")
                client.expect(b"Ctrl-A d  leave")
                os.write(terminal.master, b"\x01" + key)
                assert client.status() == OK
            assert termios.tcgetattr(terminal.slave) == before
            seen += text
        assert guest.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_terminal_is_restored(
    bantam: Bantam, terminal: Terminal, tmp_path: Path, number: int
) -> None:
    before = termios.tcgetattr(terminal.slave)
    popen = {"stdin": terminal.slave, "stdout": terminal.slave}
    with echo(bantam) as guest:
        up(bantam, "web")
        with attach(bantam, tmp_path, "web", **popen) as client:
            client.out = terminal.master
            client.expect(b"ready\n")
            assert termios.tcgetattr(terminal.slave) != before
            assert client.terminate(number) == -number
        until(lambda: termios.tcgetattr(terminal.slave) == before, "the terminal is restored")
        assert guest.process.poll() is None


def test_reader_goes_away(bantam: Bantam) -> None:
    """`bantam console web | head -1`"""
    with echo(bantam, stdin=subprocess.PIPE) as guest:
        up(bantam, "web")
        with subprocess.Popen(
            [bantam.binary, "console", "web"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as client:
            assert os.read(client.stdout.fileno(), 6) == b"ready\n"
            client.stdout.close()
            guest.send(b"x")
            assert client.wait(LIMIT) == -signal.SIGPIPE
        guest.send(END)
        assert guest.status() == OK


def test_keys_beside(bantam: Bantam, terminal: Terminal, tmp_path: Path) -> None:
    """The reset of the guest by a key; not by one that only looks on."""
    popen = {"stdin": terminal.slave, "stdout": terminal.slave}
    with echo(bantam) as guest:
        up(bantam, "web")
        with attach(bantam, tmp_path, "--ro", "web", **popen) as client:
            client.out = terminal.master
            client.expect(b"ready\n")
            os.write(terminal.master, b"\x01r\x01p\x01b")
            client.wait_stderr("this console is read-only")
            os.write(terminal.master, b"\x01d")
            assert client.status() == OK
        with attach(bantam, tmp_path, "web", **popen) as client:
            client.out = terminal.master
            client.expect(b"ready\n")
            os.write(terminal.master, b"\x01b\x01r")
            client.expect(b"ready\n")
            os.write(terminal.master, b"\x01d")
            assert client.status() == OK
        assert guest.process.poll() is None
        assert verb(bantam, "ps", "--json").count('"boots":2') == 1


@pytest.mark.parametrize("where", ["null", "pty", "unix", "file"])
def test_any_back_end(bantam: Bantam, tmp_path: Path, where: str) -> None:
    path = tmp_path / "end"
    option = where if where in ("null", "pty") else f"{where}:{path}"
    with echo(bantam, "--serial", option) as guest:
        up(bantam, "web")
        run = bantam.command("console", "web", input=b"hello" + END)
        assert (run.returncode, run.stdout) == (OK, b"ready\nhello" + END)
        assert guest.status() == OK
    if where == "file":
        assert path.read_bytes() == b"ready\nhello" + END


def console_request(name: str, **args: object) -> tuple[socket.socket, socket.socket]:
    """A client without bantam's manners; its control connection, and its end of the console."""
    control = raw(name)
    ours, theirs = socket.socketpair()
    request = {"id": 1, "command": "console", "args": {"fd": 0, **args}}
    socket.send_fds(control, [json.dumps(request).encode() + b"\n"], [theirs.fileno()])
    theirs.close()
    return control, ours


def test_slow_client_holds_nobody(bantam: Bantam) -> None:
    """The guest writes its 96 KiB to the end although one that is attached reads nothing."""
    with bantam.start("sleep.real", "--name", "web") as guest:
        up(bantam, "web")
        guest.expect(b"asleep\n")
    with bantam.start("flood.long", "--name", "web", "--on-poweroff", "pause") as guest:
        until(lambda: "pid" in verb(bantam, "ps", "--json"), "listens")
        control, console = console_request("web")
        assert guest.expect(b"line 000017ff .\n").endswith(flood()[-1000:])
        control.close()
        console.close()
        verb(bantam, "stop", "--force", "web")


def test_hostile_clients(bantam_asan: Bantam) -> None:
    """Wrong descriptors and sizes, too many, and those that go away in the middle."""
    with echo(bantam_asan) as guest:
        up(bantam_asan, "web")
        with raw("web") as client:
            lines = client.makefile("rw")
            lines.readline()
            for args in ("{}", '{"fd": 0}', '{"fd": 7}', '{"fd": -1}', '{"fd": "x"}'):
                lines.write('{"id": 1, "command": "console", "args": %s}\n' % args)
                lines.flush()
                assert "error" in json.loads(lines.readline())
            for command in ("console-break", "console-resize"):
                for args in ("{}", '{"console": 99, "cols": 1, "rows": 1}'):
                    lines.write('{"id": 1, "command": "%s", "args": %s}\n' % (command, args))
                    lines.flush()
                    assert "error" in json.loads(lines.readline())
        with raw("web") as client, open("/dev/null", "rb") as null:
            request = b'{"id": 1, "command": "console", "args": {"fd": 0}}\n'
            socket.send_fds(client, [request], [null.fileno()])
            answers = client.makefile()
            answers.readline()
            assert "stream socket" in answers.readline()
        for args in ({"cols": 1 << 40, "rows": 1}, {"cols": 80, "rows": 65536}):
            control, console = console_request("web", **args)
            answers = control.makefile()
            answers.readline()
            assert "size" in answers.readline()
            control.close()
            console.close()
        crowd = [console_request("web") for _ in range(16)]
        for control, console in crowd:
            assert console.recv(6) == b"ready\n"
        run = bantam_asan.command("console", "web")
        assert run.returncode != OK and b"16 consoles are open" in run.stderr
        for control, console in crowd[::2]:
            control.close()
        for control, console in crowd:
            console.close()
        for control, console in crowd[1::2]:
            control.close()
        run = bantam_asan.command("console", "web", input=b"still there" + END)
        assert run.stdout.endswith(b"still there" + END)
        assert guest.status() == OK
        assert guest.stderr() == "bantam: web: the guest powered off\n"


def test_usage(command: Bantam) -> None:
    assert command.command("console").returncode == USAGE
    assert command.command("console", "a", "b").returncode == USAGE
    assert command.command("console", "no-such-vm").returncode == NO_VM
    assert b"--ro" in command.command("console", "--help").stdout
