# SPDX-License-Identifier: BSD-2-Clause
"""The ten-line guests of every KVM tutorial: flat programs in each mode of the CPU."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[bytes]]

# mov $0x3f8, %dx (%edx in 32 and 64 bits); then mov $c, %al; out %al, %dx for each; hlt
SET_DX = {"real": b"\xba\xf8\x03", "protected": b"\xba\xf8\x03\0\0", "long": b"\xba\xf8\x03\0\0"}


def program(mode: str, text: bytes) -> bytes:
    return SET_DX[mode] + b"".join(b"\xb0%c\xee" % byte for byte in text) + b"\xf4"


@pytest.mark.parametrize("mode", ["real", "protected", "long"])
def test_hello(bantam_run: Run, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "hello.bin"
    path.write_bytes(program(mode, b"Hello, world\n"))
    result = bantam_run("--flat", str(path), "--mode", mode, "-m", "4M")
    assert result.stdout == b"Hello, world\n"
    assert result.returncode == 0, result.stderr


def test_address(bantam_run: Run, tmp_path: Path) -> None:
    """call next; next: pop %eax: a program sees where it was put."""
    path = tmp_path / "where.bin"
    # pop %rax; mov $0x3f8, %dx; 3 times: out %al, %dx; shr $8, %eax; hlt
    code = b"\xe8\0\0\0\0\x58\x66\xba\xf8\x03" + b"\xee\xc1\xe8\x08" * 3 + b"\xf4"
    path.write_bytes(code)
    result = bantam_run("--flat", f"{path}@0x234000", "--mode", "long", "-m", "8M")
    assert int.from_bytes(result.stdout, "little") == 0x234005
    assert result.returncode == 0, result.stderr


def test_triple_fault(bantam_run: Run, tmp_path: Path) -> None:
    """An exception without an interrupt table ends as a panic does."""
    path = tmp_path / "fault.bin"
    path.write_bytes(b"\x0f\x0b")  # ud2
    result = bantam_run("--flat", str(path), "--mode", "long", "-m", "4M")
    assert result.returncode == 4
    assert b"triple fault" in result.stderr.lower()
