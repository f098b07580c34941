# SPDX-License-Identifier: BSD-2-Clause
"""The verbs that reach a running VM: ps, stop, reset, pause, resume, wait, events."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tiny import LIMIT, OK, PANIC, QUIT, REBOOT, USAGE, Bantam, Running

NO_VM, FORCED = 7, 8


def until(condition, what: str, limit: float = LIMIT) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.01)


def listed(bantam: Bantam) -> dict[str, dict]:
    run = bantam.command("ps", "--json")
    assert run.returncode == OK, run.stderr
    return {vm["name"]: vm for vm in map(json.loads, run.stdout.splitlines())}


def up(bantam: Bantam, name: str) -> dict:
    """Waits until the VM can be reached."""
    until(lambda: "pid" in listed(bantam).get(name, {}), f"{name} listens")
    return listed(bantam)[name]


def verb(bantam: Bantam, *words: str) -> str:
    run = bantam.command(*words)
    assert run.returncode == OK, (words, run.stderr)
    return run.stdout.decode()


def raw(name: str, limit: float = LIMIT) -> socket.socket:
    """A client without bantam's manners."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(limit)
    client.connect(str(Path(os.environ["XDG_RUNTIME_DIR"]) / "bantam" / f"{name}.sock"))
    return client


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_life(bantam: Bantam) -> None:
    with bantam.start("spin.long", "--name", "web") as guest:
        status = up(bantam, "web")
        assert status["pid"] == guest.pid
        assert status["state"] == "running"
        assert status["cpus"] == 1 and status["memory"] == 16 << 20
        assert verb(bantam, "ps", "--quiet") == "web\n"
        assert "web" in verb(bantam, "ps")

        verb(bantam, "pause", "web")
        verb(bantam, "pause", "web")
        assert listed(bantam)["web"]["state"] == "paused"
        before = cpu_seconds(guest.pid)
        time.sleep(1)
        assert cpu_seconds(guest.pid) - before < 0.5
        verb(bantam, "resume", "web")
        verb(bantam, "resume", "--catch-up", "web")
        assert listed(bantam)["web"]["state"] == "running"
        until(lambda: cpu_seconds(guest.pid) - before > 0.5, "the guest goes on")

        run = bantam.command("stop", "--timeout", "0.1", "web")
        assert run.returncode == FORCED
        assert b"did not power off" in run.stderr
        # When stop has ended, so has the VM's process, but for being waited for.
        assert listed(bantam) == {}
        assert guest.status() == QUIT


def test_stop_by_force(bantam: Bantam) -> None:
    with bantam.start("spin.long", "--name", "web") as guest:
        up(bantam, "web")
        answer = json.loads(verb(bantam, "stop", "--force", "--json", "web"))
        assert answer["name"] == "web" and answer["forced"]
        assert answer["event"] == "ended" and answer["status"] == QUIT
        assert guest.status() == QUIT


def test_stop_of_one_that_is_paused(bantam: Bantam) -> None:
    with bantam.start("spin.long", "--name", "web") as guest:
        up(bantam, "web")
        verb(bantam, "pause", "web")
        assert bantam.command("stop", "-t", "0.1", "web").returncode == FORCED
        assert guest.status() == QUIT


@pytest.mark.parametrize(
    ("key", "option", "event", "status"),
    [
        (b"p", "--on-poweroff=exit", "poweroff", OK),
        (b"v", "--on-panic=exit", "panic", PANIC),
        (b"t", "--on-panic=exit", "crash", PANIC),
        (b"k", "--on-reboot=exit", "reboot", REBOOT),
    ],
)
def test_wait_and_events(
    bantam: Bantam, key: bytes, option: str, event: str, status: int
) -> None:
    with bantam.start("ends.protected", option, "--name", "web") as guest:
        up(bantam, "web")
        waits = [
            subprocess.Popen([bantam.binary, *words], stdout=subprocess.PIPE)
            for words in (
                ["wait", "web"],
                ["wait", "--json", "--event", event, "web"],
                ["events", "--json", "web"],
            )
        ]
        # All three are connected and have asked.
        time.sleep(0.5)
        guest.expect(b"ready\n")
        guest.send(key)
        assert guest.status() == status
        out = [wait.communicate(timeout=LIMIT)[0] for wait in waits]
        assert [wait.returncode for wait in waits] == [status, OK, OK]
        assert json.loads(out[1])["event"] == event
        events = [json.loads(line) for line in out[2].splitlines()]
        assert [e["event"] for e in events] == [event, "ended"]
        assert events[-1]["status"] == status
        assert abs(events[-1]["time"] - time.time()) < LIMIT


