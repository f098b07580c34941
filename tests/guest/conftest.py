# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures of the guest test-suite.

Started by tests/lab/check, which sets BANTAM (the binary) and BANTAM_IMAGES (kernels and
initramfs files, see tests/lab/images). A test gets guests from `vm`; they are ended when it is
over, and their consoles are shown when it failed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guest import END, QUIET, Guest

CONSOLE_TAIL = 6000


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes long in the lab; -m 'not slow' leaves it out")


def pytest_sessionstart(session: pytest.Session) -> None:
    for name in ("BANTAM", "BANTAM_IMAGES"):
        if not os.environ.get(name):
            sys.exit(f"{name} is not set: run the tests by tests/lab/check")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:
    """A failed test shows the end of its guests' consoles, and what those that live are doing."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    if call.when == "call":
        for guest in getattr(item, "guests", []):
            report.sections.append((f"activity of {guest.pid}", guest.activity()))
    results = os.environ.get("BANTAM_RESULTS")
    for path in getattr(item, "consoles", []):
        text = path.read_bytes()
        report.sections.append((f"{path.name}", text[-CONSOLE_TAIL:].decode(errors="replace")))
        if results:
            shutil.copy(path, Path(results) / f"{item.name.replace('/', '_')}-{path.name}")


@pytest.fixture(scope="session")
def bantam() -> str:
    return os.environ["BANTAM"]


@pytest.fixture(scope="session")
def images() -> Path:
    return Path(os.environ["BANTAM_IMAGES"])


def skip_without_pae() -> None:
    """In the lab, guests with PAE page tables need what tests/lab/mkhost does to level 1's KVM."""
    if os.environ.get("BANTAM_IN_LAB") and not Path("/lab/pae").exists():
        pytest.skip("this QEMU spoils the page tables of i386 guests, and KVM could not be told")


@pytest.fixture
def disk_dir() -> Iterator[Path]:
    """A directory for disk images: unlike /tmp it is seldom a tmpfs, which knows no O_DIRECT."""
    with tempfile.TemporaryDirectory(prefix="bantam-", dir="/var/tmp") as name:
        yield Path(name)


@pytest.fixture
def debian(images: Path) -> Path:
    """The directory of the Debian 12 guest."""
    home = images / "debian-12"
    if not home.exists():
        pytest.skip("no Debian 12 guest here: only root can make it (tests/lab/mkdebian)")
    return home


@pytest.fixture(scope="session")
def lab_host() -> None:
    """For tests that change their host: mounts, modules, its page cache."""
    if not os.environ.get("BANTAM_IN_LAB"):
        pytest.skip("it would change this machine; only done in the lab")


@pytest.fixture(scope="session")
def ram_disk(lab_host: None) -> Path:
    """A block device of the host."""
    subprocess.run(["modprobe", "brd", "rd_nr=1", f"rd_size={8 * 1024}"], check=True)
    return Path("/dev/ram0")


@pytest.fixture(scope="session")
def large_sectors(lab_host: None) -> Path:
    """One that takes nothing smaller than 4096 bytes."""
    subprocess.run(["modprobe", "sd_mod"], check=True)
    words = ["sector_size=4096", "dev_size_mb=8", "delay=0"]
    subprocess.run(["modprobe", "scsi_debug", *words], check=True)
    path = Path("/dev/sda")
    while not path.is_block_device():
        time.sleep(0.1)
    return path


@pytest.fixture
def vm(
    bantam: str, images: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Guest]]:
    """Starts `bantam run` on a pty: vm("-c", "2", linux="linux-13"); linux=None for no kernel.

    prefix is a command that becomes bantam in the end.

    Two things that make up most of a boot are left out unless quiet=False: the kernel's chatter
    on the console, an exit to bantam for each character, and its self-tests of ciphers.
    """
    guests: list[Guest] = []
    request.node.guests = guests
    request.node.consoles = []

    def start(
        *options: str,
        linux: str | None = "linux-12",
        quiet: bool = True,
        prefix: tuple[str, ...] = (),
    ) -> Guest:
        argv = [*prefix, bantam, "run"]
        if linux and linux.endswith("-i386"):
            skip_without_pae()
        if linux:
            argv += ["-k", str(images / linux / "vmlinuz")]
            argv += ["-i", str(images / linux / "initramfs")]
        if quiet:
            argv += ["-a", QUIET]
        argv += options
        path = tmp_path / f"console-{len(guests)}"
        request.node.consoles.append(path)
        # unbuffered: it is read while the guest may still be running
        guest = Guest(argv, path.open("wb", buffering=0))
        guests.append(guest)
        return guest

    yield start
    for guest in guests:
        guest.close()


@pytest.fixture
def bantam_run(bantam: str) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs `bantam run` to its end, without a terminal, and returns what it wrote."""

    def run(
        *options: str, timeout: float = 3 * END, **popen: object
    ) -> subprocess.CompletedProcess[bytes]:
        popen.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(
            [bantam, "run", *options], capture_output=True, timeout=timeout, check=False, **popen
        )

    return run


@pytest.fixture
def linux12(images: Path) -> list[str]:
    """The options that boot Debian 12's kernel into the test initramfs."""
    home = images / "linux-12"
    return ["-k", str(home / "vmlinuz"), "-i", str(home / "initramfs")]
