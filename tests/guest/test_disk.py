# SPDX-License-Identifier: BSD-2-Clause
"""Disks as a stock kernel uses them: data, sizes, holes, errors, and what a crash leaves."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from disks import BACK_ENDS, DROP, MIB, TRANSPORTS, allocated, disk, noise, sha256, sparse
from guest import DISK_MODULES, Guest, slow

POWEROFF, USAGE = 0, 2

Run = Callable[..., subprocess.CompletedProcess[bytes]]
Start = Callable[..., Guest]


@pytest.fixture
def start(vm: Callable[..., Guest]) -> Start:
    """A guest with these disks, at its shell: start("pci", "a.img", "b.img,ro", cpus=2)."""

    def start(transport: str, *specs: object, cpus: int = 1) -> Guest:
        words = [word for spec in specs for word in ("-d", str(spec))]
        words += ["--transport", transport, "-c", str(cpus)]
        return vm("-a", DISK_MODULES, *words).shell()

    return start


def poweroff(guest: Guest) -> None:
    guest.send(b"poweroff -f\n")
    assert guest.status() == POWEROFF


def hash_of(guest: Guest, dev: str) -> str:
    """Of the whole disk, as it is on the disk."""
    guest.run(DROP)
    return guest.run(f"sha256sum </dev/{dev}").split()[0]


# ---- data -----------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_data(start: Start, disk_dir: Path, transport: str) -> None:
    """What is in the image is what the guest reads, and the other way round."""
    size, offset, chunk = 3 * MIB, MIB + 7 * 512, 700 * 512
    for seed, name in enumerate(BACK_ENDS):
        (disk_dir / name).write_bytes(noise(size, seed))
    specs = [f"{disk_dir / name},{words},serial=a-{name}" for name, words in BACK_ENDS.items()]
    guest = start(transport, *specs, cpus=2)
    guest.run(f"head -c {chunk} /dev/urandom >/tmp/chunk")
    want = guest.run("sha256sum </tmp/chunk").split()[0]
    for index, name in enumerate(BACK_ENDS):
        dev = disk(index)
        before = noise(size, index)
        assert guest.run(f"cat /sys/block/{dev}/serial; echo").strip() == f"a-{name}"
        cache = guest.run(f"cat /sys/block/{dev}/queue/write_cache").strip()
        assert cache == ("write through" if name == "through" else "write back")
        assert hash_of(guest, dev) == sha256(before)
        # single sectors past the page cache, and through it, where it writes whole pages
        dd = f"dd if=/tmp/chunk of=/dev/{dev} 2>/dev/null"
        guest.run(f"{dd} bs=512 seek={offset // 512} oflag=direct")
        guest.run(f"{dd} bs=64k conv=fsync")
        after = (disk_dir / name).read_bytes()
        assert hash_of(guest, dev) == sha256(after)
        assert sha256(after[:chunk]) == want
        assert sha256(after[offset : offset + chunk]) == want
        assert after[chunk:offset] == before[chunk:offset]
        assert after[offset + chunk :] == before[offset + chunk :]
    poweroff(guest)


# A PCI bus has 32 places, of which the host bridge takes one.
@pytest.mark.parametrize("transport,count", [("pci", 31), slow("mmio", 32)])
def test_many_disks(start: Start, disk_dir: Path, transport: str, count: int) -> None:
    """As many as there may be, in the order in which they were given."""
    paths = [disk_dir / f"{index}" for index in range(count)]
    for index, path in enumerate(paths):
        path.write_bytes(f"disk {index}\n".encode().ljust(MIB, b"\0"))
    guest = start(transport, *(f"{path},serial=number-{path.name}" for path in paths))
    devs = " ".join(disk(index) for index in range(count))
    show = "head -n 1 /dev/$d; cat /sys/block/$d/serial; echo"
    want = "".join(f"disk {index}\nnumber-{index}\n" for index in range(count))
    assert guest.run(f"for d in {devs}; do {show}; done") == want
    guest.run(f"for d in {devs}; do echo this is $d >/dev/$d; done; sync")
    for index, path in enumerate(paths):
        assert path.read_bytes().startswith(f"this is {disk(index)}\n".encode())


@pytest.mark.parametrize("transport", ["pci", slow("mmio")])
def test_queues(start: Start, disk_dir: Path, transport: str) -> None:
    """Each of four CPUs has a queue of its own, and over PCI an interrupt, too."""
    path = disk_dir / "disk"
    path.write_bytes(noise(4 * MIB))
    guest = start(transport, f"{path},queues=4", cpus=4)
    assert guest.run("ls /sys/block/vda/mq").split() == ["0", "1", "2", "3"]
    for cpu in range(4):
        dd = f"dd if=/dev/vda bs=4k count=256 skip={cpu * 256} iflag=direct 2>/dev/null"
        part = noise(4 * MIB)[cpu * MIB : (cpu + 1) * MIB]
        assert guest.run(f"taskset -c {cpu} {dd} | sha256sum").split()[0] == sha256(part)
    lines = guest.run("grep virtio /proc/interrupts").splitlines()
    counts = {line.split()[-1]: sum(map(int, line.split()[1:5])) for line in lines}
    names = [f"virtio0-req.{queue}" for queue in range(4)] if transport == "pci" else ["virtio0"]
    assert all(counts[name] > 0 for name in names), counts


def test_ram_disk(start: Start, ram_disk: Path) -> None:
    """A block device of the host instead of a file."""
    ram_disk.write_bytes(noise(8 * MIB))
    guest = start("pci", f"{ram_disk},queues=2", cpus=2)
    assert guest.run("cat /sys/block/vda/size").strip() == str(8 * MIB // 512)
    assert hash_of(guest, "vda") == sha256(noise(8 * MIB))
    guest.run("dd if=/dev/urandom of=/dev/vda bs=4k seek=100 count=500 oflag=direct 2>/dev/null")
    want = hash_of(guest, "vda")
    poweroff(guest)
    assert sha256(ram_disk.read_bytes()) == want != sha256(noise(8 * MIB))


def test_large_sectors(start: Start, large_sectors: Path) -> None:
    """A block device with sectors of 4096 bytes is one for the guest, too."""
    large_sectors.write_bytes(noise(8 * MIB))
    guest = start("pci", large_sectors)
    assert guest.run("cat /sys/block/vda/queue/logical_block_size").strip() == "4096"
    assert hash_of(guest, "vda") == sha256(noise(8 * MIB))
    guest.run("dd if=/dev/urandom of=/dev/vda bs=4k seek=3 count=100 oflag=direct 2>/dev/null")
    want = hash_of(guest, "vda")
    poweroff(guest)
    assert sha256(large_sectors.read_bytes()) == want != sha256(noise(8 * MIB))


def test_last_sectors(start: Start, large_sectors: Path, tmp_path: Path) -> None:
    """A file that ends inside a block of its file system: as large under O_DIRECT, and stays so."""
    sectors = 4097 + 5
    subprocess.run(["mkfs.ext4", "-q", "-F", large_sectors], check=True)
    subprocess.run(["mount", large_sectors, tmp_path], check=True)
    try:
        image = tmp_path / "disk"
        image.write_bytes(noise(sectors * 512))
        guest = start("pci", f"{image},cache=none,aio=native")
        assert guest.run("cat /sys/block/vda/size").strip() == str(sectors)
        assert hash_of(guest, "vda") == sha256(noise(sectors * 512))
        dd = f"dd if=/dev/urandom of=/dev/vda bs=512 seek={sectors - 7} count=7 oflag=direct"
        guest.run(f"{dd} 2>/dev/null; sync")
        want = hash_of(guest, "vda")
        poweroff(guest)
        after = image.read_bytes()
        assert len(after) == sectors * 512
        assert sha256(after) == want
        assert after[: -7 * 512] == noise(sectors * 512)[: -7 * 512]
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_serial_of_twenty(start: Start, disk_dir: Path) -> None:
    """The longest serial number, which has no end in the guest's buffer."""
    serial = "abcdefghij0123456789"
    guest = start("pci", f"{sparse(disk_dir / 'disk', MIB)},serial={serial}")
    assert guest.run("cat /sys/block/vda/serial; echo").strip() == serial


