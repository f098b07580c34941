# SPDX-License-Identifier: BSD-2-Clause
"""What a VMM takes beside its guest's memory: a guest at rest with a console and two disks, whose
drivers are loaded. Runs in level 1 of the lab.

PSS shares a page out among those who map it; private dirty is what nobody else has, and no file.
Both are memory that the host does not have for others. RSS also falls where a process unmaps pages
of a library that stay in the page cache, and the host has gained nothing.
"""

from __future__ import annotations

import time
from pathlib import Path

from guests import (
    MEMORY_MB,
    NO_TESTS,
    REPEATABLE,
    WORDS,
    Figures,
    Guest,
    again_if_spoilt,
    bantam,
    qemu,
    ram_disks,
)

LINUX = "linux-12"
COMMAND_LINE = f"{WORDS} {REPEATABLE} {NO_TESTS} bench.disks=2"
KEYS = ("Pss", "Private_Dirty")


def fields(text: str) -> dict[str, int]:
    """The lines `Key: N kB` of smaps, in KiB."""
    found = {}
    for line in text.splitlines():
        key, _, rest = line.partition(":")
        if rest.endswith(" kB"):
            found[key] = int(rest.split()[0])
    return found


def mappings(pid: int) -> list[dict[str, int]]:
    text = Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace")
    parts = text.split("VmFlags:")
    return [fields(part) for part in parts[:-1]]


def beside_guest(pid: int) -> dict[str, float]:
    """MB, without the one mapping that is the guest's memory; and threads."""
    total = fields(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8"))
    ram = max(mappings(pid), key=lambda mapping: mapping["Size"])
    if ram["Size"] != MEMORY_MB << 10:
        raise SystemExit(f"the largest mapping has {ram['Size']} KiB and is not the guest's memory")
    found = {key: round((total[key] - ram[key]) / 1024, 2) for key in KEYS}
    found["Threads"] = len(list(Path(f"/proc/{pid}/task").iterdir()))
    return found


def at_rest(argv: list[str]) -> dict[str, float]:
    with Guest(argv) as guest:
        guest.wait(b"BENCH-READY")
        time.sleep(1)
        return beside_guest(guest.vmm.pid)


def main() -> None:
    figures = Figures("memory")
    disks = ram_disks(2)
    for vmm, argv in {
        "bantam": bantam(LINUX, COMMAND_LINE, disks),
        "QEMU microvm": qemu(LINUX, COMMAND_LINE, disks),
    }.items():
        value = again_if_spoilt(vmm, lambda argv=argv: at_rest(argv))
        figures.add(value, vmm=vmm)


if __name__ == "__main__":
    main()
