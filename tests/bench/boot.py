# SPDX-License-Identifier: BSD-2-Clause
"""What a boot costs, from exec to the first word of the guest's init. Runs in level 1 of the lab.

Instructions are level 1's time, exits are counted by its kernel (histograms of KVM's trace points),
system calls by strace, each in a run of its own.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from guests import (
    HERE,
    LOOK_S,
    NO_TESTS,
    REPEATABLE,
    WORDS,
    Figures,
    Guest,
    Spoilt,
    again_if_spoilt,
    bantam,
    qemu,
)

KERNELS = ("linux-12", "linux-13")
EVENTS = Path("/sys/kernel/tracing/events/kvm")
KVM_RUN_POLLS = 200

# AMD APM volume 2, appendix C: what level 1's CPU has
EXITS = {
    0x60: "interrupt", 0x61: "NMI", 0x64: "interrupt window", 0x72: "CPUID", 0x75: "IRET",
    0x77: "PAUSE", 0x78: "HLT", 0x7B: "port", 0x7C: "MSR", 0x7F: "shutdown", 0x8D: "XSETBV",
    0x400: "memory",
}
# include/uapi/linux/kvm.h
USER_EXITS = {0: "unknown", 2: "port", 5: "HLT", 6: "memory", 8: "shutdown", 10: "signal",
              17: "internal error", 24: "system event", 26: "EOI"}


def default_words(linux: str) -> str:
    """The command line that Bantam makes by itself."""
    argv = bantam(linux, REPEATABLE, bare=False)
    text = subprocess.run(
        [*argv, "--dry-run"], stdout=subprocess.PIPE, check=True, text=True
    ).stdout
    found = re.search(r"^ *command line +(.*)$", text, re.MULTILINE)
    assert found
    return found[1]


def to_init(argv: list[str]) -> float:
    """10^9 instructions."""
    start = time.monotonic_ns()
    with Guest(argv) as guest:
        guest.wait(b"BENCH-INIT")
        return (time.monotonic_ns() - start) / 1e9


def twice(argv: list[str]) -> float:
    """The second time the caches of level 1 are warm."""
    to_init(argv)
    return round(to_init(argv), 4)


def histogram(event: str, names: dict[int, str]) -> dict[str, int]:
    text = (EVENTS / event / "hist").read_text(encoding="ascii")
    counts: dict[str, int] = {}
    for key, hits in re.findall(r"\{ \w+: +(\d+) \} hitcount: +(\d+)", text):
        counts[names.get(int(key), key)] = int(hits)
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def exits(argv: list[str]) -> dict[str, dict[str, int]]:
    """Exits from the guest until its init, by reason: all of them, and those to the VMM."""
    triggers = {"kvm_exit": "hist:keys=exit_reason", "kvm_userspace_exit": "hist:keys=reason"}
    for event, trigger in triggers.items():
        (EVENTS / event / "trigger").write_text(trigger)
    try:
        with Guest(argv) as guest:
            guest.wait(b"BENCH-INIT")
            os.kill(guest.vmm.pid, signal.SIGSTOP)
            return {
                "all": histogram("kvm_exit", EXITS),
                "user": histogram("kvm_userspace_exit", USER_EXITS),
            }
    finally:
        for event, trigger in triggers.items():
            (EVENTS / event / "trigger").write_text("!" + trigger)


def syscalls(argv: list[str]) -> int:
    """Up to the first KVM_RUN, of all threads."""
    with tempfile.NamedTemporaryFile("r", encoding="ascii", errors="replace") as trace:
        with Guest(["strace", "-f", "-o", trace.name, *argv]):
            for _ in range(KVM_RUN_POLLS):
                time.sleep(LOOK_S)
                trace.seek(0)
                lines = trace.read().splitlines()
                calls = [line for line in lines if "resumed>" not in line and "(" in line]
                for i, line in enumerate(calls):
                    if "KVM_RUN" in line:
                        return i
    raise Spoilt("strace has seen no KVM_RUN")


def both(linux: str, words: str) -> dict[str, list[str]]:
    return {"bantam": bantam(linux, words), "QEMU microvm": qemu(linux, words)}


def measure(
    figures: Figures, figure: str, function: Callable[[list[str]], object], linux: str,
    words: str, label: str,
) -> None:
    for vmm, argv in both(linux, words).items():
        value = again_if_spoilt(f"{linux} {vmm}", lambda argv=argv: function(argv))
        figures.add(value, figure=figure, kernel=linux, words=label, vmm=vmm)


def main() -> None:
    figures = Figures("boot")
    figures.add(os.stat(HERE / "bantam").st_size, figure="binary", vmm="bantam")
    for linux in KERNELS:
        plain = f"{WORDS} {REPEATABLE}"
        sets = {WORDS: plain, f"{WORDS} {NO_TESTS}": f"{plain} {NO_TESTS}"}
        default = default_words(linux)
        sets[default.replace(REPEATABLE, "").strip()] = default
        for label, words in sets.items():
            measure(figures, "instructions", twice, linux, words, label)
        measure(figures, "exits", exits, linux, plain, WORDS)
    measure(figures, "syscalls", syscalls, "linux-12", f"{WORDS} {REPEATABLE}", WORDS)


if __name__ == "__main__":
    main()
