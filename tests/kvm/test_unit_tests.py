# SPDX-License-Identifier: BSD-2-Clause
"""The runner of kvm-unit-tests (tests/lab/unit_tests.py), on a kernel of ours that ends as told."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tiny import Bantam

RUNNER = Path(__file__).parent.parent / "lab" / "unit_tests.py"

# '0' makes it 0, which is a pass, '1' a failure, and '}' 77, which is a skip.
CFG = """\
# a comment
[good]
file = tell.multiboot.flat
extra_params = -cpu max,+x2apic -append 'word 0'   # another
groups = one two

[bad]
file = tell.multiboot.flat
smp = 2
extra_params = -m 64 -append "word 1"

[left-out]
file = tell.multiboot.flat
test_args = "word }"

[newer]
file = tell.multiboot.flat
test_args = "word 0"
qemu_params = -m 1g

[other-arch]
file = tell.multiboot.flat
arch = i386

[asked-for-only]
file = tell.multiboot.flat
groups = nodefault

[gone]
file = gone.flat
"""


def run(bantam: Bantam, tmp_path: Path, *names: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "unittests.cfg").write_text(CFG)
    flat = tmp_path / "tell.multiboot.flat"
    flat.write_bytes((bantam.guests / flat.name).read_bytes())
    argv = ["/usr/bin/python3", "-B", str(RUNNER), bantam.binary, str(tmp_path), *names]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_all(bantam: Bantam, tmp_path: Path) -> None:
    result = run(bantam, tmp_path)
    lines = result.stdout.splitlines()
    verdicts = [line for line in lines if not line.startswith("  |")]
    assert verdicts == [
        "PASS good", "FAIL bad", "SKIP left-out", "PASS newer", "SKIP gone",
        "1 FAIL, 2 PASS, 2 SKIP",
    ]
    assert result.returncode == 1
    said = [line.strip(" |") for line in lines if line.startswith("  |")]
    assert f"cmdline {tmp_path}/tell.multiboot.flat word 1" in said
    assert any(line.endswith(" NR_CPUS=2") for line in said)
    assert "MEMSIZE=64" in said and "TEST_DEVICE=0" in said


def test_names(bantam: Bantam, tmp_path: Path) -> None:
    result = run(bantam, tmp_path, "good", "newer")
    assert result.stdout.splitlines() == ["PASS good", "PASS newer", "2 PASS"]
    assert result.returncode == 0
    assert run(bantam, tmp_path, "goood").returncode == 2


def test_a_host_that_failed_is_no_pass(bantam: Bantam, tmp_path: Path) -> None:
    """Bantam's own status 1 is that of a test that passed."""
    fake = tmp_path / "bantam"
    fake.write_text("#!/bin/sh\necho no memory >&2\nexit 1\n")
    fake.chmod(0o755)
    result = run(Bantam(str(fake), bantam.guests, tmp_path), tmp_path, "good")
    assert result.stdout.splitlines()[0] == "FAIL good"