@pytest.mark.parametrize("transport", [slow("pci"), "mmio"])
def test_read_only(start: Start, disk_dir: Path, transport: str) -> None:
    """Writes fail in the guest, also where it tries to make the disk writable."""
    path = disk_dir / "disk"
    path.write_bytes(noise(MIB))
    path.chmod(0o444)
    guest = start(transport, f"{path},ro")
    assert guest.run("blockdev --getro /dev/vda").strip() == "1"
    guest.run("blockdev --setrw /dev/vda")
    for write in ("dd if=/dev/zero of=/dev/vda bs=4k count=1 oflag=direct", "blkdiscard /dev/vda"):
        assert guest.run(f"{write} 2>/dev/null; echo $?").strip() != "0"
    assert hash_of(guest, "vda") == sha256(noise(MIB))
    poweroff(guest)
    assert path.read_bytes() == noise(MIB)


# ---- sizes and holes ------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["pci", slow("mmio")])
def test_resize(start: Start, disk_dir: Path, transport: str) -> None:
    """SIGUSR1 makes bantam look at the size again, and the guest learns of it."""
    path = sparse(disk_dir / "disk", 4 * MIB)
    guest = start(transport, sparse(disk_dir / "other", MIB), path)
    for size in (16 * MIB, 8 * MIB):
        os.truncate(path, size)
        os.kill(guest.pid, signal.SIGUSR1)
        guest.run(f"until [ $(cat /sys/block/vdb/size) = {size // 512} ]; do usleep 20000; done")
        guest.run(f"echo last | dd of=/dev/vdb bs=512 seek={size // 512 - 1} conv=fsync,notrunc")
        assert path.read_bytes()[-512:].startswith(b"last\n")
        assert guest.run(f"dd if=/dev/vdb bs=512 skip={size // 512} 2>/dev/null | wc -c") == "0\n"
    assert guest.run("cat /sys/block/vda/size").strip() == str(MIB // 512)


def test_discard(start: Start, disk_dir: Path) -> None:
    """What the guest discards is a hole in the image, and reads as zeros."""
    paths = [disk_dir / name for name in ("native", "writeback")]
    for path in paths:
        path.write_bytes(noise(8 * MIB))
        os.sync()
        assert allocated(path) >= 8 * MIB
    guest = start("pci", *(f"{path},{BACK_ENDS[path.name]}" for path in paths))
    want = bytearray(noise(8 * MIB))
    want[MIB : 6 * MIB] = bytes(5 * MIB)
    for index, path in enumerate(paths):
        dev = disk(index)
        assert guest.run(f"blkdiscard -o {MIB} -l {5 * MIB} /dev/{dev}; echo $?") == "0\n"
        assert hash_of(guest, dev) == sha256(want)
        assert path.read_bytes() == want
        assert path.stat().st_size == 8 * MIB
        assert allocated(path) <= 8 * MIB - 5 * MIB + 64 * 1024


def test_trim(start: Start, disk_dir: Path) -> None:
    """A file that was deleted in a file system gives its space back."""
    path = sparse(disk_dir / "disk", 32 * MIB)
    guest = start("pci", path)
    guest.run("mke2fs /dev/vda && mkdir /m && mount -t ext4 /dev/vda /m")
    guest.run("head -c 16m /dev/urandom >/m/file; sync")
    assert allocated(path) >= 16 * MIB
    guest.run("rm /m/file; sync")
    assert guest.run("fstrim /m; echo $?") == "0\n"
    guest.run("umount /m")
    assert allocated(path) < 4 * MIB


# ---- what one disk may do at a time ---------------------------------------------------------


def test_locked(start: Start, bantam_run: Run, linux12: list[str], disk_dir: Path) -> None:
    """One writer, or any number of readers."""
    written = sparse(disk_dir / "written", MIB)
    shared = sparse(disk_dir / "shared", MIB)
    guest = start("pci", written, f"{shared},ro")
    for spec in (str(written), f"{written},ro", str(shared), f"{written},cache=writeback"):
        result = bantam_run(*linux12, "-d", spec)
        assert result.returncode == USAGE
        assert result.stderr.count(b"\n") == 1
        assert spec.split(",")[0].encode() in result.stderr
    start("pci", f"{shared},ro")
    # the lock goes with its holder, whatever way that ends
    os.kill(guest.pid, signal.SIGKILL)
    guest.status()
    start("pci", written)


# ---- errors of the host, ends of the guest --------------------------------------------------


@pytest.mark.parametrize("transport", ["pci", slow("mmio")])
def test_full_file_system(
    start: Start, lab_host: None, tmp_path: Path, transport: str
) -> None:
    """The guest sees an I/O error, goes on, and can write again when there is room."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", tmp_path], check=True)
    try:
        path = sparse(tmp_path / "disk", 24 * MIB)
        guest = start(transport, f"{path},cache=writeback")
        guest.run("dd if=/dev/urandom of=/tmp/blob bs=1M count=16 2>/dev/null")
        write = "dd if=/tmp/blob of=/dev/vda bs=1M oflag=direct"
        text = guest.run(f"{write}; echo status $?")
        assert "rror" in text
        assert "status 1" in text
        assert guest.run("dmesg | grep -c 'I/O error, dev vda'") != "0\n"
        assert guest.run("cmp -n 1048576 /tmp/blob /dev/vda; echo $?") == "0\n"
        subprocess.run(["mount", "-o", "remount,size=32M", tmp_path], check=True)
        assert guest.run(f"{write} 2>/dev/null; echo $?") == "0\n"
        guest.run(DROP)
        assert guest.run("cmp -n 16777216 /tmp/blob /dev/vda; echo $?") == "0\n"
        poweroff(guest)
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_file_size_limit(vm: Callable[..., Guest], disk_dir: Path) -> None:
    """ulimit -f: an I/O error for the guest, at once and by asynchronous I/O, and no more."""
    drives = [f"{sparse(disk_dir / how, 16 * MIB)},aio={how}" for how in ("native", "threads")]
    options = [word for drive in drives for word in ("-d", drive)]
    limit = ("prlimit", f"--fsize={8 * MIB}:unlimited")
    guest = vm(*options, "-a", DISK_MODULES, prefix=limit).shell()
    for dev in ("vda", "vdb"):
        write = f"dd if=/dev/zero of=/dev/{dev} bs=64k count=1 oflag=direct 2>/dev/null"
        # bantam says so on the same terminal
        assert guest.run(f"{write} seek=160; echo $?").endswith("\n1\n")
        assert guest.run(f"{write} seek=16; echo $?") == "0\n"
    poweroff(guest)


@pytest.mark.parametrize("transport", [slow("pci"), "mmio"])
def test_reboot(start: Start, disk_dir: Path, transport: str) -> None:
    """In the middle of writing; and a disk stays what it is, whatever the guest put on it."""
    header = b"QFI\xfb\0\0\0\3" + bytes(12) + b"\0\0\0\x10" + bytes(4) + b"\0\0\0\1"
    raw, busy = (sparse(disk_dir / name, 16 * MIB) for name in ("raw", "busy"))
    guest = start(transport, f"{raw},queues=2", busy, cpus=2)
    octal = "".join(f"\\{byte:03o}" for byte in header)
    guest.run(f"printf '{octal}' | dd of=/dev/vda conv=fsync 2>/dev/null")
    guest.run("head -c 4m /dev/urandom >/tmp/blob; dd if=/tmp/blob of=/dev/vda bs=1M seek=4")
    want = hash_of(guest, "vda")
    write = "dd if=/dev/urandom of=/dev/vdb bs=64k oflag=direct 2>/dev/null"
    guest.run(f"for n in 1 2 3 4; do (while {write} || true; do :; done &) ; done; usleep 300000")
    guest.send(b"reboot -f\n")
    guest.shell()
    assert guest.run("cat /sys/block/vda/size").strip() == str(16 * MIB // 512)
    assert hash_of(guest, "vda") == want
    guest.run(f"{write} count=16")
    poweroff(guest)
    # and for a new process, which might look at the content if it were careless
    guest = start(transport, raw)
    assert guest.run("cat /sys/block/vda/size").strip() == str(16 * MIB // 512)
    assert hash_of(guest, "vda") == want == sha256(raw.read_bytes())
    assert raw.read_bytes().startswith(header)


def test_killed(start: Start, disk_dir: Path) -> None:
    """What the guest had synced is in the image, however bantam ends."""
    names = ["native", "threads", "writeback", "unsafe"]
    paths = [sparse(disk_dir / name, 16 * MIB) for name in names]
    specs = [f"{path},{BACK_ENDS[path.name]}" for path in paths]
    guest = start("pci", *specs, cpus=2)
    want = {}
    for index in range(len(names)):
        dev = disk(index)
        guest.run(f"mke2fs /dev/{dev} && mkdir /{dev} && mount -t ext4 /dev/{dev} /{dev}")
        guest.run(f"dd if=/dev/urandom of=/{dev}/file bs=64k count=48 conv=fsync 2>/dev/null")
        want[dev] = guest.run(f"sha256sum </{dev}/file")
    # and it is killed while it writes something else
    guest.run("(cat /dev/urandom >/vda/more &); usleep 100000")
    os.kill(guest.pid, signal.SIGKILL)
    assert guest.status() == 128 + signal.SIGKILL
    guest = start("mmio", *specs)
    for dev, text in want.items():
        guest.run(f"mkdir /m; mount -t ext4 -o ro /dev/{dev} /m")
        assert guest.run("sha256sum </m/file") == text, dev
        guest.run("umount /m")
