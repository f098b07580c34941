# SPDX-License-Identifier: BSD-2-Clause
"""How kernels end, by tiny ones that are entered as Linux is: panics that are told from reboots,
boot loops, halts. What they print is on serial port 1."""

from __future__ import annotations

import re
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import bzimage
from tiny import OK, PANIC, REBOOT, Bantam, Running

RESET = b"\xb0\xfe\xe6\x64\xf4\xeb\xfd"  # the keyboard controller's, then hlt
TRIPLE_FAULT = b"\x0f\x0b"  # ud2, without an IDT
HALT = b"\xf4\xeb\xfd"
# What Linux writes before it reboots in warm mode, at 0x472
WARM = b"\x66\xc7\x04\x25\x72\x04\0\0\x34\x12"
# Lets user mode into the first 2 MiB, by the page tables that boot.md tells of
USER = b"".join(b"\x80\x0c\x25" + struct.pack("<IB", at, 4) for at in (0x9000, 0xA000, 0xB000))

PIT_12_KHZ = b"\xb0\x34\xe6\x43\xb0\x64\xe6\x40\xb0\0\xe6\x40"

CODE = 0x100000


def put(text: bytes) -> bytes:
    return b"\x66\xba\xf8\x03" + b"".join(b"\xb0" + bytes([byte]) + b"\xee" for byte in text)


# All other vCPUs begin at 0x8000, in real mode: with interrupts on they sleep, and could wake.
# 4 GiB are mapped, so the local APIC is reached by a register.
START_OTHERS = (
    b"\x66\xc7\x04\x25\0\x80\0\0\xfb\xf4\xc6\x04\x25\x02\x80\0\0\xeb\xc6\x04\x25\x03\x80\0\0\xfc"
    + b"\xbb\0\x03\xe0\xfe"  # mov ebx, 0xfee00300
    + b"\xc7\x03\0\x45\x0c\0"  # INIT to all but this one
    + b"\xc7\x03\x08\x46\x0c\0"  # SIPI, vector 8
)


def make_kernel(path: Path, code: bytes) -> str:
    offset = 0x1000
    head = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\2\1\1", 2, 62, 1, CODE, 64, 0, 0, 64, 56, 1, 0, 0, 0,
    )  # fmt: skip
    segment = (1, 7, offset, CODE, CODE, len(code), len(code), 0x1000)
    head += struct.pack("<IIQQQQQQ", *segment)
    path.write_bytes(head.ljust(offset, b"\0") + code)
    return str(path)


@pytest.fixture
def kernel(tmp_path: Path) -> Callable[..., str]:
    return lambda code: make_kernel(tmp_path / "kernel", code)


def run(bantam: Bantam, kernel: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    return bantam.command("run", "-k", kernel, "-m", "16M", *options)


def start(bantam: Bantam, kernel: str, *options: str) -> Running:
    argv = [bantam.binary, "run", "-k", kernel, "-m", "16M", *options]
    return Running(argv, bantam.scratch)


@pytest.mark.parametrize("words", ["", "panic=1", "reboot=k panic=1", "reboot=t,f", "panic=0"])
def test_panic_told_by_its_mode(bantam: Bantam, kernel: Callable[..., str], words: str) -> None:
    result = run(bantam, kernel(WARM + RESET), "--on-reboot=exit", "-a", words)
    assert result.returncode == PANIC
    assert b"panicked" in result.stderr


@pytest.mark.parametrize("words", ["reboot=warm", "reboot=panic_cold", "panic=1 reboot=k,w"])
def test_mode_that_tells_nothing(bantam: Bantam, kernel: Callable[..., str], words: str) -> None:
    result = run(bantam, kernel(WARM + RESET), "--on-reboot=exit", "-a", words)
    assert result.returncode == REBOOT


def test_mode_of_the_users_own(bantam: Bantam, kernel: Callable[..., str]) -> None:
    own = ("--on-reboot=exit", "--no-default-cmdline", "-a")
    result = run(bantam, kernel(WARM + RESET), *own, "reboot=panic_warm")
    assert result.returncode == PANIC
    result = run(bantam, kernel(WARM + RESET), *own, "reboot=k")
    assert result.returncode == REBOOT


@pytest.mark.parametrize(
    ("version", "marked"),
    [("4.12.7 (a@b)", False), ("5.1.21", False), ("5.2.0-rc1", True), ("6.1.0-18-amd64", True)],
)
def test_old_kernels_get_no_panic_mode(
    command: Bantam, tmp_path: Path, version: str, marked: bool
) -> None:
    file = bytearray(bzimage.make_bzimage(bytes(64), "gzip"))
    struct.pack_into("<H", file, 0x20E, 0x100)
    struct.pack_into(f"<{len(version)}s", file, 0x300, version.encode())
    path = tmp_path / "bzImage"
    path.write_bytes(file)
    result = command.command("run", "--dry-run", "--boot", "bzimage", "-m", "64M", str(path))
    assert result.returncode == OK, result.stderr
    assert (b"reboot=panic_warm" in result.stdout) == marked
    assert b'"panic=-1"' in result.stdout


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (["-a", "reboot=k panic=1 pci=off", "--rng"], 1),
        (["-a", "pci=off nolapic acpi=off", "--rng"], 1),
        (["-a", "pci=off", "--rng", "--transport", "mmio"], 0),
        (["-a", "acpi=off", "--console", "virtio", "--transport", "mmio"], 1),
        (["-a", "pci=off"], 0),
    ],
)
def test_words_that_hide_devices(
    command: Bantam, kernel: Callable[..., str], options: list[str], lines: int
) -> None:
    result = command.command("run", "--dry-run", "-m", "16M", "-k", kernel(HALT), *options)
    assert result.returncode == OK, result.stderr
    assert result.stderr.count(b"hides the guest's virtio devices") == lines


