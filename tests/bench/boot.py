# SPDX-License-Identifier: BSD-2-Clause
"""What a boot costs, from exec to the first word of the guest's init. Runs in level 1 of the lab.

Instructions are level 1's time. Exits, system calls and where the time goes are taken from its
kernel's trace points (tracepoints.py), in runs of their own.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import tracepoints
from guests import (
    HERE,
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

KERNELS = ("linux-12", "linux-13")
# Where the default command line stands for the words
DEFAULT = "the default"
CPUTIME = 2  # of the clocks that a process has, the one that counts what it has run

# AMD APM volume 2, appendix C: what level 1's CPU has
EXITS = {
    **dict.fromkeys([*range(0x20), 0x65], "control register"),
    **dict.fromkeys(range(0x20, 0x40), "debug register"),
    0x60: "interrupt", 0x61: "NMI", 0x64: "interrupt window", 0x72: "CPUID", 0x75: "IRET",
    0x77: "PAUSE", 0x78: "HLT", 0x7B: "port", 0x7C: "MSR", 0x7F: "shutdown", 0x89: "WBINVD",
    0x8D: "XSETBV", 0x400: "memory",
}
# include/uapi/linux/kvm.h
USER_EXITS = {0: "unknown", 2: "port", 5: "HLT", 6: "memory", 8: "shutdown", 10: "signal",
              17: "internal error", 24: "system event", 26: "EOI"}


def default_words(linux: str, disks: tuple[str, ...] = ()) -> str:
    """The command line that Bantam makes by itself."""
    argv = bantam(linux, REPEATABLE, disks, bare=False)
    text = subprocess.run(
        [*argv, "--dry-run"], stdout=subprocess.PIPE, check=True, text=True
    ).stdout
    found = re.search(r"^ *command line +(.*)$", text, re.MULTILINE)
    assert found
    return found[1]


def exits(argv: list[str]) -> dict[str, dict[str, int]]:
    """Exits from the guest until its init, by reason: all of them, and those to the VMM."""
    keys = {"kvm_exit": "exit_reason", "kvm_userspace_exit": "reason"}
    with tracepoints.histograms(keys) as read, Guest(argv) as guest:
        guest.wait(b"BENCH-INIT")
        guest.stop()
        return {
            "all": read("kvm_exit", EXITS),
            "user": read("kvm_userspace_exit", USER_EXITS),
        }


def make_linker_cache() -> None:
    """Every installed system has it; without, a VMM makes more system calls."""
    subprocess.run(["ldconfig"], check=True)


def let_kernels_age() -> None:
    """On every machine they have been there for long. Bantam knows a file again without reading all
    of it if that was left alone for a minute (include/loader/cache/kernel_cache.h).
    """
    newest = max(path.stat().st_ctime for path in (HERE / "guests").rglob("*"))
    time.sleep(max(0.0, newest + 62 - time.time()))


def let_cache_settle() -> None:
    """What was cached minutes ago is as read-only as this (loader/cache/kernel_cache.c)."""
    for path in (Path.home() / ".cache/bantam/kernels").iterdir():
        if len(path.name) == 32 and not path.is_symlink():
            path.chmod(0o400)


def parts(argv: list[str]) -> dict[str, float]:
    """10^9 instructions of each part of a boot; those that the VMM's process ran, guest included,
    and with what others did meanwhile; and the number of system calls up to the first KVM_RUN.
    """
    with tracepoints.boot(HERE / "load-at") as marks, Guest(argv) as guest:
        guest.wait(b"BENCH-FIRST")
        first = time.monotonic_ns()
        guest.wait(b"BENCH-INIT")
        init = time.monotonic_ns()
        guest.stop()
        process = time.clock_gettime_ns(~guest.vmm.pid << 3 | CPUTIME)
        at = marks(guest.vmm.pid)
    load = at["loaded"] - at["load"]
    found = {
        "process": process,
        "elapsed": init - at["exec"],
        "set-up": at["run"] - at["exec"] - load,
        "load": load,
        "unpacking": at["kernel"] - at["run"],
        "kernel": first - at["kernel"],
        "init": init - first,
    }
    return {**{name: round(ns / 1e9, 4) for name, ns in found.items()}, "syscalls": at["syscalls"]}


def warm(argv: list[str]) -> dict[str, float]:
    """The second time, when the caches of level 1 are warm, and Bantam's own."""
    parts(argv)
    let_cache_settle()
    return parts(argv)


def measure(
    figures: Figures, function: Callable[[list[str]], object], argv: list[str], **about: str
) -> None:
    value = again_if_spoilt(f"{about['kernel']} {about['vmm']}", lambda: function(argv))
    figures.add(value, **about)


def measure_parts(figures: Figures, linux: str, label: str, words: str) -> None:
    own = bantam(linux, f"{words} rdinit=/first")
    peer = qemu(linux, f"{words} rdinit=/first")
    about = {"figure": "parts", "kernel": linux, "words": label}
    measure(figures, warm, own, vmm="bantam", **about)
    measure(figures, parts, [*own, "--no-kernel-cache"], vmm="bantam, no cache", **about)
    measure(figures, warm, peer, vmm="QEMU microvm", **about)


def measure_exits(figures: Figures, linux: str, disks: tuple[str, ...]) -> None:
    words = default_words(linux, disks)
    about = {"figure": "exits", "kernel": linux, "words": f"{DEFAULT}, one disk"}
    measure(figures, exits, bantam(linux, words, disks), vmm="bantam", **about)
    measure(figures, exits, qemu(linux, words, disks), vmm="QEMU microvm", **about)


def main() -> None:
    make_linker_cache()
    let_kernels_age()
    figures = Figures("boot")
    disks = ram_disks(1)
    for linux in KERNELS:
        plain = f"{WORDS} {REPEATABLE}"
        measure_parts(figures, linux, WORDS, plain)
        measure_parts(figures, linux, f"{WORDS} {NO_TESTS}", f"{plain} {NO_TESTS}")
        measure_parts(figures, linux, DEFAULT, default_words(linux))
        measure_exits(figures, linux, disks)
        words = default_words(linux).replace(f" {REPEATABLE}", "")
        figures.add(words, figure="words", kernel=linux)


if __name__ == "__main__":
    main()
