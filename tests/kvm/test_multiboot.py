# SPDX-License-Identifier: BSD-2-Clause
"""Multiboot kernels, and the port by which a guest ends with a status of its own."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tiny import OK, USAGE, Bantam, words

# The same kernel as an ELF file, and loaded by its header's addresses
FILES = ["tell.multiboot.flat", "tell.multiboot.bin"]


def kernel(bantam: Bantam, name: str) -> Path:
    return bantam.guests / name


@pytest.mark.parametrize("name", FILES)
def test_what_it_is_told(bantam: Bantam, name: str) -> None:
    path = kernel(bantam, name)
    result = bantam.command("run", "-k", str(path), "-m", "64M", "-a", "one two")
    seen = words(result.stdout)
    assert seen["magic"] == 0x2BADB002
    assert seen["flags"] == 1 << 0 | 1 << 2 | 1 << 6 | 1 << 9
    assert seen["lower-kib"] == 639
    assert seen["upper-kib"] == 63 * 1024
    assert seen["map-kib"] == 63 * 1024 + 639
    assert seen["modules"] == 0
    assert f"cmdline {path} one two\n".encode() in result.stdout
    assert b"loader Bantam\n" in result.stdout
    assert result.returncode == OK


@pytest.mark.parametrize("name", FILES)
def test_modules(bantam: Bantam, tmp_path: Path, name: str) -> None:
    """One for each --initrd, with its name."""
    texts = ["first", "x" * 5000, "third module"]
    options = []
    for i, text in enumerate(texts):
        (tmp_path / f"mod{i}").write_text(text)
        options += ["-i", str(tmp_path / f"mod{i}")]
    result = bantam.command("run", str(kernel(bantam, name)), *options)
    assert words(result.stdout)["modules"] == len(texts)
    assert words(result.stdout)["flags"] & 1 << 3
    found = re.findall(rb"^module (\S+) (.*)$", result.stdout, re.MULTILINE)
    wanted = [(str(tmp_path / f"mod{i}"), text) for i, text in enumerate(texts)]
    assert [(name.decode(), text.decode()) for name, text in found] == wanted
    assert result.returncode == OK


@pytest.mark.parametrize("value", [0, 1, 2, 0x4E, 0x50, 0xCF, -1])
def test_exit_port(bantam: Bantam, value: int) -> None:
    """The value is the command line's last byte less '0', a long word."""
    path = str(kernel(bantam, FILES[0]))
    last = os.fsdecode(b"v" + bytes([value + ord("0")]))
    result = bantam.command("run", "-k", path, "--exit-port", "0xf4", "-a", last)
    assert result.returncode == (value << 1 | 1) & 0xFF
    assert f"ended with status {result.returncode}\n".encode() in result.stderr


def test_exit_port_wins_over_restart(bantam: Bantam) -> None:
    result = bantam.command(
        "run", "-k", str(kernel(bantam, FILES[0])), "--exit-port=244", "-a", "5",
        "--on-poweroff=restart", "--on-reboot=restart", "--on-panic=restart",
    )
    assert result.returncode == 5 << 1 | 1


def test_exit_port_is_in_the_map(command: Bantam) -> None:
    run = ["run", "--dry-run", "-k", str(kernel(command, FILES[1])), "-a", "word"]
    shown = command.command(*run, "--exit-port", "0xf4").stdout.decode()
    assert re.search(r"^ +0x00f4-0x00f7 +exit port$", shown, re.MULTILINE)
    assert re.search(r"^ +format +Multiboot$", shown, re.MULTILINE)
    assert re.search(r"^ +command line +word$", shown, re.MULTILINE)
    assert "exit port" not in command.command(*run).stdout.decode()


@pytest.mark.parametrize("port", ["0x3f8", "0x3f5", "0x61", "0xcfa", "0x602"])
def test_exit_port_that_is_taken(command: Bantam, port: str) -> None:
    run = ["run", "--dry-run", "-k", str(kernel(command, FILES[1]))]
    result = command.command(*run, "--exit-port", port)
    assert result.returncode == USAGE
    assert result.stderr.count(b"\n") == 1
    assert b"another device has ports" in result.stderr
