# SPDX-License-Identifier: BSD-2-Clause
"""--events and --metrics: lines of JSON that a VM writes by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from test_control import up, until, verb
from tiny import LIMIT, OK, PANIC, USAGE, Bantam


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_events(bantam: Bantam, tmp_path: Path) -> None:
    file = tmp_path / "events"
    file.write_text('{"event": "mine"}\n')
    with bantam.start("ends.protected", "--on-panic=exit", "--events", str(file)) as guest:
        guest.expect(b"ready\n")
        guest.send(b"k")
        guest.expect(b"ready\n")
        guest.send(b"v")
        assert guest.status() == PANIC
    events = lines(file)
    # behind what was there
    assert [e["event"] for e in events] == [
        *("mine", "started", "reboot", "started", "panic", "ended")
    ]
    assert events[-1]["status"] == PANIC
    assert events[-2]["cause"] == "pvpanic"
    assert abs(events[-1]["time"] - time.time()) < LIMIT


@pytest.mark.parametrize("action", ["exit", "pause", "restart"])
def test_crash_kernel(bantam: Bantam, tmp_path: Path, action: str) -> None:
    """A guest whose crash kernel takes over goes on, whatever becomes of one that panics."""
    file = tmp_path / "events"
    argv = [f"--on-panic={action}", "--on-poweroff=exit", "--events", str(file), "--name", "web"]
    with bantam.start("ends.protected", *argv) as guest:
        up(bantam, "web")
        guest.expect(b"ready\n")
        with subprocess.Popen(
            [bantam.binary, "wait", "--json", "--event=crash-kernel", "web"],
            stdout=subprocess.PIPE,
        ) as wait:
            time.sleep(0.5)
            guest.send(b"c?")
            # it has said so, and still takes keys
            guest.expect(b"?\n")
            out = json.loads(wait.communicate(timeout=LIMIT)[0])
            assert (wait.returncode, out["event"], out["cause"]) == (OK, "crash-kernel", "pvpanic")
        guest.send(b"p")
        assert guest.status() == OK
        assert "crash kernel takes over" in guest.stderr()
    assert [e["event"] for e in lines(file)] == ["started", "crash-kernel", "poweroff", "ended"]


def test_events_to_a_descriptor(bantam: Bantam) -> None:
    """A pipe that is left as it was: whoever has the other end may read it as it likes."""
    read, write = os.pipe()
    argv = ["--on-poweroff=exit", "--events", str(write)]
    with bantam.start("ends.protected", *argv, pass_fds=[write]) as guest:
        os.close(write)
        guest.expect(b"ready\n")
        guest.send(b"p")
        assert guest.status() == OK
    with os.fdopen(read) as pipe:
        assert [json.loads(line)["event"] for line in pipe] == ["started", "poweroff", "ended"]


def test_end_by_a_signal(bantam: Bantam, tmp_path: Path) -> None:
    """Its status is the one that a shell sees."""
    file = tmp_path / "events"
    with bantam.start("spin.long", "--name", "web", "--events", str(file)) as guest:
        up(bantam, "web")
        guest.process.send_signal(signal.SIGTERM)
        guest.process.wait(LIMIT)
    assert (lines(file)[-1]["cause"], lines(file)[-1]["status"]) == ("signal", 128 + signal.SIGTERM)


def test_reader_that_goes_away(bantam: Bantam) -> None:
    read, write = os.pipe()
    with bantam.start("ends.protected", "--events", str(write), pass_fds=[write]) as guest:
        os.close(write)
        os.close(read)
        guest.expect(b"ready\n")
        guest.send(b"p")
        assert guest.status() == OK
        assert "--events: Broken pipe" in guest.stderr()


def test_reader_that_does_not_read(bantam: Bantam) -> None:
    """A full pipe does not hold up the VM; what follows what was left out is whole lines."""
    read, write = os.pipe()
    with bantam.start("spin.long", "--name", "web", "--events", str(write), pass_fds=[write]):
        up(bantam, "web")
        os.set_blocking(write, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(write, b"x" * 1023 + b"\n")
        os.set_blocking(write, True)
        for _ in range(3):
            verb(bantam, "pause", "web")
            verb(bantam, "resume", "web")
        os.set_blocking(read, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.read(read, 65536)
        os.set_blocking(read, True)
        verb(bantam, "pause", "web")
        assert json.loads(os.read(read, 65536))["event"] == "paused"
        verb(bantam, "stop", "--force", "web")
    os.close(write)
    with os.fdopen(read) as pipe:
        assert [json.loads(line)["event"] for line in pipe][-1] == "ended"


def test_metrics(bantam: Bantam, tmp_path: Path) -> None:
    file = tmp_path / "metrics"
    with bantam.start(
        "spin.long", "--name", "web", "--metrics", f"{file},interval=0.1"
    ) as guest:
        until(lambda: file.exists() and file.read_text().count("\n") >= 3, "three lines")
        verb(bantam, "stop", "--force", "web")
    figures = lines(file)
    assert all(f["name"] == "web" and f["pid"] == guest.pid for f in figures)
    assert figures[0]["cpu"] < figures[-1]["cpu"]
    assert figures[0]["memory"]["pss"] > 0
    assert figures[-1]["vcpus"][0]["exits"] is not None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--events", "/nowhere/x"], b"--events: /nowhere/x"),
        (["--events", "99"], b"--events: descriptor 99"),
        (["--events", ""], b"--events needs"),
        (["--events", "99999999999"], b"not a descriptor"),
        (["--metrics", "/nowhere/x"], b"--metrics: /nowhere/x"),
        (["--metrics", ",interval=3"], b"--metrics needs a file"),
        (["--metrics", "x,interval=0.05"], b"interval"),
        (["--metrics", "x,interval=1e9"], b"interval"),
        (["--metrics", "x,interval=99999999999999999999"], b"interval"),
        (["--metrics", "x,every=3"], b"unknown option 'every'"),
    ],
)
def test_refused(bantam: Bantam, tmp_path: Path, options: list[str], says: bytes) -> None:
    run = bantam.run("spin.long", *options, cwd=tmp_path)
    assert run.returncode == USAGE and says in run.stderr, run.stderr


@pytest.mark.parametrize("option", ["--events", "--metrics"])
@pytest.mark.parametrize("value", ["-1", "-", "--json"])
def test_what_is_no_file(bantam: Bantam, tmp_path: Path, option: str, value: str) -> None:
    """No file of that name is made."""
    run = bantam.run("spin.long", option, value, cwd=tmp_path)
    assert run.returncode == USAGE and b"is no file" in run.stderr
    assert not (tmp_path / value).exists()
