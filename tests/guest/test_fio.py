# SPDX-License-Identifier: BSD-2-Clause
"""fio on every way to serve a disk: blocks carry checksums, which are verified when read.

fio comes from the disk of the Debian guest, under a small guest that boots quickly. Its jobs run on
all the disks of the guest at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from disks import BACK_ENDS, DROP, MIB, TRANSPORTS, allocated, disk, sha256, sparse
from guest import DISK_MODULES, Guest, slow

# Limit in seconds for a round of jobs
ROUND = 600
SIZE = 4 * MIB

Start = Callable[..., Guest]


@pytest.fixture
def start(vm: Callable[..., Guest], debian: Path, disk_dir: Path) -> Start:
    """A guest in which `fio FILE` runs, with a disk for each back end: vdb and so on."""

    def start(transport: str, queues: int, *further: str) -> Guest:
        specs = [f"{debian / 'disk.img'},ro", *further]
        for name, words in BACK_ENDS.items():
            specs.append(f"{sparse(disk_dir / name, SIZE)},{words},queues={queues}")
        words = [word for spec in specs for word in ("-d", spec)]
        guest = vm(
            *("-a", DISK_MODULES, "--transport", transport, "-c", str(queues), "-m", "768M"), *words
        ).shell()
        guest.run("mkdir /m; mount -t ext4 -o ro /dev/vda /m")
        guest.run("for dir in proc sys dev; do mount --bind /$dir /m/$dir; done")
        guest.run("mount -t tmpfs tmpfs /m/tmp")
        return guest

    return start


def fio(guest: Guest, devs: list[str], **options: object) -> None:
    """One job for each disk, side by side; numbers are the disk's alone."""
    words = {
        "size": SIZE,
        "ioengine": "libaio",
        "iodepth": 16,
        "verify": "crc32c",
        "verify_fatal": 1,
        "verify_state_save": 0,
        "randrepeat": 1,
        "thread": 1,
        **options,
    }
    text = "[global]\n" + "".join(f"{key}={value}\n" for key, value in words.items())
    text += "".join(f"[{dev}]\nfilename=/dev/{dev}\n" for dev in devs)
    guest.run(f"cat >/m/tmp/job <<'END'\n{text}END")
    guest.run(DROP)
    out = guest.run("chroot /m fio --eta=never /tmp/job 2>&1; echo status $?", timeout=ROUND)
    assert out.endswith("status 0\n"), out
    assert out.count("err= 0") == len(devs), out


def devices(count: int) -> list[str]:
    return [disk(index + 1) for index in range(count)]


@pytest.mark.parametrize("transport,queues", [("pci", 4), slow("mmio", 1)])
def test_fio(start: Start, transport: str, queues: int) -> None:
    guest = start(transport, queues)
    devs = devices(len(BACK_ENDS))
    fio(guest, devs, rw="randwrite", bs="4k", direct=1)
    fio(guest, devs, rw="randwrite", bs="4k", direct=1, verify_only=1)
    fio(guest, devs, rw="randrw", bsrange="4k-1m", direct=1)
    fio(guest, devs, rw="randrw", bs="64k", direct=0, ioengine="psync", fsync=16)


@pytest.mark.slow
def test_fio_ram_disk(start: Start, ram_disk: Path) -> None:
    """A block device of the host."""
    guest = start("pci", 2, f"{ram_disk},queues=2")
    fio(guest, ["vdb"], rw="randrw", bsrange="512-256k", direct=1)


@pytest.mark.slow
@pytest.mark.parametrize("queues", [1, 4])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_fio_matrix(start: Start, transport: str, queues: int) -> None:
    guest = start(transport, queues)
    devs = devices(len(BACK_ENDS))
    for size in ("4k", "64k", "1m"):
        for direct in (0, 1):
            words = {"bs": size, "direct": direct, "ioengine": "libaio" if direct else "psync"}
            fio(guest, devs, rw="randwrite", **words)
            fio(guest, devs, rw="randwrite", verify_only=1, **words)
            fio(guest, devs, rw="randrw", **words)
            fio(guest, devs, rw="write", **words)


def test_zeros(start: Start, disk_dir: Path) -> None:
    """WRITE_ZEROES, once so that the host keeps the space, and once so that it has it back."""
    guest = start("mmio", 1)
    for dev, name in zip(devices(len(BACK_ENDS)), BACK_ENDS):
        path = disk_dir / name
        guest.run(f"dd if=/dev/urandom of=/dev/{dev} bs=1M count=4 oflag=direct 2>/dev/null")
        want = bytearray(path.read_bytes())
        for option, start_mib, freed in (("--zero-range", 0, 0), ("--punch-hole", 2, MIB)):
            words = f"{option} --offset {start_mib * MIB} --length {MIB} /dev/{dev}"
            assert guest.run(f"chroot /m /usr/bin/fallocate {words}; echo $?") == "0\n", name
            want[start_mib * MIB : (start_mib + 1) * MIB] = bytes(MIB)
            guest.run(DROP)
            assert guest.run(f"sha256sum </dev/{dev}").split()[0] == sha256(want), name
            assert path.read_bytes() == want, name
            os.sync()
            assert abs(allocated(path) - (SIZE - freed)) <= 64 * 1024, name
