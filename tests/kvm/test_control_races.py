# SPDX-License-Identifier: BSD-2-Clause
"""Commands that meet: with each other, with the guest's own end, with a host that has no more."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from test_control import FORCED, listed, raw, until, up, verb
from tiny import HOST, LIMIT, OK, PANIC, QUIT, Bantam, Running, may_look


def told(client: socket.socket) -> list[dict]:
    """All that comes until the VM hangs up, but the greeting."""
    data = b""
    while part := client.recv(65536):
        data += part
    return [json.loads(line) for line in data.splitlines()][1:]


def line(number: int, command: str, padding: int = 0, **args: object) -> bytes:
    text = json.dumps({"command": command, "args": args})
    return b'{"id": %d,' % number + b" " * padding + text[1:].encode() + b"\n"


def reset_and(name: str, command: str, **args: object) -> socket.socket:
    """A reset, and another command that is read when the guest has been stopped for it.

    The line is longer than what is read at once.
    """
    client = raw(name)
    client.sendall(line(1, "reset") + line(2, command, padding=8000, **args))
    return client


def paused_by_end(bantam: Bantam, guest: Running) -> None:
    up(bantam, "web")
    guest.expect(b"ready\n")
    guest.send(b"v")
    until(lambda: listed(bantam)["web"]["state"] == "paused", "it pauses")


def test_who_stops_counts_more_than_who_resets(bantam: Bantam) -> None:
    with bantam.start("ends.protected", "--on-panic=pause", "--name", "web") as guest:
        paused_by_end(bantam, guest)
        answers = told(reset_and("web", "stop", force=True))
        assert [answer["id"] for answer in answers] == [1, 2]
        assert answers[1]["result"]["status"] == QUIT
        assert guest.status() == QUIT


def test_resume_of_one_that_is_reset(bantam: Bantam, tmp_path: Path) -> None:
    """A guest that has come to its end must not run while it is looked at for what follows."""
    kernel = tmp_path / "kernel"
    kernel.write_bytes(spinning_kernel())
    argv = [bantam.binary, "run", "-k", str(kernel), "-m", "16M", "--name", "web"]
    with Running(argv, bantam.scratch) as guest:
        up(bantam, "web")
        verb(bantam, "pause", "web")
        client = reset_and("web", "resume")
        until(lambda: listed(bantam)["web"].get("boots") == 2, "the second boot")
        verb(bantam, "stop", "--force", "web")
        answers = told(client)
        assert answers[1]["error"]["code"] == "EBUSY"
        assert guest.status() == QUIT


def spinning_kernel() -> bytes:
    """An ELF kernel of one instruction, entered as Linux is."""
    head = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\2\1\1", 2, 62, 1, 0x100000, 64, 0, 0, 64, 56, 1, 0, 0, 0,
    )  # fmt: skip
    head += struct.pack("<IIQQQQQQ", 1, 7, 0x1000, 0x100000, 0x100000, 2, 2, 0x1000)
    return head.ljust(0x1000, b"\0") + b"\xeb\xfe"


def test_pause_of_one_that_reboots(bantam: Bantam) -> None:
    """It is in the middle of a reboot almost always; paused is paused."""
    with bantam.start("reboot.real", "--name", "web", stdout=-3) as guest:
        up(bantam, "web")
        for _ in range(30):
            verb(bantam, "pause", "web")
            before = listed(bantam)["web"]
            after = listed(bantam)["web"]
            assert before["state"] == after["state"] == "paused"
            assert before["boots"] == after["boots"]
            verb(bantam, "resume", "web")
        assert bantam.command("stop", "--force", "web").returncode == OK
        assert guest.status() == QUIT


def test_one_of_two_that_stop_goes_away(bantam: Bantam) -> None:
    with bantam.start("ends.protected", "--on-poweroff=restart", "--name", "web") as guest:
        up(bantam, "web")
        guest.expect(b"ready\n")
        stays = raw("web")
        stays.sendall(line(1, "stop", timeout=0))
        goes = raw("web")
        goes.sendall(line(1, "stop") + line(2, "status"))
        while b'"pid"' not in goes.recv(65536):
            pass
        goes.close()
        until(lambda: open_sockets(guest) == 2, "the VM has seen that it went")
        guest.send(b"p")
        assert guest.status() == OK
        assert told(stays)[0]["result"]["cause"] == "poweroff"


def open_sockets(guest: Running) -> int:
    may_look(guest.pid)
    links = [os.readlink(fd) for fd in Path(f"/proc/{guest.pid}/fd").iterdir()]
    return sum(link.startswith("socket:") for link in links)


def test_none_that_stops_is_left(bantam: Bantam) -> None:
    """Then --on-poweroff counts again."""
    with bantam.start("ends.protected", "--on-poweroff=restart", "--name", "web") as guest:
        up(bantam, "web")
        guest.expect(b"ready\n")
        client = raw("web")
        client.sendall(line(1, "stop") + line(2, "status"))
        while b'"pid"' not in client.recv(65536):
            pass
        client.close()
        until(lambda: open_sockets(guest) == 1, "the VM has seen that it went")
        guest.send(b"p")
        guest.expect(b"ready\n")


def test_two_that_stop_and_one_has_no_patience(bantam: Bantam) -> None:
    """Both are told that force was used."""
    with bantam.start("spin.long", "--name", "web") as guest:
        up(bantam, "web")
        first, second = raw("web"), raw("web")
        first.sendall(line(1, "stop", timeout=0))
        second.sendall(line(1, "stop", timeout=100))
        assert [told(c)[0]["result"]["forced"] for c in (first, second)] == [True, True]
        assert guest.status() == QUIT


def test_stop_of_one_paused_by_its_end(bantam: Bantam) -> None:
    with bantam.start("ends.protected", "--on-panic=pause", "--name", "web") as guest:
        paused_by_end(bantam, guest)
        run = bantam.command("stop", "web")
        assert (run.returncode, run.stderr) == (OK, b"")
        assert guest.status() == QUIT


def test_stop_says_what_else_the_guest_did(bantam: Bantam) -> None:
    with bantam.start("ends.protected", "--on-panic=restart", "--name", "web") as guest:
        up(bantam, "web")
        guest.expect(b"ready\n")
        client = raw("web")
        client.sendall(line(1, "stop", timeout=0))
        until(lambda: open_sockets(guest) == 2, "it is connected")
        verb(bantam, "ps")
        guest.send(b"v")
        assert guest.status() == PANIC
        assert told(client)[0]["result"]["cause"] == "panic"


def test_no_thread_to_resume_with(bantam: Bantam) -> None:
    """It stays paused, and goes on when there is one."""
    # Root has no such limit, but a process that root starts in the name of a user does; with its
    # vCPU it is all that this user may have. A user namespace of his would be counted as root's.
    other = ["setpriv", "--ruid", "61234", "--bounding-set=-sys_resource,-sys_admin"]
    if os.geteuid() or not shutil.which(other[0]):
        pytest.skip("needs root, and setpriv")
    if subprocess.run([*other, "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no other user's processes here")
    argv = [*other, "prlimit", "--nproc=2", *bantam.argv("spin.long", "--name", "web")]
    argv += ["--sandbox", "off"]
    with Running(argv, bantam.scratch) as guest:
        up(bantam, "web")
        verb(bantam, "pause", "web")
        with subprocess.Popen([*other, "sleep", "1000"]) as sleeper:
            until(lambda: "Uid:\t61234\t0" in status(sleeper.pid), "it is that user's")
            run = bantam.command("resume", "web")
            state = listed(bantam)["web"]["state"]
            sleeper.kill()
        assert run.returncode == HOST and b"a thread for vCPU 0" in run.stderr
        assert state == "paused"
        verb(bantam, "resume", "web")
        assert listed(bantam)["web"]["state"] == "running"
        assert bantam.command("stop", "-t", "0.1", "web").returncode == FORCED
        assert guest.status() == QUIT


def status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def test_the_next_one_may_come(bantam: Bantam, tmp_path: Path) -> None:
    """What a VM had is free when `bantam stop` has ended: its name and its disks."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    for _ in range(20):
        with bantam.start("spin.long", "--name", "web", "-d", str(disk)) as guest:
            up(bantam, "web")
            verb(bantam, "stop", "--force", "web")
            with bantam.start("spin.long", "--name", "web", "-d", str(disk)) as second:
                up(bantam, "web")
                second.terminate(signal.SIGKILL)
            assert guest.status(LIMIT) == QUIT
