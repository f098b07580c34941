# SPDX-License-Identifier: BSD-2-Clause
"""Boots kernels under several VMMs and counts. Runs in level 1 of the lab; see tests/bench/run.

Time is taken from exec to the first word of the guest's init on the console, which is a pipe. The
memory beside the guest's own is taken at that moment: all mappings but the largest one.
"""

from __future__ import annotations

import base64
import os
import select
import subprocess
import sys
import time

MARK = b"BENCH-INIT"
LIMIT = 300
WORDS = "console=ttyS0 quiet panic=1 nokaslr"
SCRIPT = "echo BENCH-''INIT; poweroff -f"
JOB = "bantam.run=" + base64.b64encode(SCRIPT.encode()).decode()


def commands(bantam: str, kernel: str, initrd: str, extra: str) -> dict[str, list[str]]:
    """The VMMs that take part, each told the same words."""
    words = f"{WORDS} {extra} {JOB}".replace("  ", " ")
    return {
        "bantam": [
            bantam, "run", "-m", "256M", "-k", kernel, "-i", initrd,
            "--no-default-cmdline", "-a", words,
        ],
        "qemu microvm": [
            "qemu-system-x86_64", "-M", "microvm,accel=kvm,pit=off,pic=off,rtc=on",
            "-cpu", "host", "-m", "256M", "-nodefaults", "-no-user-config", "-display", "none",
            "-no-reboot", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd,
            "-append", words,
        ],
    }


def memory_beside_guest(pid: int) -> tuple[float, float]:
    """RSS and private dirty memory in MB, without the largest mapping (the guest's RAM)."""
    sizes: list[tuple[int, int, int]] = []
    current = {"Size": 0, "Rss": 0, "Private_Dirty": 0}
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as smaps:
        for line in smaps:
            key, _, rest = line.partition(":")
            if key in current and rest.strip().endswith("kB"):
                current[key] = int(rest.split()[0])
                if key == "Private_Dirty":
                    sizes.append((current["Size"], current["Rss"], current["Private_Dirty"]))
    sizes.remove(max(sizes))
    return sum(s[1] for s in sizes) / 1024, sum(s[2] for s in sizes) / 1024


def boot(argv: list[str]) -> tuple[float, float, float]:
    """Instructions (10^9) to init, RSS and private dirty memory beside the guest's (MB)."""
    start = time.monotonic_ns()
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as vmm:
        seen = b""
        assert vmm.stdout
        while MARK not in seen:
            if not select.select([vmm.stdout], [], [], LIMIT)[0]:
                vmm.kill()
                raise SystemExit(f"{argv[0]}: no sign of init: {seen[-500:]!r}")
            data = os.read(vmm.stdout.fileno(), 65536)
            if not data:
                raise SystemExit(f"{argv[0]}: ended early: {seen[-500:]!r}")
            seen += data
        end = time.monotonic_ns()
        rss, dirty = memory_beside_guest(vmm.pid)
        vmm.communicate()
    return (end - start) / 1e9, rss, dirty


def main() -> None:
    bantam, images = sys.argv[1:]
    print(f"bantam's binary: {os.stat(bantam).st_size / 1024:.0f} KiB (with symbols)")
    print()
    print("| kernel | VMM | 10^9 instructions | RSS / private dirty beside the guest, MB |")
    print("|---|---|---|---|")
    for linux in ("linux-12", "linux-13"):
        for extra in ("", "cryptomgr.notests"):
            kernel = f"{images}/{linux}/vmlinuz"
            initrd = f"{images}/{linux}/initramfs"
            for name, argv in commands(bantam, kernel, initrd, extra).items():
                boot(argv)  # once before it counts: caches of level 1 are warm then
                cost, rss, dirty = boot(argv)
                label = f"{linux} {extra}".strip()
                print(f"| {label} | {name} | {cost:.3f} | {rss:.1f} / {dirty:.1f} |", flush=True)


if __name__ == "__main__":
    main()
