# SPDX-License-Identifier: BSD-2-Clause
"""How a guest's end comes out: exit statuses, restarts without a leak, reports."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import NamedTuple

import pytest

from tiny import INTERNAL, OK, PANIC, REBOOT, Bantam, Running, may_look

# Keys of guests/ends.protected.S
POWEROFF, HALT, KEYBOARD_RESET, ACPI_RESET, FAST_RESET, PVPANIC, TRIPLE_FAULT = b"phkafvt"


def press(guest: Running, key: int) -> None:
    guest.expect(b"ready\n")
    guest.send(bytes([key]))


@pytest.mark.parametrize(
    ("key", "option", "status", "words"),
    [
        (POWEROFF, "--on-poweroff=exit", OK, "powered off"),
        (HALT, "--on-poweroff=exit", OK, ""),
        (KEYBOARD_RESET, "--on-reboot=exit", REBOOT, "reboots"),
        (ACPI_RESET, "--on-reboot=exit", REBOOT, "reboots"),
        (FAST_RESET, "--on-reboot=exit", REBOOT, "reboots"),
        (PVPANIC, "--on-panic=exit", PANIC, "panicked"),
        (TRIPLE_FAULT, "--on-panic=exit", PANIC, "triple fault"),
    ],
)
def test_exit(bantam: Bantam, key: int, option: str, status: int, words: str) -> None:
    with bantam.start("ends.protected", option) as guest:
        press(guest, key)
        assert guest.status() == status
        assert words in guest.stderr()
        assert guest.rest() == b""


@pytest.mark.parametrize("key", [POWEROFF, PVPANIC, TRIPLE_FAULT])
def test_exit_is_the_default(bantam: Bantam, key: int) -> None:
    with bantam.start("ends.protected") as guest:
        press(guest, key)
        assert guest.status() == (OK if key == POWEROFF else PANIC)


@pytest.mark.parametrize(
    ("key", "options"),
    [
        (KEYBOARD_RESET, []),
        (ACPI_RESET, []),
        (ACPI_RESET, ["--on-reboot=restart"]),
        (PVPANIC, ["--on-panic=restart"]),
        (TRIPLE_FAULT, ["--on-panic=restart"]),
    ],
)
def test_restart(bantam: Bantam, key: int, options: list[str]) -> None:
    """The guest starts over, more than once, and other ends are what they were."""
    with bantam.start("ends.protected", *options) as guest:
        for _ in range(3):
            press(guest, key)
        press(guest, POWEROFF)
        assert guest.status() == OK


@pytest.mark.parametrize("key", [POWEROFF, HALT])
def test_restart_at_poweroff(bantam: Bantam, key: int) -> None:
    with bantam.start("ends.protected", "--on-poweroff=restart") as guest:
        for _ in range(3):
            press(guest, key)
        press(guest, PVPANIC)
        assert guest.status() == PANIC


@pytest.mark.parametrize(
    ("key", "option"),
    [
        (POWEROFF, "--on-poweroff=pause"),
        (KEYBOARD_RESET, "--on-reboot=pause"),
        (PVPANIC, "--on-panic=pause"),
        (TRIPLE_FAULT, "--on-panic=pause"),
    ],
)
def test_pause(bantam: Bantam, key: int, option: str) -> None:
    """It stands still until somebody ends it."""
    with bantam.start("ends.protected", option) as guest:
        press(guest, key)
        guest.wait_stderr("paused")
        assert guest.read(0.2) == b""
        assert guest.process.poll() is None
        assert guest.terminate() == -signal.SIGTERM


# ---- by a signal ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize(
    ("name", "text"), [("sleep.real", b"asleep\n"), ("spin.long", b"spinning\n")]
)
def test_signal(bantam: Bantam, name: str, text: bytes, number: int) -> None:
    """Also while the guest is in the middle of a loop that makes no exit. It dies by the signal,
    which a shell's loop or systemd looks for."""
    with bantam.start(name) as guest:
        guest.expect(text)
        assert guest.terminate(number) == -number
        assert "signal" in guest.stderr()


def test_many_cpus_stop(bantam: Bantam) -> None:
    """CPUs that were never started get out, too."""
    with bantam.start("spin.long", "-c", "16") as guest:
        guest.expect(b"spinning\n")
        assert guest.terminate() == -signal.SIGTERM


# ---- KVM gives up -----------------------------------------------------------------------------


