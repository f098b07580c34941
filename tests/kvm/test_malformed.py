# SPDX-License-Identifier: BSD-2-Clause
"""Malformed kernels and initrds: the program refuses them quickly, with a reason in one line."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from conftest import variable
from tiny import USAGE

# A second is what a person may be asked to wait; a machine that is busy gets three.
TIME = 3


class Case(NamedTuple):
    name: str
    kernel: str
    initrd: str
    cmdline_len: str
    memory_mib: str
    reason: str

    def argv(self) -> list[str]:
        argv = ["run", "-k", self.kernel, "-m", f"{self.memory_mib}M", "--no-default-cmdline"]
        if self.initrd != "-":
            argv += ["-i", self.initrd]
        if int(self.cmdline_len):
            argv += ["-a", "x" * int(self.cmdline_len)]
        return argv


@pytest.fixture(scope="session")
def cases(malformed: tuple[str, Path]) -> list[Case]:
    maker, directory = malformed
    made = subprocess.run([maker, str(directory)], capture_output=True, text=True, check=True)
    found = [Case(*line.split("\t")) for line in made.stdout.splitlines()]
    assert len(found) >= 60
    return found


def complaint(binary: str, case: Case, options: list[str]) -> str:
    """What is wrong with how a case was refused; nothing, as a rule."""
    began = time.monotonic()
    try:
        result = subprocess.run(
            [binary, *case.argv(), *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=5 * TIME,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "hangs"
    took = time.monotonic() - began
    text = result.stderr.decode(errors="replace")
    if result.returncode != USAGE:
        return f"exit status {result.returncode}: {text}"
    if not re.fullmatch(r"bantam: [^\n]+\n", text):
        return f"not one line: {text}"
    if case.cmdline_len != "0":
        # no file's fault, and noticed before one is read
        return "" if "command line" in text else f"does not name the command line: {text}"
    blamed = [path for path in (case.kernel, case.initrd) if path in text]
    if not blamed:
        return f"does not name the file: {text}"
    if case.reason not in text.replace(blamed[0], ""):
        return f"does not say {case.reason!r}: {text}"
    if took > TIME:
        return f"takes {took:.1f} s"
    return ""


def complaints(binary: str, cases: list[Case], options: list[str]) -> dict[str, str]:
    found = {case.name: complaint(binary, case, options) for case in cases}
    return {name: text for name, text in found.items() if text}


@pytest.mark.parametrize("binary", ["BANTAM", "BANTAM_ASAN"])
def test_refused(kvm: None, cases: list[Case], binary: str) -> None:
    assert complaints(variable(binary), cases, []) == {}


@pytest.mark.parametrize("binary", ["BANTAM", "BANTAM_ASAN"])
def test_refused_by_dry_run(cases: list[Case], binary: str) -> None:
    assert complaints(variable(binary), cases, ["--dry-run"]) == {}


def test_unreadable(cases: list[Case], tmp_path: Path) -> None:
    """A file that may not be read is said to be that."""
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    path = tmp_path / "kernel"
    path.write_bytes(b"kernel")
    path.chmod(0)
    result = subprocess.run(
        [variable("BANTAM"), "run", str(path)], capture_output=True, check=False, timeout=TIME
    )
    assert result.returncode == USAGE
    assert b"ermission denied" in result.stderr