def test_causes(bantam: Bantam) -> None:
    """What a person asked for is told as such, and the end with its status, for people too."""
    with bantam.start("ends.protected", "--on-panic=pause", "--name", "web") as guest:
        up(bantam, "web")
        guest.expect(b"ready\n")
        argv = [bantam.binary, "events", "web"]
        events = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        try:
            while not select.select([events.stdout], [], [], 0.2)[0]:
                verb(bantam, "pause", "web")
                verb(bantam, "resume", "web")
            verb(bantam, "reset", "web")
            guest.expect(b"ready\n")
            guest.send(b"v")
            until(lambda: listed(bantam)["web"]["state"] == "paused", "it pauses")
            verb(bantam, "reset", "web")
            guest.expect(b"ready\n")
            verb(bantam, "stop", "--force", "web")
            told = [line.split(" ", 2)[2] for line in events.communicate()[0].splitlines()]
        finally:
            events.kill()
            events.wait()
    assert set(told[:-7]) == {"paused: command", "resumed: command"}
    assert told[-7:] == [
        "reboot: command",
        "started",
        "panic: pvpanic",
        "paused: panic",
        "reboot: command",
        "started",
        f"ended: quit (exit status {QUIT})",
    ]


def test_wait_gives_up(bantam: Bantam) -> None:
    with bantam.start("spin.long", "--name", "web"):
        up(bantam, "web")
        run = bantam.command("wait", "--timeout", "2.5", "web")
        assert run.returncode == FORCED
        assert run.stderr == b"bantam: web: it has not ended within 2.5 s\n"
        run = bantam.command("wait", "--timeout", "2.5", "--event", "panic", "web")
        assert run.returncode == FORCED
        assert run.stderr == b"bantam: web: no event 'panic' within 2.5 s\n"
        run = bantam.command("wait", "--event", "tea", "web")
        assert run.returncode == USAGE
        assert b"there is no event called 'tea'" in run.stderr


def test_reset(bantam: Bantam) -> None:
    with bantam.start("ends.protected", "--name", "web") as guest:
        up(bantam, "web")
        guest.expect(b"ready\n")
        verb(bantam, "reset", "web")
        guest.expect(b"ready\n")
        until(lambda: listed(bantam)["web"].get("boots") == 2, "a second boot")


def test_paused_by_its_end(bantam: Bantam) -> None:
    """A guest that panics under --on-panic pause can be looked at, and goes on."""
    with bantam.start("ends.protected", "--on-panic=pause", "--name", "web") as guest:
        up(bantam, "web")
        guest.expect(b"ready\n")
        guest.send(b"v")
        until(lambda: listed(bantam)["web"]["state"] == "paused", "it pauses")
        verb(bantam, "resume", "web")
        assert listed(bantam)["web"]["state"] == "running"
        verb(bantam, "reset", "web")
        guest.expect(b"ready\n")
        assert bantam.command("stop", "--timeout", "0.1", "web").returncode == FORCED
        assert guest.status() == QUIT


def test_one_name(bantam: Bantam) -> None:
    with bantam.start("spin.long", "--name", "web") as guest:
        up(bantam, "web")
        run = bantam.run("spin.long", "--name", "web")
        assert run.returncode == USAGE
        assert b"a VM called web is running" in run.stderr
        # The first one is none the worse.
        verb(bantam, "pause", "web")
        guest.process.kill()
        guest.status()
        assert listed(bantam) == {}
        assert bantam.command("stop", "web").returncode == NO_VM
    with bantam.start("spin.long", "--name", "web"):
        up(bantam, "web")


def in_run_dir(name: str) -> Path:
    return Path(os.environ["XDG_RUNTIME_DIR"]) / "bantam" / name


def test_locks_removed(bantam: Bantam) -> None:
    """The name stays the VM's, which can be reached."""
    with bantam.start("spin.long", "--name", "web") as guest:
        up(bantam, "web")
        in_run_dir("locks").unlink()
        assert verb(bantam, "ps", "-q") == "web\n"
        with bantam.start("spin.long", "--name", "db"):
            up(bantam, "db")
            assert verb(bantam, "ps", "-q") == "db\nweb\n"
            run = bantam.run("spin.long", "--name", "web")
            assert run.returncode == USAGE
            assert b"a VM called web is running, though" in run.stderr
        assert bantam.command("stop", "--force", "web").returncode == OK
        assert guest.status() == QUIT


