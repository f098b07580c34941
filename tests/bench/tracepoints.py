# SPDX-License-Identifier: BSD-2-Clause
"""What level 1's kernel says of a boot by its trace points (Documentation/trace of Linux)."""

from __future__ import annotations

import collections
import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from guests import Spoilt

TRACING = Path("/sys/kernel/tracing")
KVM = TRACING / "events/kvm"
KERNEL_TEXT = 0xFFFFFFFF80000000  # where Linux is linked to run
KVM_RUN = 0xAE80
SYS_IOCTL = 16

LINE = re.compile(r"^.*-(\d+) .* ([\d.]+): (\w+): (.*)$", re.MULTILINE)


def write(name: str, text: str) -> None:
    (TRACING / name).write_text(text, encoding="ascii")


@contextlib.contextmanager
def histograms(keys: dict[str, str]) -> Iterator[Callable[[str, dict[int, str]], dict[str, int]]]:
    """Counts KVM's events, each by the field that keys names. Gives a function that reads them."""

    def read(event: str, names: dict[int, str]) -> dict[str, int]:
        text = (KVM / event / "hist").read_text(encoding="ascii")
        counts: collections.Counter[str] = collections.Counter()
        for key, hits in re.findall(r"\{ \w+: +(\d+) \} hitcount: +(\d+)", text):
            counts[names.get(int(key), key)] += int(hits)
        return dict(counts.most_common())

    for event, key in keys.items():
        write(f"events/kvm/{event}/trigger", f"hist:keys={key}")
    try:
        yield read
    finally:
        for event, key in keys.items():
            write(f"events/kvm/{event}/trigger", f"!hist:keys={key}")


def marks_of(text: str, pid: int) -> dict[str, int]:
    """The times of a boot's marks in ns, and how many system calls came before KVM_RUN, execve
    included.
    """
    at: dict[str, int] = {}
    syscalls = 0
    for thread, when, event, rest in LINE.findall(text):
        if int(thread) == os.getpid():
            continue
        ns = round(float(when) * 1e9)
        if event == "sched_process_exec" and f"pid={pid} " in rest:
            at["exec"] = ns
            syscalls = 1
        elif event == "sys_enter" and "exec" in at and "run" not in at:
            number, arguments = re.match(r"NR (\d+) \((.*)\)", rest).groups()
            if int(number) == SYS_IOCTL and int(arguments.split(", ")[1], 16) == KVM_RUN:
                at["run"] = ns
            else:
                syscalls += 1
        elif event in ("load", "loaded"):
            at[event] = ns
        elif event == "kvm_exit":
            at["kernel"] = ns
    for mark in ("exec", "run", "kernel"):
        if mark not in at:
            raise Spoilt(f"the trace has no {mark}: {text[-600:]}")
    # A VMM that is not told about: its loading is part of its setting up.
    at.setdefault("load", at["exec"])
    at.setdefault("loaded", at["load"])
    return {**at, "syscalls": syscalls}


@contextlib.contextmanager
def boot(load_at: Path) -> Iterator[Callable[[int], dict[str, int]]]:
    """Traces what this process's children do until the first exit from a kernel that runs at its
    own addresses. load_at says "FILE:OFFSET", where the function is that loads the guest. Gives a
    function that tells the marks.
    """
    where = load_at.read_text(encoding="ascii").strip()
    events = ("sched/sched_process_exec", "raw_syscalls/sys_enter", "kvm/kvm_exit", "uprobes")
    stop = f"traceoff:1 if guest_rip >= {KERNEL_TEXT:#x}"
    write("trace_clock", "mono")
    write("uprobe_events", f"p:load {where}\nr:loaded {where}\n")
    write("events/kvm/kvm_exit/filter", f"guest_rip >= {KERNEL_TEXT:#x}")
    write("events/kvm/kvm_exit/trigger", stop)
    write("options/event-fork", "1")
    write("set_event_pid", str(os.getpid()))
    write("trace", "")
    for event in events:
        write(f"events/{event}/enable", "1")
    write("tracing_on", "1")
    try:
        yield lambda pid: marks_of((TRACING / "trace").read_text(encoding="ascii"), pid)
    finally:
        for event in events:
            write(f"events/{event}/enable", "0")
        write("events/kvm/kvm_exit/trigger", "!" + stop)
        write("events/kvm/kvm_exit/filter", "0")
        write("set_event_pid", "")
        write("uprobe_events", "")
        write("tracing_on", "1")
