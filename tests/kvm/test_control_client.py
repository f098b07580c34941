# SPDX-License-Identifier: BSD-2-Clause
"""The verbs beside VMs that do not answer, and before an output that takes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from test_control import FORCED, listed, raw, until, up, verb
from tiny import HOST, LIMIT, OK, USAGE, Bantam


def stop_process(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    until(lambda: "\nState:\tT" in Path(f"/proc/{pid}/status").read_text(), "it is stopped")


def test_a_vm_that_hangs(bantam: Bantam) -> None:
    with bantam.start("spin.long", "--name", "web") as guest:
        up(bantam, "web")
        stop_process(guest.pid)
        try:
            assert listed(bantam) == {"web": {"name": "web", "state": "busy"}}
            assert verb(bantam, "ps").splitlines()[1].split() == ["web", "-", "busy", *"---"]
            run = bantam.command("wait", "--timeout", "0.2", "web")
            assert run.returncode == FORCED
            assert run.stderr.startswith(b"bantam: web: no answer in time: its process")
            # And where connections queue up that nobody takes.
            waiting = []
            with pytest.raises(OSError):
                while True:
                    waiting.append(raw("web", 0.1))
            assert listed(bantam) == {"web": {"name": "web", "state": "busy"}}
            run = bantam.command("wait", "--timeout", "0.2", "web")
            assert (run.returncode, run.stderr) == (FORCED, b"bantam: web: no answer in time\n")
            for client in waiting:
                client.close()
        finally:
            os.kill(guest.pid, signal.SIGCONT)
        assert "pid" in up(bantam, "web")


@pytest.mark.parametrize("words", [["pause"], ["resume"], ["reset"], ["stop", "--force"]])
def test_verbs_to_a_vm_that_hangs(bantam: Bantam, words: list[str]) -> None:
    """Its process is stopped: that is said after a while, instead of waiting for ever."""
    with bantam.start("spin.long", "--name", "web") as guest:
        up(bantam, "web")
        stop_process(guest.pid)
        try:
            run = bantam.command(*words, "web")
            assert run.returncode == FORCED
            assert b"web: no answer in time: its process %d is stopped" % guest.pid in run.stderr
        finally:
            os.kill(guest.pid, signal.SIGCONT)
        assert up(bantam, "web")["state"] == "running"


def test_wait_for_a_vm_that_hangs(bantam: Bantam) -> None:
    """Without a time-out, too, it is said after a while."""
    with bantam.start("spin.long", "--name", "web") as guest:
        up(bantam, "web")
        stop_process(guest.pid)
        try:
            run = bantam.command("wait", "web")
            assert run.returncode == FORCED
            assert b"its process %d is stopped" % guest.pid in run.stderr
        finally:
            os.kill(guest.pid, signal.SIGCONT)


def test_a_vm_that_hangs_later(bantam: Bantam) -> None:
    """It has taken the command, and cannot come to its end."""
    with bantam.start("spin.long", "--name", "web") as guest:
        up(bantam, "web")
        argv = [bantam.binary, "stop", "--timeout", "3", "web"]
        with subprocess.Popen(argv, stderr=subprocess.PIPE) as stop:
            time.sleep(1)
            stop_process(guest.pid)
            try:
                error = stop.communicate(timeout=2 * LIMIT)[1]
                assert stop.returncode == FORCED and b"is stopped" in error
            finally:
                os.kill(guest.pid, signal.SIGCONT)


def test_output_that_takes_nothing(bantam: Bantam) -> None:
    failed = b"bantam: standard output cannot be written\n"
    with Path("/dev/full").open("w") as full, bantam.start("spin.long", "--name", "web") as guest:
        up(bantam, "web")

        def run(*words: str) -> tuple[int, bytes]:
            result = subprocess.run(
                [bantam.binary, *words],
                stdout=full, stderr=subprocess.PIPE, timeout=LIMIT, check=False,
            )  # fmt: skip
            return result.returncode, result.stderr

        for words in (["ps"], ["ps", "-q"], ["ps", "--json"], ["help"], ["version"]):
            assert run(*words) == (HOST, failed), words
        # It ends with the first event that it cannot print.
        events = subprocess.Popen(
            [bantam.binary, "events", "web"], stdout=full, stderr=subprocess.PIPE
        )
        deadline = time.monotonic() + LIMIT
        while events.poll() is None:
            assert time.monotonic() < deadline
            verb(bantam, "pause", "web")
            verb(bantam, "resume", "web")
        assert (events.returncode, events.communicate()[1]) == (HOST, failed)
        assert run("stop", "--force", "--json", "web") == (HOST, failed)
        assert guest.status() != OK


def test_an_event_that_is_no_text(bantam: Bantam) -> None:
    with bantam.start("spin.long", "--name", "web"):
        up(bantam, "web")
        for event in (b"\xff", b"x" * 63 + "ä".encode()):
            run = bantam.command("wait", "-t", "5", "--event", event, "web")
            assert run.returncode == USAGE, run
            assert run.stderr.count(b"\n") == 1 and b"there is no event called" in run.stderr
