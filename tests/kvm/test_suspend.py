# SPDX-License-Identifier: BSD-2-Clause
"""A guest whose process was stopped hears of it by its kvm-clock, each time."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tiny import Bantam, Running


def wait_stopped(guest: Running) -> None:
    while " (bantam) T " not in Path(f"/proc/{guest.pid}/stat").read_text():
        assert guest.process.poll() is None
        os.sched_yield()


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTSTP])
def test_the_guest_hears_of_it(bantam: Bantam, number: int) -> None:
    with bantam.start("paused.long") as guest:
        guest.expect(b"ready\n")
        for _ in range(3):
            guest.process.send_signal(number)
            wait_stopped(guest)
            guest.process.send_signal(signal.SIGCONT)
            guest.expect(b"paused\n")


def test_a_guest_that_runs_hears_nothing(bantam: Bantam) -> None:
    with bantam.start("paused.long") as guest:
        guest.expect(b"ready\n")
        guest.process.send_signal(signal.SIGUSR1)
        assert guest.read(0.3) == b""
