# SPDX-License-Identifier: BSD-2-Clause
"""A kernel that knows the machine by its device tree alone.

It has CONFIG_OF and no ACPI, as no distribution's has on x86; `make guest-of` makes it first.
"""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from guest import BOOT, Guest

REBOOT = 3

pytestmark = pytest.mark.slow


@pytest.fixture
def files(images: Path) -> list[str]:
    kernel = images / "linux-of" / "vmlinuz"
    if not kernel.exists():
        pytest.skip("no kernel with CONFIG_OF here (tests/lab/images linux-of)")
    return ["-k", str(kernel), "-i", str(images / "linux-12" / "initramfs")]


def interrupts(guest: Guest, name: str) -> list[str]:
    return [line for line in guest.run("cat /proc/interrupts").splitlines() if name in line]


def count(line: str) -> int:
    return sum(int(word) for word in line.split(":")[1].split() if word.isdigit())


@pytest.mark.parametrize("transport", ["mmio", "pci"])
def test_machine(
    bantam: str, vm: Callable[..., Guest], files: list[str], tmp_path: Path, transport: str
) -> None:
    """Processors, interrupts, the serial port, the clock and virtio devices are found and work."""
    options = [*files, "--dtb", "-c", "3", "--rng", "--transport", transport]
    options += ["--on-reboot", "exit"]
    guest = vm(*options, linux=None).shell(timeout=BOOT)
    assert guest.run("ls /sys/firmware").split() == ["devicetree", "fdt", "memmap"]
    tree = "/sys/firmware/devicetree/base"
    assert guest.run(f"cat {tree}/model") == "Bantam virtual machine\0"
    assert guest.run("nproc").strip() == "3"
    # its bytes are those that --dump-dtb writes
    words = guest.run("cat /proc/cmdline").strip()
    assert guest.run(f"cat {tree}/chosen/bootargs") == words + "\0"
    path = tmp_path / "machine.dtb"
    argv = [bantam, "run", *options, "--no-default-cmdline", "-a", words, "--dump-dtb", str(path)]
    subprocess.run(argv, check=True)
    assert base64.b64decode(guest.run("base64 /sys/firmware/fdt")) == path.read_bytes()
    # the wires
    [serial] = interrupts(guest, "ttyS0")
    assert re.search(r"IO-APIC +4-edge", serial)
    assert count(serial) > 0
    assert "0: uart:16550A port:000003F8" in guest.run("cat /proc/tty/driver/serial")
    # devices are those of the tree
    for device, node in (("tty/ttyS0", "isa@0/serial@3f8"), ("rtc/rtc0", "isa@0/rtc@70")):
        where = guest.run(f"readlink /sys/class/{device}/device/of_node").strip()
        assert where.endswith(f"/base/soc/{node}")
    assert guest.run("head -c 64 /dev/hwrng | wc -c").strip() == "64"
    virtio = interrupts(guest, "virtio0")
    assert sum(count(line) for line in virtio) > 0
    assert all(("IO-APIC" in line) == (transport == "mmio") for line in virtio)
    assert guest.run("dmesg | grep -i -E 'warning|bug:|call trace'") == ""
    guest.send(b"reboot -f\n")
    assert guest.status() == REBOOT