def test_socket_removed(bantam: Bantam) -> None:
    """It is said which process is meant, and what ends it."""
    with bantam.start("spin.long", "--name", "web") as guest:
        up(bantam, "web")
        in_run_dir("web.sock").unlink()
        run = bantam.command("stop", "web")
        assert run.returncode == NO_VM
        assert b"web: its process %d does not listen" % guest.pid in run.stderr
        assert b"web.sock was removed, and `kill %d` ends the VM" % guest.pid in run.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_directory_of_others(bantam: Bantam) -> None:
    """Where it may be anybody's, no verb trusts what is in it."""
    directory = Path("/tmp/bantam-65533")
    directory.mkdir()
    directory.chmod(0o777)
    environment = {k: v for k, v in os.environ.items() if k != "XDG_RUNTIME_DIR"}
    try:
        for words in (["ps"], ["top"], ["stat", "web"], ["stop", "web"]):
            run = bantam.command(*words, user=65533, env=environment)
            assert run.returncode == NO_VM, (words, run)
            assert b"is not a directory of this user only" in run.stderr
    finally:
        directory.rmdir()


def test_no_such_vm(bantam: Bantam) -> None:
    for words in (["stop", "web"], ["pause", "web"], ["wait", "web"], ["events", "web"]):
        run = bantam.command(*words)
        assert run.returncode == NO_VM
        assert run.stderr == b"bantam: no VM called web is running (`bantam ps` lists them)\n"
    assert bantam.command("stop").returncode == USAGE
    assert bantam.command("stop", "a/b").returncode == USAGE
    assert bantam.command("stop", "--timeout", "soon", "web").returncode == USAGE
    assert verb(bantam, "ps") == ""


def test_clients_without_manners(bantam: Bantam) -> None:
    """One that hangs up in the middle, one that sends without end, one that reads nothing."""
    with bantam.start("spin.long", "--name", "web"):
        up(bantam, "web")
        for command in ("status", "stop", "reset", "wait", "events", "pause", "resume"):
            client = raw("web")
            client.sendall(b'{"id": 1, "command": "%s"}\n' % command.encode())
            client.close()
        endless = raw("web")
        endless.settimeout(LIMIT)
        with pytest.raises(OSError):
            for _ in range(1000):
                endless.sendall(b"x" * 4096)
        silent = raw("web")
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                silent.send(b'{"id": 1, "command": "status"}\n')
        assert listed(bantam)["web"]["state"] == "running"
        silent.close()
        endless.close()


def test_idle_clients(bantam: Bantam) -> None:
    """As many as there are places say nothing, and lock nobody out."""
    with bantam.start("spin.long", "--name", "web") as guest:
        up(bantam, "web")
        idle = [raw("web") for _ in range(40)]
        assert up(bantam, "web")["pid"] == guest.pid
        assert bantam.command("stop", "--force", "web").returncode == OK
        assert b"this one was idle" in idle[0].recv(4096) + idle[0].recv(4096)
        for client in idle:
            client.close()
        assert guest.status() == QUIT


def test_a_hundred(bantam: Bantam) -> None:
    """Started, listed, paused, resumed, stopped and killed."""
    names = [f"vm-{i}" for i in range(100)]
    guests = [
        Running([*bantam.argv("sleep.real"), "--name", name], bantam.scratch) for name in names
    ]
    try:
        until(lambda: sum("pid" in vm for vm in listed(bantam).values()) == 100, "all run")
        for words in (["pause"], ["resume"]):
            for part in (names[:50], names[50:]):
                verb(bantam, *words, *part)
            states = {vm["state"] for vm in listed(bantam).values()}
            assert states == {"paused" if words == ["pause"] else "running"}
        for guest in guests[:20]:
            guest.process.kill()
            guest.status()
        assert len(listed(bantam)) == 80
        verb(bantam, "stop", "--force", *names[20:60])
        assert len(listed(bantam)) == 40
    finally:
        for guest in guests:
            guest.__exit__()
    assert listed(bantam) == {}
