# SPDX-License-Identifier: BSD-2-Clause
"""Interrupts from the devices to the guest's handlers, and the time they come at."""

from __future__ import annotations

import calendar
import time

import pytest

from tiny import OK, Bantam, words

PIT_HZ = 1193182


def test_pit(bantam: Bantam) -> None:
    """Ten ticks of 10 ms: each wakes the guest once, and they take their time."""
    began = time.monotonic()
    result = bantam.run("pit.real")
    took = time.monotonic() - began
    seen = words(result.stdout)
    assert seen["ticks"] == 10
    assert seen["wakes"] <= 10  # two ticks may come in one wake on a busy host
    # ticks that a busy host delivers late are followed by ones that come sooner
    assert 0.05 <= seen["counts"] / PIT_HZ <= 1
    assert seen["counts"] / PIT_HZ <= took
    assert result.returncode == OK


def test_port_61(bantam: Bantam) -> None:
    result = bantam.run("port61.real")
    assert words(result.stdout) == {"kept": 0x0F, "out2-gate-closed": 0, "out2-at-end": 0x21}
    assert b"refresh toggles\n" in result.stdout
    assert result.returncode == OK


def test_rtc(bantam: Bantam) -> None:
    before = int(time.time())
    result = bantam.run("rtc.long")
    after = time.time()
    seen = words(result.stdout)
    assert seen["mode"] & 0x06 == 0x02  # BCD, 24 hours: what the next line expects
    shown = time.strptime(f"{seen['date']:08x}{seen['time']:06x}", "%Y%m%d%H%M%S")
    assert before <= calendar.timegm(shown) <= after
    assert seen["periodic"] == 16
    assert seen["updates"] == 1
    assert result.returncode == OK


def test_serial_input(bantam: Bantam) -> None:
    """Keys typed one by one, and then more at once than the FIFO holds."""
    with bantam.start("echo.long") as guest:
        guest.expect(b"ready\n")
        for key in b"hello\r\x00\x7f\xff\x01":
            guest.send(bytes([key]))
            guest.expect(bytes([key]))
        text = bytes(range(5, 256)) * 4
        guest.send(text + b"\x04")
        assert guest.expect(b"\x04") == text + b"\x04"
        assert guest.status() == OK


def test_halt_waits(bantam: Bantam) -> None:
    """HLT with interrupts enabled is no end, and takes no CPU time."""
    with bantam.start("sleep.real") as guest:
        guest.expect(b"asleep\n")
        used = time_used(guest.pid)
        assert guest.read(1) == b""
        assert guest.process.poll() is None
        assert time_used(guest.pid) - used <= 0.1
        assert guest.terminate() == -15


def time_used(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.parametrize("cpus", [1, 2, 4, 8])
def test_cpus_wake_up(bantam: Bantam, cpus: int) -> None:
    """INIT and SIPI reach all the others."""
    result = bantam.run("smp.long", "-c", str(cpus))
    seen = words(result.stdout)
    assert seen == {"bsp-id": 0, "aps": cpus - 1, "ap-ids": (1 << cpus) - 2}
    assert result.returncode == OK
