# SPDX-License-Identifier: BSD-2-Clause
"""Index registers: a flat program's accesses are exits each, and so are those of a kernel that is
not Linux; Linux' writes of an index wait in KVM's ring for the exit that follows. None can tell,
and a reset by a register that lies inside an index never waits."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tiny import REBOOT, Bantam, words

EXPECTED = {"bridge": 0x00081B36, "class": 0x06000000, "cmos": 0x5AA5, "index": 0x80000000}
LOADED_AT = 0x100000


def kernel_of(program: bytes, linux: bool) -> bytes:
    """An ELF file of one segment, entered in long mode, and Linux by its note or not."""
    note = struct.pack("<III", 6, 4, 0x100) + b"Linux\0\0\0" + bytes(4)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\2\1\1", 2, 62, 1, LOADED_AT, 64, 0, 0, 64, 56, 1 + linux, 0, 0, 0,
    )  # fmt: skip
    segment = struct.pack(
        "<IIQQQQQQ", 1, 7, 4096, LOADED_AT, LOADED_AT, len(program), len(program), 4096
    )
    segment += struct.pack("<IIQQQQQQ", 4, 4, 2048, 0, 0, len(note), len(note), 4)
    return ((header + segment).ljust(2048, b"\0") + note).ljust(4096, b"\0") + program


def check(bantam: Bantam, *options: str) -> None:
    result = bantam.command("run", "-m", "64M", "--on-reboot=exit", *options)
    assert (result.returncode, words(result.stdout)) == (REBOOT, EXPECTED), result.stderr


def test_exits(bantam: Bantam) -> None:
    check(bantam, "--flat", str(bantam.path("index.long")), "--mode", "long")


@pytest.mark.parametrize("linux", [True, False], ids=["Linux", "another"])
def test_kernel(bantam: Bantam, tmp_path: Path, linux: bool) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(kernel_of(bantam.path("index.long").read_bytes(), linux))
    check(bantam, "-k", str(kernel))


def test_reset_and_sleep(bantam: Bantam, tmp_path: Path) -> None:
    """One write to port 0xCF9 and no exit after it: another kernel's way to reset."""
    kernel = tmp_path / "kernel"
    kernel.write_bytes(kernel_of(bantam.path("cf9.long").read_bytes(), False))
    result = bantam.command("run", "-m", "64M", "--on-reboot=exit", "-k", str(kernel))
    assert result.returncode == REBOOT, result.stderr
