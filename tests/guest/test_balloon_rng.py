# SPDX-License-Identifier: BSD-2-Clause
"""The balloon and the source of random numbers."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from disks import MIB
from guest import END, Guest, rss

RAM = 256 * MIB
MODULES = "bantam.modules=virtio_pci,virtio_mmio"
TRANSPORTS = ["pci", "mmio"]

Start = Callable[..., Guest]


@pytest.fixture
def start(vm: Callable[..., Guest]) -> Start:
    """A guest whose balloon has no driver until it is loaded."""

    def start(transport: str, *options: str) -> Guest:
        words = ["-a", MODULES, "--transport", transport, "-m", str(RAM // MIB)]
        return vm(*words, *options).shell()

    return start


def wait_for(what: Callable[[], bool], limit: float = END) -> None:
    deadline = time.monotonic() + limit
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def vmstat(guest: Guest, name: str) -> int:
    return int(guest.run(f"grep '^{name} ' /proc/vmstat").split()[1])


def fill(guest: Guest, mib: int) -> None:
    """Puts so much into memory."""
    guest.run("mount | grep -q /m || { mkdir /m; mount -t tmpfs -o size=100% tmpfs /m; }")
    guest.run(f"dd if=/dev/zero of=/m/file bs=1M count={mib}", timeout=2 * END)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_balloon(start: Start, transport: str) -> None:
    """What is in it, the guest does not have, and the host has back."""
    guest = start(transport, "--balloon", "64M")
    fill(guest, 170)
    guest.run("rm /m/file")
    full = rss(guest.pid, RAM)[0]
    assert full > 170 * MIB
    guest.run("modprobe virtio_balloon")
    wait_for(lambda: vmstat(guest, "balloon_inflate") == 64 * MIB // 4096)
    # with nearly all the rest in use again it is the balloon that makes the difference, not free
    # pages that were reported
    fill(guest, 110)
    left = rss(guest.pid, RAM)[0]
    assert left < full - 35 * MIB, (full, left)
    assert vmstat(guest, "balloon_deflate") == 0


def test_deflate_on_oom(start: Start) -> None:
    """The guest takes its memory back rather than kill."""
    guest = start("pci", "--balloon", "128M")
    guest.run("modprobe virtio_balloon")
    wait_for(lambda: vmstat(guest, "balloon_inflate") == 128 * MIB // 4096)
    fill(guest, 120)
    assert guest.run("ls -l /m/file").split()[4] == str(120 * MIB)
    assert vmstat(guest, "balloon_deflate") > 0
    assert vmstat(guest, "oom_kill") == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_free_page_reporting(start: Start, transport: str) -> None:
    """What the guest has freed goes back to the host by and by, and can be used again."""
    guest = start(transport, "--balloon", "0")
    guest.run("modprobe virtio_balloon")
    for _ in range(2):
        fill(guest, 150)
        full = rss(guest.pid, RAM)[0]
        assert full > 150 * MIB
        guest.run("rm /m/file")
        wait_for(lambda: rss(guest.pid, RAM)[0] < full - 120 * MIB)  # noqa: B023
    assert vmstat(guest, "balloon_inflate") == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_rng(vm: Callable[..., Guest], transport: str) -> None:
    guest = vm("-a", MODULES + ",virtio-rng", "--transport", transport, "--rng").shell()
    assert guest.run("cat /sys/class/misc/hw_random/rng_current").startswith("virtio_rng")
    guest.run("for n in 1 2; do head -c 20000 /dev/hwrng >/tmp/$n; done")
    assert guest.run("cat /tmp/1 /tmp/2 | wc -c").strip() == "40000"
    # random bytes cannot be packed, nor are they the same twice
    assert int(guest.run("cat /tmp/1 /tmp/2 | gzip | wc -c")) > 40000