@pytest.mark.parametrize(
    ("code", "options"),
    [
        (RESET, []),
        (RESET, ["-a", "reboot=k panic=1"]),
        (RESET, ["-c", "2", "--on-reboot=restart"]),
        (WARM + RESET, ["--on-panic=restart"]),
        (TRIPLE_FAULT, ["--on-panic=restart"]),
    ],
)
def test_boot_loop_ends(
    bantam: Bantam, kernel: Callable[..., str], code: bytes, options: list[str]
) -> None:
    """A kernel that ends again and again before any program had its memory."""
    result = run(bantam, kernel(put(b"x") + code), *options)
    assert result.returncode == PANIC
    assert result.stdout == b"xxxxx"
    assert len(re.findall(rb"got to user space", result.stderr)) == 1


@pytest.mark.parametrize(
    ("code", "option"), [(USER + RESET, "--on-reboot"), (USER + TRIPLE_FAULT, "--on-panic")]
)
def test_guest_with_programs_goes_on(
    bantam: Bantam, kernel: Callable[..., str], code: bytes, option: str
) -> None:
    with start(bantam, kernel(put(b"x") + code), f"{option}=restart") as guest:
        guest.expect(b"x" * 12)
        assert guest.terminate() == -signal.SIGTERM


def test_halt_before_any_program(bantam: Bantam, kernel: Callable[..., str]) -> None:
    """As Linux does when it finds that it cannot go on, very early."""
    result = run(bantam, kernel(put(b"x") + HALT), "-c", "3")
    assert result.returncode == PANIC
    assert b"halted before" in result.stderr


def test_halt(bantam: Bantam, kernel: Callable[..., str]) -> None:
    """The end of a kernel that cannot power off."""
    result = run(bantam, kernel(USER + put(b"x") + HALT), "-c", "3")
    assert (result.returncode, result.stdout) == (OK, b"x")
    assert b"the guest halted" in result.stderr


def test_halt_with_a_timer_running(bantam: Bantam, kernel: Callable[..., str]) -> None:
    """As Linux leaves the PIT without ACPI: it keeps Bantam busy, and can wake nobody."""
    result = run(bantam, kernel(USER + PIT_12_KHZ + HALT))
    assert result.returncode == OK
    assert b"the guest halted" in result.stderr


def test_halt_of_the_first_vcpu_alone(bantam: Bantam, kernel: Callable[..., str]) -> None:
    """Another one could wake: no end, however often it is looked at."""
    with start(bantam, kernel(USER + START_OTHERS + put(b"x") + HALT), "-c", "2") as guest:
        guest.expect(b"x")
        time.sleep(6)
        assert guest.terminate() == -signal.SIGTERM
        assert "halted" not in guest.stderr()
