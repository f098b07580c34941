# SPDX-License-Identifier: BSD-2-Clause
"""report.py DIR COMMAND [DOCUMENT]: the figures that COMMAND's sections left in DIR, as Markdown
tables, on stdout; or into DOCUMENT, between its marks, and as JSON and as a picture beside it.
There a section that was not measured stays as it was.
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import Any

import picture

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
Row = dict[str, Any]

KERNELS = {"linux-12": "Debian 12", "linux-13": "Debian 13"}
# 10^9 instructions that Bantam is to reach, by kernel and what the command line is about
BOOT_GOALS = {
    "linux-12": {"quiet": 1.33, "notests": 0.45, "default": 0.42},
    "linux-13": {"quiet": 1.27, "notests": 0.76, "default": 0.65},
}
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


def boot_goal(row: Row) -> str:
    if row["vmm"] != "bantam":
        return "–"
    about = [word for word in ("default", "notests", "quiet") if word in row["words"]][0]
    return f"{BOOT_GOALS[row['kernel']][about]:.2f}"


def boot_line(row: Row) -> list[str]:
    value = row["value"] or {}
    keys = ("process", "elapsed", *picture.PARTS)
    ran, *cells = [f"{value[key]:.3f}" if key in value else "–" for key in keys]
    words = f"`{row['words']}`" if "=" in row["words"] else row["words"]
    about = [KERNELS[row["kernel"]], words, row["vmm"]]
    return [*about, ran, boot_goal(row), *cells, str(value.get("syscalls", "–"))]


def boot(rows: list[Row]) -> list[str]:
    timed = [row for row in rows if row["figure"] == "parts"]
    out = ["## Boot", "",
           "From exec to the first word of the guest's init, in 10^9 instructions: what",
           "the VMM's process ran, guest included; elapsed time, which is more where the guest",
           "sleeps; and of that the parts. Last, system calls up to the first KVM_RUN.", "",
           "![Where the time goes](benchmarks.svg)", ""]
    head = ["kernel", "command line", "VMM", "run", "goal", "elapsed", *picture.PARTS]
    out += table([*head, "system calls"], [boot_line(row) for row in timed])
    defaults = names([row for row in rows if row["figure"] == "words"], "value")
    out += [f"The default: {' or '.join(f'`{words}`' for words in defaults)}.", ""]
    return out + exits([row for row in rows if row["figure"] == "exits"])


def exits(rows: list[Row]) -> list[str]:
    lines = []
    for row in rows:
        cells = []
        for kind in ("all", "user"):
            counts = (row["value"] or {}).get(kind, {})
            each = ", ".join(f"{name} {count}" for name, count in counts.items())
            cells += [f"{sum(counts.values()):,}", each]
        lines.append([KERNELS[row["kernel"]], row["vmm"], *cells])
    out = [f"Exits until then ({rows[0]['words']}), and those of them that went on to the VMM.",
           "Goal: 2,400 and 400."]
    return out + [""] + table(["kernel", "VMM", "all", "of which", "to the VMM", "of which"], lines)


def block(rows: list[Row]) -> list[str]:
    vmms = names(rows, "vmm")
    lines = []
    for test in names(rows, "test"):
        name, goal = TESTS[test]
        values = [pick(rows, test=test, vmm=vmm) for vmm in vmms]
        lines.append([name, *map(thousands, values), thousands(goal)])
    out = ["## Disks", "",
           "Instructions per I/O, as a program in the guest sees it. The disk is a RAM disk of the",
           "host under O_DIRECT. That has no volatile cache. Bantam says so to the guest, which",
           "then has nothing to flush: its writes are stable when they complete.", ""]
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
    kinds = list(dict.fromkeys(vmm.split(", ")[1] for vmm in vmms))
    head = [""]
    for kind in kinds:
        head += [vmm for vmm in vmms if vmm.endswith(kind)]
        head += [f"goal, {kind}"] * (kind != "vhost")
    lines = []
    for test in names(rows, "test"):
        name, goals = NET_TESTS[test]
        values = [
            goals[word.split(", ")[1]] if word.startswith("goal") else
            pick(rows, test=test, vmm=word)
            for word in head[1:]
        ]
        lines.append([name, *map(thousands, values)])
    out = ["## Networks", "",
           "Instructions of TCP, as a program in the guest sees it, in writes of 1 MiB; with what",
           "threads of the host's kernel do. The goal with vhost is QEMU's figure.", ""]
    return out + table(head, lines)


def memory(rows: list[Row]) -> list[str]:
    lines = []
    for row in rows:
        value = row["value"] or {}
        sizes = [f"{value[key]:.1f}" if key in value else "–" for key in ("Pss", "Private_Dirty")]
        lines.append([row["vmm"], *sizes, str(value.get("Threads", "–"))])
    out = ["## Memory", "",
           "Beside the guest's own: console, two disks, guest at rest. Goal: 2.0 and 0.3 MB.", ""]
    return out + table(["VMM", "PSS, MB", "private dirty, MB", "threads"], lines)


def start(rows: list[Row]) -> list[str]:
    lines = []
    for row in rows:
        if row["figure"] != "time":
            continue
        steps = pick(rows, figure="steps", vmm=row["vmm"])
        calls = pick(rows, figure="calls", vmm=row["vmm"])
        ms = [f"{ns / 1e6:.1f}" for ns in (row["value"], row["median"])]
        lines.append([row["vmm"], *ms, str(calls), f"{steps:,}" if steps else "–"])
    out = ["## Start", "", "From exec to the first KVM_RUN on this machine's own /dev/kvm, kernel",
           "cached. Real time is **noisy**. Goal: 5 ms, 100 system calls.", ""]
    head = ["", "fastest, ms", "median, ms", "system calls", "instructions in user space"]
    sizes = {row["vmm"]: row["value"] for row in rows if row["figure"] == "size"}
    said = "; ".join(
        f"{vmm} {size['kept'] >> 10:,} KiB, of which code {size['text'] >> 10:,}"
        for vmm, size in sizes.items()
    )
    return out + table(head, lines) + [f"Binaries without their libraries: {said}.", ""]


SECTIONS = {
    "start": start, "boot": boot, "block": block, "block-wall": block_wall, "net": net,
    "memory": memory,
}


def read_sections(directory: Path, command: str) -> dict[str, Any]:
    """Of each section that was measured, its rows, and what they are of."""
    common = json.loads((directory / "versions.json").read_text())
    found = {}
    for name in SECTIONS:
        path = directory / f"{name}.json"
        if path.exists():
            section = json.loads(path.read_text())
            about = {"date": str(datetime.date.today()), "command": command}
            versions = {**common, **section["versions"]}
            found[name] = {**about, "versions": versions, "rows": section["rows"]}
    return found


def figures(sections: dict[str, Any]) -> str:
    lines = []
    for name, function in SECTIONS.items():
        if name not in sections:
            continue
        section = sections[name]
        versions = ", ".join(f"{what} {version}" for what, version in section["versions"].items())
        lines += function(section["rows"])
        lines += [f"Measured on {section['date']} by `{section['command']}`: {versions}.", ""]
    return "\n".join(lines).rstrip()


def main() -> None:
    sections = read_sections(Path(sys.argv[1]), sys.argv[2])
    if len(sys.argv) < 4:
        print(figures(sections))
        return
    document = Path(sys.argv[3])
    kept = document.with_suffix(".json")
    if kept.exists():
        sections = {**json.loads(kept.read_text()), **sections}
    kept.write_text(json.dumps(sections, indent=1) + "\n")
    before, rest = document.read_text(encoding="utf-8").split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    text = figures(sections)
    document.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    if "boot" in sections:
        parts = [row for row in sections["boot"]["rows"] if row["figure"] == "parts"]
        document.with_suffix(".svg").write_text(picture.draw(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
