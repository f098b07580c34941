# SPDX-License-Identifier: BSD-2-Clause
"""report.py DIR [DOCUMENT]: the figures that the sections left in DIR, as Markdown tables, on
stdout or between the marks of DOCUMENT; with DOCUMENT also as JSON beside it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
Row = dict[str, Any]

KERNELS = {"linux-12": "Debian 12", "linux-13": "Debian 13"}
# Of load.c's tests, and what Bantam is to reach, in instructions
TESTS = {
    "read,4096,1": ("4 KiB random read, depth 1", 36000),
    "write,4096,1": ("4 KiB random write, depth 1", 33000),
    "read,4096,32": ("4 KiB random read, depth 32", 11000),
    "write,4096,32": ("4 KiB random write, depth 32", 11000),
    "seqread,131072,4": ("128 KiB sequential read, depth 4", 50000),
    "flush,4096,1": ("flush", 33000),
    "writeflush,4096,1": ("4 KiB write and flush", None),
}

# Of netload.c's tests, and what Bantam is to reach by tap and by user networking
NET_TESTS = {
    "send": ("MiB, guest to host", {"tap": 1650000, "user": 6000000}),
    "recv": ("MiB, host to guest", {"tap": 1250000, "user": 4000000}),
    "echo": ("64 bytes, there and back", {"tap": 64000, "user": 110000}),
}


def table(head: list[str], lines: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines]] + [""]


def names(rows: list[Row], key: str) -> list[str]:
    """The values of key, in the order of their first appearance."""
    return list(dict.fromkeys(row[key] for row in rows))


def pick(rows: list[Row], **about: str) -> Any:
    for row in rows:
        if all(row.get(key) == value for key, value in about.items()):
            return row["value"]
    return None


def thousands(value: float | None) -> str:
    return "–" if value is None else f"{value / 1000:.1f}k"


def boot(rows: list[Row]) -> list[str]:
    timed = [row for row in rows if row["figure"] == "instructions"]
    vmms = names(timed, "vmm")
    lines = []
    for kernel in names(timed, "kernel"):
        for words in names([row for row in timed if row["kernel"] == kernel], "words"):
            values = [pick(timed, kernel=kernel, words=words, vmm=vmm) for vmm in vmms]
            lines.append(
                [KERNELS[kernel], f"`{words}`"]
                + ["–" if value is None else f"{value:.3f}" for value in values]
            )
    out = ["## Boot", "", "10^9 instructions from exec to the first word of the guest's init.", ""]
    out += table(["kernel", "command line"] + vmms, lines)
    out += exits([row for row in rows if row["figure"] == "exits"])
    calls = [row for row in rows if row["figure"] == "syscalls"]
    said = ", ".join(f"{row['vmm']} {row['value']}" for row in calls)
    return out + [f"System calls from exec to the first KVM_RUN: {said}.", ""]


def exits(rows: list[Row]) -> list[str]:
    lines = []
    for row in rows:
        cells = []
        for kind in ("all", "user"):
            counts = (row["value"] or {}).get(kind, {})
            each = ", ".join(f"{name} {count}" for name, count in counts.items())
            cells += [f"{sum(counts.values()):,}", each]
        lines.append([KERNELS[row["kernel"]], row["vmm"], *cells])
    out = [f"Exits until then (`{rows[0]['words']}`), and those of them that went on to the VMM."]
    return out + [""] + table(["kernel", "VMM", "all", "of which", "to the VMM", "of which"], lines)


def block(rows: list[Row]) -> list[str]:
    vmms = names(rows, "vmm")
    lines = []
    for test in names(rows, "test"):
        name, goal = TESTS[test]
        values = [pick(rows, test=test, vmm=vmm) for vmm in vmms]
        lines.append([name, *map(thousands, values), thousands(goal)])
    out = ["## Disks", "", "Instructions per I/O, as a program in the guest sees it.", ""]
    return out + table(["", *vmms, "goal"], lines)


def block_wall(rows: list[Row]) -> list[str]:
    said = "; ".join(
        f"{row['vmm']} {row['value']:,} ({min(row['runs']):,} to {max(row['runs']):,})"
        for row in rows
    )
    return [
        "In real time, on an emulated host of two CPUs, where guest and VMM overlap; **noisy**. "
        f"I/Os per second, 4 KiB random read, depth 32, median of {len(rows[0]['runs'])}: {said}.",
        "",
    ]


def net(rows: list[Row]) -> list[str]:
    vmms = names(rows, "vmm")
    lines = []
    for test in names(rows, "test"):
        name, goals = NET_TESTS[test]
        values = [pick(rows, test=test, vmm=vmm) for vmm in vmms]
        lines.append([name, *map(thousands, values), *map(thousands, goals.values())])
    out = ["## Networks", "", "Instructions of TCP, as a program in the guest sees it.", ""]
    return out + table(["", *vmms, *(f"goal, {kind}" for kind in ("tap", "user"))], lines)


def memory(rows: list[Row]) -> list[str]:
    lines = []
    for row in rows:
        value = row["value"]
        lines.append([
            row["vmm"], *([f"{value['Rss']:.1f}", f"{value['Private_Dirty']:.1f}",
                           str(value["Threads"])] if value else ["–"] * 3)
        ])
    out = ["## Memory", "", "Beside the guest's own: console, two disks, guest at rest.", ""]
    return out + table(["VMM", "RSS, MB", "private dirty, MB", "threads"], lines)


SECTIONS = {"boot": boot, "block": block, "block-wall": block_wall, "net": net, "memory": memory}


def read_sections(directory: Path) -> dict[str, list[Row]]:
    found = {}
    for name in SECTIONS:
        path = directory / f"{name}.json"
        if path.exists():
            found[name] = json.loads(path.read_text())["rows"]
    return found


def main() -> None:
    directory = Path(sys.argv[1])
    sections = read_sections(directory)
    versions = json.loads((directory / "versions.json").read_text())
    for name in sections:
        versions.update(json.loads((directory / f"{name}.json").read_text())["versions"])
    lines = [f"{', '.join(f'{name} {version}' for name, version in versions.items())}.", ""]
    for name, rows in sections.items():
        lines += SECTIONS[name](rows)
    text = "\n".join(lines).rstrip()
    if len(sys.argv) < 3:
        print(text)
        return
    document = Path(sys.argv[2])
    old = document.read_text(encoding="utf-8")
    before, rest = old.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    document.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    document.with_suffix(".json").write_text(
        json.dumps({"versions": versions, **sections}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
