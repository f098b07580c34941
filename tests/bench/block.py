# SPDX-License-Identifier: BSD-2-Clause
"""What a disk's I/O costs, as a program in the guest sees it (load.c). Runs in level 1 of the lab.

block.py: instructions per I/O, on one CPU where an instruction is a nanosecond.
block.py wall: I/Os per second on a machine of two CPUs, in real time; noisy.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys

from guests import (
    HERE,
    NO_TESTS,
    REPEATABLE,
    WORDS,
    Figures,
    Guest,
    Spoilt,
    again_if_spoilt,
    bantam,
    qemu,
    ram_disks,
)

LINUX = "linux-12"
TESTS = (
    "read,4096,1,4000", "write,4096,1,4000", "read,4096,32,8000", "write,4096,32,8000",
    "seqread,131072,4,1024", "flush,4096,1,2000", "writeflush,4096,1,2000",
)
WALL_TESTS = ("read,4096,32,8000",) * 5

Result = list[tuple[str, float]]


def results(console: str) -> Result:
    """Of each test its name and nanoseconds per I/O."""
    if "DATA good" not in console:
        raise Spoilt(f"the load did not come to its end: {console[-300:]!r}")
    found = re.findall(r"RESULT (\w+) (\d+) (\d+) ([\d.]+)", console)
    return [(f"{op},{size},{depth}", float(ns)) for op, size, depth, ns in found]


def native(disk: str, tests: tuple[str, ...]) -> Result:
    run = subprocess.run(
        [HERE / "load", disk, *tests], stdout=subprocess.PIPE, check=True, text=True
    )
    return results(run.stdout)


def in_guest(argv: list[str]) -> Result:
    with Guest(argv) as guest:
        guest.wait(b"Power down")
        return results(guest.seen.decode(errors="replace"))


def main() -> None:
    wall = sys.argv[1:] == ["wall"]
    tests = WALL_TESTS if wall else TESTS
    figures = Figures("block-wall" if wall else "block")
    disks = ram_disks(1)
    words = f"{WORDS} {REPEATABLE} {NO_TESTS} bench.disks=1 bench.load={':'.join(tests)}"
    guests = {
        "bantam, PCI": bantam(LINUX, words, disks),
        "bantam, MMIO": bantam(LINUX, words, disks, "mmio"),
        "QEMU microvm, PCI": qemu(LINUX, words, disks, "pci"),
        "QEMU microvm, MMIO": qemu(LINUX, words, disks),
    }
    all_results = {"native": native(disks[0], tests)}
    for vmm, argv in guests.items():
        got = again_if_spoilt(vmm, lambda argv=argv: in_guest(argv))
        if got:
            all_results[vmm] = got
    for vmm, got in all_results.items():
        if wall:
            iops = [round(1e9 / ns) for _, ns in got]
            figures.add(statistics.median_low(iops), vmm=vmm, test=got[0][0], runs=iops)
            continue
        for test, ns in got:
            figures.add(round(ns), vmm=vmm, test=test)


if __name__ == "__main__":
    main()
