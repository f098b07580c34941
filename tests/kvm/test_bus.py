# SPDX-License-Identifier: BSD-2-Clause
"""What the guest's port and memory accesses reach, at each size."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny import OK, Bantam, words


def test_ports(bantam: Bantam) -> None:
    result = bantam.run("pio.long")
    assert words(result.stdout) == {
        "byte": 0x112233A5,
        "word": 0x11220121,
        "its-high-byte": 0x01,
        "dword": 0x80123444,
        "above-dword": 0,
        "absent-byte": 0xFF,
        "absent-word": 0xFFFF,
        "absent-dword": 0xFFFFFFFF,
        "outsb-left": 0,
        "insb-moved": 7,
        "insb-first": 0x5A5A5A5A,
        "insb-last": 0xEE5A5A5A,
        "insl-first": 0x80000808,
        "insl-last": 0x80000808,
    }
    assert b"\na string by rep outsb\n" in result.stdout
    assert result.returncode == OK


def test_mmio(bantam: Bantam) -> None:
    result = bantam.run("mmio.long")
    seen = words(result.stdout)
    identity = seen.pop("ecam-id")
    assert identity not in (0, 0xFFFFFFFF)
    assert seen.pop("ecam-class-and-revision") >> 8 == 0x060000  # a host bridge
    assert seen == {
        "absent-byte": 0xFF,
        "absent-word": 0xFFFF,
        "absent-dword": 0xFFFFFFFF,
        "absent-qword-plus-1": 0,
        "and-its-upper-half": 0,
        "absent-over-two-pages": 0xFFFFFFFF,
        "cfc-id-differs-by": 0,
        "cfc-device-differs-by": 0,
        "cfc-base-class": 6,
        "written-by-ecam": 0x5C,
        "written-by-cfc": 0xA3,
        "absent-device": 0xFFFFFFFF,
        "absent-function": 0xFFFFFFFF,
        "copied-id-differs-by": 0,
        "compared-with-ones": 0,
    }
    assert result.returncode == OK


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_serial_ports(bantam: Bantam, tmp_path: Path, count: int) -> None:
    """Each goes where it was told; what is written to one that is absent is lost."""
    files = [tmp_path / f"com{i}" for i in range(count)]
    options = [word for path in files for word in ("--serial", f"file:{path}")]
    result = bantam.run("ports.real", *options)
    assert result.stdout == b""
    assert result.returncode == OK
    for i, path in enumerate(files):
        assert path.read_bytes() == f"this is com{i + 1}\n".encode()


def test_second_port_on_stdio(bantam: Bantam) -> None:
    result = bantam.run("ports.real", "--serial", "null", "--serial", "stdio")
    assert result.stdout == b"this is com2\n"
    assert result.returncode == OK