def test_internal_error(bantam: Bantam) -> None:
    """What a person needs to report it is there: KVM's words, registers, instruction bytes."""
    result = bantam.run("internal.long")
    report = result.stderr.decode()
    assert result.stdout == b"jumping\n"
    assert result.returncode == INTERNAL
    assert re.search(r"KVM_EXIT_INTERNAL_ERROR", report)
    assert re.search(r"suberror 1: an instruction could not be emulated", report)
    assert re.search(r"\brip 00000000d0000000\b", report)
    assert re.search(r"\brbx 1122334455667788\b", report)
    assert re.search(r"\br15 99aabbccddeeff00\b", report)
    assert re.search(r"\bcr0 8000\w{4} .*\bcr3 \w{16} cr4 \w{8} efer 500\b", report)
    assert re.search(r"\bcs +0010 base 0{16} .*64-bit", report)
    assert re.search(r"code at rip: \(not mapped\)", report)


def test_instruction_in_report(bantam: Bantam) -> None:
    result = bantam.run("undecodable.long")
    assert result.stdout == b"adding\n"
    assert result.returncode == INTERNAL
    assert b"suberror 1" in result.stderr
    assert re.search(rb"code at rip: 0f fc 00 f4( \w\w){12}\n", result.stderr)


def test_internal_error_is_no_restart(bantam: Bantam) -> None:
    """It would fail in the same way for ever."""
    result = bantam.run("internal.long", "--on-panic=restart", "--on-reboot=restart")
    assert result.stdout == b"jumping\n"
    assert result.returncode == INTERNAL


# ---- reboots ----------------------------------------------------------------------------------


class Usage(NamedTuple):
    anon_kib: int
    fds: int
    threads: int
    mappings: int


def usage(pid: int) -> Usage:
    may_look(pid)
    proc = Path("/proc") / str(pid)
    status = (proc / "status").read_text()
    anon, threads = (
        int(re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)[1])
        for name in ("RssAnon", "Threads")
    )
    mappings = (proc / "maps").read_text().count("\n")
    return Usage(anon, len(os.listdir(proc / "fd")), threads, mappings)


def usage_over(guest: Running, line: bytes, reboots: int) -> Usage:
    """The most of each that is seen during some reboots: between two boots it is less."""
    samples = []
    for _ in range(reboots):
        guest.expect(line)
        samples.append(usage(guest.pid))
    return Usage(*(max(column) for column in zip(*samples)))


def test_a_thousand_reboots(bantam: Bantam) -> None:
    line = b"up\n"
    with bantam.start("reboot.real", "-c", "2") as guest:
        for _ in range(20):
            guest.expect(line)
        early = usage_over(guest, line, 30)
        for _ in range(1000 - 80):
            guest.expect(line)
        late = usage_over(guest, line, 30)
        assert guest.terminate() == -signal.SIGTERM
    # Each may be seen in the middle of a boot; a leak of one for each would be a thousand.
    assert late.fds <= early.fds + 16
    assert late.threads <= early.threads + 16
    assert late.mappings <= early.mappings + 16
    # Files' pages come and go. Half a KiB for each reboot would be seen; what is smaller is
    # LeakSanitizer's, below.
    assert late.anon_kib <= early.anon_kib + 512


def test_lines_of_reboots_are_bounded(bantam: Bantam) -> None:
    """The end is told, whatever was said before."""
    with bantam.start("reboot.real", "-v") as guest:
        for _ in range(200):
            guest.expect(b"up\n")
        lines = guest.stderr().count("the guest reboots")
        assert 1 <= lines <= 130  # two windows of a minute, on a slow machine
        guest.terminate()
        assert guest.stderr().endswith("ended by signal 15 (Terminated)\n")


# ---- the same under sanitizers ----------------------------------------------------------------


def test_ends_under_sanitizers(bantam_asan: Bantam) -> None:
    """All the ends above in one process, and nothing is left or touched that should not be."""
    with bantam_asan.start("ends.protected", "--on-panic=restart", "-c", "3") as guest:
        for key in [KEYBOARD_RESET, PVPANIC, TRIPLE_FAULT, ACPI_RESET] * 3:
            press(guest, key)
        press(guest, POWEROFF)
        assert guest.status() == OK
        assert not re.search("Sanitizer|runtime error", guest.stderr())


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("pio.long", OK),
        ("mmio.long", OK),
        ("pit.real", OK),
        ("port61.real", OK),
        ("ports.real", OK),
        ("smp.long", OK),
        ("triple.long", PANIC),
        ("internal.long", INTERNAL),
        ("undecodable.long", INTERNAL),
    ],
)
def test_guests_under_sanitizers(bantam_asan: Bantam, name: str, status: int) -> None:
    result = bantam_asan.run(name, "-c", "4", "--serial", "stdio", "--serial", "null")
    assert result.returncode == status
    assert not re.search(b"Sanitizer|runtime error", result.stderr)
