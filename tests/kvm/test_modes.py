# SPDX-License-Identifier: BSD-2-Clause
"""Flat programs in each of the CPU's modes, and where they are put."""

from __future__ import annotations

import pytest

from tiny import OK, PANIC, USAGE, Bantam, words

MODES = ["real", "protected", "long"]


@pytest.mark.parametrize("mode", MODES)
def test_hello(bantam: Bantam, mode: str) -> None:
    """Prints, and its HLT ends the VM."""
    result = bantam.run(f"hello.{mode}")
    assert result.stdout == f"{mode} mode: 2 + 2 = 4\n".encode()
    assert result.stderr == b""
    assert result.returncode == OK


def test_real_is_the_default(bantam: Bantam) -> None:
    result = bantam.command("run", "--flat", str(bantam.path("hello.real")))
    assert result.stdout == b"real mode: 2 + 2 = 4\n"
    assert result.returncode == OK


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("0x1000", b"0000:1003"),
        ("0x7c00", b"0000:7c03"),
        ("0xf123", b"0000:f126"),
        ("0x10000", b"1000:0003"),
        ("64K", b"1000:0003"),
        ("0x7fff0", b"7fff:0003"),
        ("0xf0000", b"f000:0003"),
    ],
)
def test_real_addresses(bantam: Bantam, address: str, where: bytes) -> None:
    flat = f"{bantam.path('where.real')}@{address}"
    result = bantam.command("run", "--flat", flat, "-m", "1M")
    assert result.stdout == where
    assert result.returncode == OK


@pytest.mark.parametrize("address", [0x1000, 0x10000, 0x234567, 0xFFF800])
def test_long_addresses(bantam: Bantam, address: int) -> None:
    flat = f"{bantam.path('where.long')}@{address:#x}"
    result = bantam.command("run", "--flat", flat, "--mode", "long", "-m", "16M")
    assert int.from_bytes(result.stdout, "little") == address
    assert result.returncode == OK


@pytest.mark.parametrize(
    ("address", "mode", "reason"),
    [
        ("0x500", "long", "GDT"),
        ("0x9000", "long", "page tables"),
        ("0x100000", "real", "real"),
        ("0x10001", "real", "multiple of 16"),
        ("0xfffff0", "long", "RAM"),
        ("0xd0000000", "protected", "RAM"),
        ("0x100000000", "protected", "protected"),
    ],
)
def test_addresses_that_cannot_be(
    bantam: Bantam, address: str, mode: str, reason: str
) -> None:
    flat = f"{bantam.path('hello.long')}@{address}"
    result = bantam.command("run", "--flat", flat, "--mode", mode, "-m", "16M")
    assert result.returncode == USAGE
    assert result.stderr.count(b"\n") == 1
    assert reason in result.stderr.decode()


@pytest.mark.parametrize("mode", ["protected", "long"])
def test_triple_fault(bantam: Bantam, mode: str) -> None:
    """In real mode a KVM without hardware's help does not mind the vector table's limit."""
    result = bantam.run(f"triple.{mode}")
    assert result.stdout == b"faulting\n"
    assert b"triple fault" in result.stderr
    assert result.returncode == PANIC


@pytest.mark.parametrize("mib", [2, 16, 100, 512, 3072, 3584, 6144])
def test_memory(bantam: Bantam, mib: int) -> None:
    """The guest finds what it was given, below the hole and above."""
    result = bantam.run("memory.long", "-m", f"{mib}M")
    seen = words(result.stdout)
    assert seen["low-mib"] == min(mib, 3072)
    assert seen["high-mib"] == max(mib - 3072, 0)
    assert seen["cmos-64k"] == max(min(mib, 3072) - 16, 0) * 16
    assert result.returncode == OK


def test_cpu_features(bantam: Bantam) -> None:
    """--cpu takes out the features it names, and no others.

    These are two that a KVM in software cannot let through from its host's CPU by mistake.
    """
    x2apic, hypervisor = 1 << 21, 1 << 31
    whole = words(bantam.run("cpuid.long").stdout)
    masked = words(bantam.run("cpuid.long", "--cpu", "host,-x2apic,-hypervisor").stdout)
    assert whole["leaf1-ecx"] & (x2apic | hypervisor) == x2apic | hypervisor
    assert masked["leaf1-ecx"] == whole["leaf1-ecx"] & ~(x2apic | hypervisor)
    assert masked["leaf1-edx"] == whole["leaf1-edx"]
