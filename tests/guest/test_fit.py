# SPDX-License-Identifier: BSD-2-Clause
"""FIT images boot, and kernels are handed a device tree."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from guest import Guest
from test_boot import complaints, newc

USAGE = 2
SETUP_DTB = "0x2"


@pytest.fixture
def fit(bantam: str, linux12: list[str], tmp_path: Path) -> Path:
    """Two configurations: "main", the default, and "other", which shares its files."""
    path = tmp_path / "app.itb"
    words = ["--config", "main", *linux12, "-a", "fit.word=main", "--config", "other"]
    words += ["-a", "fit.word=other panic=7"]
    subprocess.run([bantam, "pack", "-o", str(path), *words], check=True)
    return path


def cmdline(guest: Guest) -> list[str]:
    return guest.run("cat /proc/cmdline").split()


def test_default_configuration(vm: Callable[..., Guest], fit: Path) -> None:
    """Its kernel and initial RAM disk make a shell; its words stand before the user's."""
    guest = vm(str(fit), "-a", "last", linux=None).shell()
    words = cmdline(guest)
    assert "fit.word=main" in words
    assert words.index("console=ttyS0") < words.index("fit.word=main") < words.index("last")
    assert complaints(guest) == []


@pytest.mark.parametrize("by_name", [False, True])
def test_chosen_configuration(vm: Callable[..., Guest], fit: Path, by_name: bool) -> None:
    """What its words are about, the default words leave out."""
    options = ["--fit-config", "other", str(fit)] if by_name else [f"{fit}#other"]
    words = cmdline(vm(*options, linux=None).shell())
    assert "fit.word=other" in words
    assert [word for word in words if word.startswith("panic=")] == ["panic=7"]


def test_reboot(vm: Callable[..., Guest], fit: Path) -> None:
    """The second boot is made of the same file."""
    guest = vm(str(fit), linux=None).shell()
    guest.send(b"reboot -f\n")
    guest.expect(rb"the guest reboots")
    assert "fit.word=main" in cmdline(guest.shell())


def test_further_initrd(vm: Callable[..., Guest], fit: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.cpio"
    more.write_bytes(newc("more", b"more\n"))
    guest = vm("-i", str(more), str(fit), linux=None).shell()
    assert guest.run("cat /more") == "more\n"


def test_wrong_hash(
    bantam_run: Callable[..., subprocess.CompletedProcess[bytes]], fit: Path
) -> None:
    """One bit in the middle of the kernel."""
    with fit.open("r+b") as file:
        file.seek(4 << 20)
        byte = file.read(1)[0]
        file.seek(4 << 20)
        file.write(bytes([byte ^ 0x10]))
    result = bantam_run(str(fit))
    assert result.returncode == USAGE
    assert b"image 'kernel-1': its sha256 hash does not match" in result.stderr


@pytest.mark.parametrize("transport", ["pci", "mmio"])
def test_device_tree(
    bantam: str, vm: Callable[..., Guest], linux12: list[str], tmp_path: Path, transport: str
) -> None:
    """The kernel has it as it was written to a file, and otherwise starts as without it."""
    path = tmp_path / "machine.dtb"
    options = ["-c", "3", "--rng", "--transport", transport]
    guest = vm("--dtb", *options).shell()
    words = " ".join(cmdline(guest))
    subprocess.run(
        [bantam, "run", *linux12, "--no-default-cmdline", "-a", words, *options]
        + ["--dump-dtb", str(path)],
        check=True,
    )
    where = "/sys/kernel/boot_params/setup_data"
    assert guest.run(f"ls {where}").split() == ["0"]
    assert guest.run(f"cat {where}/0/type").strip() == SETUP_DTB
    assert base64.b64decode(guest.run(f"base64 {where}/0/data")) == path.read_bytes()
    assert guest.run("cat /sys/devices/system/cpu/online").strip() == "0-2"
    assert complaints(guest) == []
