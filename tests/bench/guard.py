# SPDX-License-Identifier: BSD-2-Clause
"""guard.py lab: what the guard looks at that takes a guest of Linux's. For level 1 of the lab.
guard.py here BANTAM: what it looks at on this machine.
guard.py check KEPT DIR [--write]: compares what those two left in DIR with the file KEPT, or writes
it there. A figure is for what it depends on beside Bantam ("about"): where that is something else,
there is none, and nothing is compared.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

MARGIN = 0.02
# Some pages more or less, as it happens to be
MEMORY = {
    "Pss": "KiB of PSS at rest, two disks",
    "Private_Dirty": "KiB private and dirty at rest, two disks",
}
MEMORY_MARGIN = 0.1
LINUX = "linux-12"

Row = dict[str, Any]


def lab() -> None:
    import boot
    import memory
    import tracepoints
    from guests import HERE, REPEATABLE, Figures, again_if_spoilt, bantam, ram_disks

    def measure() -> tuple[dict[str, float], dict[str, int]]:
        boot.parts(argv)  # fills the caches
        boot.let_cache_settle()
        with tracepoints.histograms({"kvm_userspace_exit": "reason"}) as read:
            return boot.parts(argv), read("kvm_userspace_exit", boot.USER_EXITS)

    boot.make_linker_cache()
    boot.let_kernels_age()
    both = ram_disks(2)
    disks = both[:1]
    words = boot.default_words(LINUX, disks)
    argv = bantam(LINUX, f"{words} {REPEATABLE} rdinit=/first", disks)
    figures = Figures("guard-lab")
    found = again_if_spoilt("guard", measure)
    if not found:
        return
    parts, exits = found
    release = (HERE / "guests" / LINUX / "release").read_text().strip()
    about = f"Linux {release} on {platform.release()}"
    for figure, value in {
        "instructions to the guest's init": round(parts["process"] * 1e9),
        "system calls to the first KVM_RUN": parts["syscalls"],
        "exits to user space until init": sum(exits.values()),
    }.items():
        figures.add(value, figure=f"{figure}, default command line, one disk", about=about)
    argv = bantam(LINUX, memory.COMMAND_LINE, both)
    rest = again_if_spoilt("guard", lambda: memory.at_rest(argv))
    for key, figure in MEMORY.items() if rest else ():
        figures.add(round(rest[key] * 1024), figure=figure, about=about)


def here(binary: str) -> None:
    from guests import HERE, Figures
    from start import until_run

    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        say("SKIP: no /dev/kvm here for a flat program")
        return
    flat = [binary, "run", "-m", "256M", "--flat", str(HERE / "halt"), "--mode", "long"]
    Figures("guard-here", "this machine").add(
        until_run("calls", flat), figure="system calls to the first KVM_RUN, flat program",
        about="glibc " + platform.libc_ver()[1],
    )


def say(words: str) -> None:
    print(f"  GUARD   {words}", flush=True)


def measured(directory: Path) -> list[Row]:
    rows: list[Row] = []
    for path in sorted(directory.glob("guard-*.json")):
        rows += json.loads(path.read_text())["rows"]
    return rows


def find(rows: list[Row], like: Row) -> Row | None:
    same = [row for row in rows if all(row[key] == like[key] for key in ("figure", "about"))]
    return same[0] if same else None


def verdict(row: Row, kept: Row | None) -> bool:
    """False: worse than it was."""
    about = f"{row['figure']}: {row['value']:,}"
    if kept is None:
        say(f"{about}; SKIP: no figure is kept for {row['about']}")
        return True
    change = row["value"] / kept["value"] - 1
    margin = MEMORY_MARGIN if row["figure"] in MEMORY.values() else MARGIN
    says = f"{about}, kept {kept['value']:,} ({change:+.1%})"
    if change > margin:
        say(f"{says}: FAILED")
        return False
    say(f"{says}; better: let it be kept" if change < -margin else says)
    return True


def check(path: Path, directory: Path, write: bool) -> bool:
    rows = measured(directory)
    kept: list[Row] = json.loads(path.read_text()) if path.exists() else []
    if write:
        kept = [row for row in kept if not find(rows, row)] + rows
        kept.sort(key=lambda row: (row["figure"], row["about"]))
        path.write_text(json.dumps(kept, indent=1) + "\n")
        say(f"{len(rows)} figures are kept")
        return True
    good = [verdict(row, find(kept, row)) for row in rows]
    if not all(good):
        say("worse than the margin allows. If that is meant: tests/bench/guard --write BANTAM")
    return all(good)


def main() -> int:
    what, *words = sys.argv[1:]
    if what == "lab":
        lab()
    elif what == "here":
        here(*words)
    else:
        return 0 if check(Path(words[0]), Path(words[1]), words[2:] == ["--write"]) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
