# SPDX-License-Identifier: BSD-2-Clause
"""start.py BANTAM VMLINUZ PROGRAM: what a VMM does from its exec to the first KVM_RUN, counted and
timed on this machine's own /dev/kvm (until_run.c); and how large the binary is. PROGRAM is a flat
one.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys

from guests import HERE, MEMORY_MB, WORDS, Figures

TIMES = 15
# A KVM may offer the register that this feature is about and then not take what QEMU writes there.
QEMU = ["qemu-system-x86_64", "-cpu", "host,-arch-capabilities", "-m", str(MEMORY_MB),
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
        "-M", "microvm,accel=kvm,pit=off,pic=off,rtc=on"]


def until_run(mode: str, argv: list[str]) -> int:
    """Raises CalledProcessError where there is no KVM."""
    out = subprocess.run(
        [HERE / "until_run", mode, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        check=True, text=True
    ).stdout
    return int(out.splitlines()[-1])


def sizes(binary: str) -> dict[str, int]:
    """Bytes: of the file without what debuggers want, and of the part that is program."""
    out = subprocess.run(
        ["size", "-A", "-d", binary], stdout=subprocess.PIPE, check=True, text=True
    ).stdout
    sections = {name: int(size) for name, size in re.findall(r"^(\.\S+) +(\d+)", out, re.MULTILINE)}
    kept = [size for name, size in sections.items() if not name.startswith((".debug", ".bss"))]
    return {"kept": sum(kept), "text": sections[".text"]}


def main() -> None:
    binary, vmlinuz, program = sys.argv[1:]
    qemu = subprocess.run(
        ["which", QEMU[0]], stdout=subprocess.PIPE, check=True, text=True
    ).stdout.strip()
    memory = ["-m", f"{MEMORY_MB}M"]
    linux = ["-k", vmlinuz, "--no-default-cmdline", "-a", WORDS]
    commands = {
        "bantam, a flat program": [binary, "run", *memory, "--flat", program, "--mode", "long"],
        "bantam, Debian 12": [binary, "run", *memory, *linux],
        "QEMU microvm, Debian 12": [qemu, *QEMU[1:], "-kernel", vmlinuz, "-append", WORDS],
    }
    figures = Figures("start", "this machine")
    for name, path in (("bantam", binary), ("QEMU", qemu)):
        figures.add(sizes(os.path.realpath(path)), figure="size", vmm=name)
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("  BENCH   start: SKIP: no /dev/kvm here", flush=True)
        return
    for vmm, argv in commands.items():
        until_run("time", argv)  # what is cached is then
        times = [until_run("time", argv) for _ in range(TIMES)]
        figures.add(min(times), figure="time", vmm=vmm, median=statistics.median_low(times))
        figures.add(until_run("calls", argv), figure="calls", vmm=vmm)
    flat = "bantam, a flat program"
    figures.add(until_run("steps", commands[flat]), figure="steps", vmm=flat)


if __name__ == "__main__":
    main()
