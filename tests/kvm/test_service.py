# SPDX-License-Identifier: BSD-2-Clause
"""The systemd unit in Documentation: systemd takes it, and Bantam takes what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import variable

UNIT = Path(__file__).parents[2] / "Documentation/bantam@.service"


def test_unit_is_valid(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    text = UNIT.read_text()
    assert text.count("/usr/bin/bantam") == 1  # `make install` puts PREFIX there
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace("/usr/bin/bantam", str(Path(variable("BANTAM")).resolve())))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said = [line for line in result.stderr.splitlines() if UNIT.stem in line]
    assert said == [] and result.returncode == 0, result.stderr


def test_example_is_valid(tmp_path: Path) -> None:
    """`bantam run` takes the options in the comment: it misses nothing but the files."""
    text = UNIT.read_text()
    example = re.search(r"BANTAM_OPTIONS=(.*)", text)
    start = re.search(r"ExecStart=/usr/bin/bantam run (.*) \$BANTAM_OPTIONS", text)
    assert example and start
    words = start.group(1).replace("%i", "web").split() + example.group(1).split()
    command = [variable("BANTAM"), "run", "--dry-run", *words]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert "vmlinuz: no such file" in result.stderr
