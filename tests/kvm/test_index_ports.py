# SPDX-License-Identifier: BSD-2-Clause
"""Index registers: a flat program's accesses are exits each; a kernel's writes of an index wait in
KVM's ring for the exit that follows. Neither can tell."""

from __future__ import annotations

import struct
from pathlib import Path

from tiny import REBOOT, Bantam, words

EXPECTED = {"bridge": 0x00081B36, "class": 0x06000000, "cmos": 0x5AA5, "index": 0x80000000}
LOADED_AT = 0x100000


def kernel_of(program: bytes) -> bytes:
    """A kernel as Linux's, for the loader: an ELF file of one segment, entered in long mode."""
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\2\1\1", 2, 62, 1, LOADED_AT, 64, 0, 0, 64, 56, 1, 0, 0, 0,
    )  # fmt: skip
    segment = struct.pack(
        "<IIQQQQQQ", 1, 7, 4096, LOADED_AT, LOADED_AT, len(program), len(program), 4096
    )
    return (header + segment).ljust(4096, b"\0") + program


def check(bantam: Bantam, *options: str) -> None:
    result = bantam.command("run", "-m", "64M", "--on-reboot=exit", *options)
    assert (result.returncode, words(result.stdout)) == (REBOOT, EXPECTED), result.stderr


def test_exits(bantam: Bantam) -> None:
    check(bantam, "--flat", str(bantam.path("index.long")), "--mode", "long")


def test_coalesced(bantam: Bantam, tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(kernel_of(bantam.path("index.long").read_bytes()))
    check(bantam, "-k", str(kernel))
