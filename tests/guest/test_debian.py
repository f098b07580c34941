# SPDX-License-Identifier: BSD-2-Clause
"""A whole Debian 12 on a disk: systemd, udev and its own initrd, up to the login prompt."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from guest import BOOT, END, Guest, slow

# systemd starts some hundred processes before it lets anybody in
LOGIN = 5 * BOOT
TRANSFER = 600

# What most will use, with few files; the other combinations with many are slow only.
COMBINATIONS = [
    ("serial", "pci", 60),
    slow("serial", "pci", 400),
    slow("virtio", "mmio", 400),
    slow("serial", "mmio", 400),
    slow("virtio", "pci", 400),
]


# The driver of hvc0 is a module here, and until it is loaded there is no console for the initrd,
# which ends without one: hence tty0, which leads nowhere.
CONSOLES = {"serial": [], "virtio": ["--console", "virtio", "-a", "console=tty0 console=hvc0"]}


def boot(vm: Callable[..., Guest], debian: Path, disk: str, *options: str) -> Guest:
    return vm(
        *("-k", str(debian / "vmlinuz"), "-i", str(debian / "initramfs")),
        *("-c", "2", "-m", "768M", "-d", disk, *options),
        linux=None,
    )


def write_files(guest: Guest, count: int) -> None:
    """As a package manager does: files of up to 2 MiB, each synced before it gets its name."""
    guest.run("mkdir /srv/files; cd /srv/files; head -c 2M /dev/urandom >/root/seed")
    guest.run(
        f"""cat >/root/fill <<'END'
for n in $(seq {count}); do
    (echo $n; head -c $((n * n * 13 % 1048576 + n * 1000)) /root/seed; echo $n) >$n.new
    sync $n.new
    mv $n.new $n
    [ $((n % 7)) -ne 0 ] || rm $((n - 3))
done
END"""
    )
    guest.run("sh /root/fill && md5sum * | sort -k 2 >/root/sums && du -sm .", timeout=TRANSFER)
    guest.run("sync; echo 3 >/proc/sys/vm/drop_caches", timeout=TRANSFER)


@pytest.mark.parametrize("console,transport,count", COMBINATIONS)
def test_install_and_use(
    vm: Callable[..., Guest], debian: Path, disk_dir: Path, console: str, transport: str, count: int
) -> None:
    disk = disk_dir / "disk.img"
    subprocess.run(["cp", debian / "disk.img", disk], check=True)  # keeps it sparse
    guest = boot(vm, debian, str(disk), "--transport", transport, *CONSOLES[console])
    guest.login(b"hvc0" if console == "virtio" else b"ttyS0", timeout=LOGIN)
    assert "ext4 rw" in guest.run("grep ' / ' /proc/mounts")
    bus = {"pci": "/pci", "mmio": "/LNRO0005"}[transport]
    assert bus in guest.run("readlink -f /sys/block/vda/device/..")

    write_files(guest, count)
    same = guest.run("md5sum * | sort -k 2 | cmp - /root/sums && ls | wc -l", timeout=TRANSFER)
    assert int(same) == count - count // 7
    assert guest.run("dmesg | grep -i -E 'virtio|vda|ext4-fs' | grep -i -E 'err|fail|warn'") == ""
    assert guest.run("systemctl --failed --no-legend --plain") == ""

    guest.send(b"systemctl poweroff\n")
    assert guest.status(timeout=2 * END) == 0
    check = subprocess.run(
        ["/sbin/fsck.ext4", "-f", "-n", str(disk)], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stdout + check.stderr
