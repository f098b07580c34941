# SPDX-License-Identifier: BSD-2-Clause
"""Memory that the host cannot give is said so at the start."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guest import END, Guest

HOST, MIB = 1, 1 << 20
GROUPS = Path("/sys/fs/cgroup")
PAGES = Path("/proc/sys/vm/nr_hugepages")

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def run(bantam: str, linux12: list[str]) -> Run:
    """Debian 12's kernel to its end, behind a command that becomes bantam."""

    def run(*options: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[bytes]:
        argv = [*prefix, bantam, "run", *linux12, *options]
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=3 * END, check=False
        )

    return run


@pytest.fixture
def group(lab_host: None) -> Iterator[Path]:
    """A cgroup that limits huge pages; 256 MiB of them are there."""
    subprocess.run(["mount", "-t", "cgroup2", "cgroup2", GROUPS], check=True)
    PAGES.write_text("128")
    path = GROUPS / "bantam"
    path.mkdir()
    (GROUPS / "cgroup.subtree_control").write_text("+hugetlb")
    yield path
    # a group outlives the mount that showed it
    (path / "cgroup.kill").write_text("1")
    while "populated 1" in (path / "cgroup.events").read_text():
        time.sleep(0.1)
    path.rmdir()
    PAGES.write_text("0")
    subprocess.run(["umount", "-l", GROUPS], check=True)


def inside(group: Path) -> tuple[str, ...]:
    """What becomes a command in that group."""
    return ("sh", "-c", f'echo 0 >{group}/cgroup.procs && exec "$@"', "sh")


def test_limit_of_huge_pages(run: Run, group: Path) -> None:
    (group / "hugetlb.2MB.max").write_text(str(64 * MIB))
    done = run("-m", "128M", "--hugepages", prefix=inside(group))
    assert done.returncode == HOST
    assert b"a cgroup allows 64 MiB" in done.stderr
    assert b"bantam/hugetlb.2MB.max" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_limit_that_is_wide_enough(vm: Callable[..., Guest], group: Path) -> None:
    (group / "hugetlb.2MB.max").write_text(str(256 * MIB))
    guest = vm("-m", "256M", "--hugepages", prefix=inside(group)).shell()
    guest.run("head -c 100M /dev/zero >/tmp/x")
    guest.send(b"poweroff -f\n")
    assert guest.status() == 0


def test_no_overcommit(run: Run, lab_host: None) -> None:
    """A host that promises no more than it has."""
    mode = Path("/proc/sys/vm/overcommit_memory")
    before = mode.read_text()
    mode.write_text("2")
    try:
        done = run("-m", "64G")
    finally:
        mode.write_text(before)
    assert done.returncode == HOST
    assert b"vm.overcommit_memory=2" in done.stderr
    assert b"--memory" in done.stderr


def test_limit_of_the_address_space(run: Run) -> None:
    done = run("-m", "4G", prefix=("sh", "-c", 'ulimit -v 1000000; exec "$@"', "sh"))
    assert done.returncode == HOST
    assert b"ulimit -v" in done.stderr
