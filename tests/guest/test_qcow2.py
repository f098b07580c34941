# SPDX-License-Identifier: BSD-2-Clause
"""qcow2 images as a stock kernel uses them; what they are, QEMU's tools say from outside."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from disks import DROP, MIB, allocated, noise, sha256
from guest import BOOT, DISK_MODULES, END, Guest, slow

POWEROFF, USAGE = 0, 2

Vm = Callable[..., Guest]

pytestmark = pytest.mark.skipif(not shutil.which("qemu-img"), reason="no qemu-img here")


def img(*words: object) -> None:
    subprocess.run(["qemu-img", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def content(path: Path) -> bytes:
    """The disk as QEMU reads it, of an image without a fault."""
    img("check", "-q", path)
    raw = path.with_suffix(".raw")
    img("convert", "-q", "-O", "raw", path, raw)
    return raw.read_bytes()


def start(vm: Vm, *specs: str) -> Guest:
    words = [word for spec in specs for word in ("-d", spec)]
    return vm("-a", DISK_MODULES, *words).shell()


def poweroff(guest: Guest) -> None:
    guest.send(b"poweroff -f\n")
    assert guest.status() == POWEROFF


OPTIONS = [
    "cluster_size=64k",
    slow("cluster_size=512,refcount_bits=64"),
    slow("compat=0.10"),
    slow("extended_l2=on,cluster_size=128k"),
    slow("lazy_refcounts=on,cluster_size=2M"),
]


@pytest.mark.parametrize("options", OPTIONS)
def test_data(vm: Vm, disk_dir: Path, options: str) -> None:
    """Written at odd places and over each other, then discarded in part, and shrunk by that."""
    size, cut = 24 * MIB, 8 * MIB
    path = disk_dir / "disk.qcow2"
    img("create", "-q", "-f", "qcow2", "-o", options, path, size)
    guest = start(vm, f"{path},queues=2")
    assert guest.run("cat /sys/block/vda/size").strip() == str(size // 512)
    dd = "dd of=/dev/vda 2>/dev/null"
    guest.run(f"head -c {size} /dev/urandom >/tmp/all; {dd} if=/tmp/all bs=1M conv=fsync")
    guest.run(f"{dd} if=/tmp/all bs=512 seek=1001 count=3000 oflag=direct")
    guest.run(f"{dd} if=/tmp/all bs=64k seek=100 count=20; sync")
    full = allocated(path)
    guest.run(f"{DROP}; blkdiscard -o {size - cut} -l {cut} /dev/vda; sync; sync")
    guest.run(f"echo end | {dd} bs=512 seek=3000 conv=fsync")
    if "compat" not in options:
        assert allocated(path) <= full - cut + MIB
    want = guest.run(f"{DROP}; sha256sum </dev/vda").split()[0]
    poweroff(guest)
    assert sha256(content(path)) == want


def test_backing(vm: Vm, disk_dir: Path) -> None:
    """An overlay is refused without leave; its base stays as it is, and may be shared."""
    base, tops = disk_dir / "base.img", [disk_dir / f"{n}.qcow2" for n in range(2)]
    before = noise(4 * MIB + 512)
    base.write_bytes(before)
    for top in tops:
        img("create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base.img", top, 6 * MIB)
    refused = vm("-d", str(tops[0]))
    assert refused.status() == USAGE
    guest = start(vm, *(f"{top},backing=yes" for top in tops))
    guest.run("echo first | dd of=/dev/vda bs=512 seek=2000 conv=fsync 2>/dev/null")
    guest.run("echo second | dd of=/dev/vdb bs=512 seek=9000 conv=fsync 2>/dev/null")
    wants = [guest.run(f"{DROP}; sha256sum </dev/vd{d}").split()[0] for d in "ab"]
    poweroff(guest)
    assert base.read_bytes() == before
    for top, want, place in zip(tops, wants, (2000, 9000)):
        now = content(top)
        assert sha256(now) == want and len(now) == 6 * MIB
        kept = place * 512
        assert now[: min(kept, len(before))] == before[:kept]


def test_snapshot(vm: Vm, disk_dir: Path) -> None:
    """Written, read again, and gone; another VM has the same base meanwhile."""
    base = disk_dir / "base.img"
    before = noise(8 * MIB)
    base.write_bytes(before)
    guests = [start(vm, f"{base},snapshot,size=32M") for _ in range(2)]
    for guest in guests:
        guest.run("dd if=/dev/urandom of=/dev/vda bs=1M count=4 conv=fsync 2>/dev/null")
    tail = sha256(before[-4 * MIB:])
    for guest in guests:
        got = guest.run(f"{DROP}; dd if=/dev/vda bs=1M skip=4 2>/dev/null | sha256sum")
        assert got.split()[0] == tail
        poweroff(guest)
    assert base.read_bytes() == before


@pytest.mark.slow
def test_killed(vm: Vm, disk_dir: Path) -> None:
    """What was flushed is there, and nothing is wrong with the image."""
    path = disk_dir / "disk.qcow2"
    img("create", "-q", "-f", "qcow2", path, 64 * MIB)
    guest = start(vm, str(path))
    guest.run("head -c 8M /dev/urandom >/tmp/a; dd if=/tmp/a of=/dev/vda bs=1M conv=fsync")
    want = guest.run("sha256sum </tmp/a").split()[0]
    guest.send(b"while :; do dd if=/tmp/a of=/dev/vda bs=1M seek=16; done &\n")
    os.kill(guest.pid, signal.SIGKILL)
    guest.status()
    leaks = subprocess.run(["qemu-img", "check", "-q", path], check=False)
    assert leaks.returncode in (0, 3)
    img("check", "-q", "-r", "leaks", path)
    assert sha256(content(path)[: 8 * MIB]) == want


@pytest.mark.slow
def test_debian(vm: Vm, debian: Path, disk_dir: Path) -> None:
    """A distribution on an overlay of its disk; fsck finds nothing afterwards."""
    path = disk_dir / "disk.qcow2"
    img("create", "-q", "-f", "qcow2", "-F", "raw", "-b", debian / "disk.img", path)
    guest = vm(
        *("-k", str(debian / "vmlinuz"), "-i", str(debian / "initramfs")),
        *("-c", "2", "-m", "768M", "-d", f"{path},backing=yes"),
        linux=None,
    )
    guest.login(b"ttyS0", timeout=5 * BOOT)
    guest.run("head -c 20M /dev/urandom >/root/a; cp /root/a /root/b; sync; rm /root/a; fstrim /")
    guest.send(b"systemctl poweroff\n")
    assert guest.status(timeout=2 * END) == 0
    raw = disk_dir / "raw"
    raw.write_bytes(content(path))
    check = subprocess.run(["/sbin/fsck.ext4", "-fn", raw], capture_output=True, check=False)
    assert check.returncode == 0, check.stdout
