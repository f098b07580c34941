# SPDX-License-Identifier: BSD-2-Clause
"""The guests that are measured, and the VMMs that run them. For level 1 of the lab; see run.

Under -icount QEMU's software CPU now and then spoils a nested guest: a lock that nobody holds is
never free again, or a pointer goes wild. The guest then spins or panics under any VMM. Spinning
(PAUSE) is also what that QEMU is slowest at, so a limit in level 1's own time, which counts
instructions, would take many minutes to pass. So real time decides, as level 1's CMOS clock shows
it, and whatever was being measured is measured anew.
"""

from __future__ import annotations

import calendar
import fcntl
import json
import os
import platform
import select
import signal
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

HERE = Path(os.environ.get("BENCH_FILES", "/lab/job/files"))
OUT = Path(os.environ.get("BENCH_OUT", "/lab/out"))

MEMORY_MB = 256
# What the peers are usually measured with, and what makes two runs agree.
WORDS = "console=ttyS0 quiet panic=1"
REPEATABLE = "nokaslr"
NO_TESTS = "cryptomgr.notests"

TRIES = 5
STUCK_S = 90  # of real time without a sign of life
LOOK_S = 0.5  # of level 1's time: how often to see whether it is

RTC_RD_TIME = 0x80247009

T = TypeVar("T")


class Spoilt(Exception):
    """The guest died or hangs."""


class Guest:
    """A VMM with a guest, started; its console is what the VMM writes."""

    def __init__(self, argv: list[str]) -> None:
        self.argv = argv
        self.seen = b""
        self.vmm = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *_: object) -> None:
        self.vmm.kill()
        assert self.vmm.stdout
        self.vmm.stdout.close()
        self.vmm.wait()

    def stop(self) -> None:
        """Lets it do nothing more, so that it can be looked at."""
        os.kill(self.vmm.pid, signal.SIGSTOP)

    def wait(self, mark: bytes) -> None:
        """Returns when the console has shown mark."""
        since = None
        assert self.vmm.stdout
        while mark not in self.seen:
            if select.select([self.vmm.stdout], [], [], LOOK_S)[0]:
                data = os.read(self.vmm.stdout.fileno(), 65536)
                if not data:
                    raise Spoilt(f"{self.argv[0]} ended: {self.seen[-400:]!r}")
                self.seen += data
                since = None
                continue
            since = since or real_time()
            if real_time() - since > STUCK_S:
                raise Spoilt(f"{self.argv[0]}: no sign of {mark!r}: {self.seen[-200:]!r}")


def real_time() -> int:
    """Seconds, by the CMOS clock, which goes on as the world outside does."""
    with open("/dev/rtc0", "rb") as rtc:
        tm = struct.unpack("9i", fcntl.ioctl(rtc, RTC_RD_TIME, bytes(36)))
    return calendar.timegm((tm[5] + 1900, tm[4] + 1, tm[3], tm[2], tm[1], tm[0]))


def again_if_spoilt(what: str, measure: Callable[[], T], tries: int = TRIES) -> T | None:
    """None when it was spoilt each time, which is said."""
    for left in reversed(range(tries)):
        try:
            return measure()
        except Spoilt as why:
            print(f"  BENCH   {what}: {why}{'; once more' if left else ''}", flush=True)
    return None


def kernel_of(linux: str, words: str) -> list[str]:
    initramfs = "initramfs-load" if "load=" in words else "initramfs"
    return [str(HERE / "guests" / linux / name) for name in ("vmlinuz", initramfs)]


def bantam(
    linux: str, words: str, disks: tuple[str, ...] = (), transport: str = "pci", bare: bool = True
) -> list[str]:
    """bare: without Bantam's own words on the command line."""
    kernel, initrd = kernel_of(linux, words)
    argv = [str(HERE / "bantam"), "run", "-m", f"{MEMORY_MB}M", "-k", kernel, "-i", initrd]
    argv += ["--on-reboot", "exit", "--transport", transport, "-a", words]
    for disk in disks:
        argv += ["-d", f"{disk},cache=none"]
    return argv + (["--no-default-cmdline"] if bare else [])


def qemu(
    linux: str, words: str, disks: tuple[str, ...] = (), transport: str = "mmio"
) -> list[str]:
    """QEMU's microvm, without what stock kernels do not need."""
    kernel, initrd = kernel_of(linux, words)
    machine = "microvm,accel=kvm,pit=off,pic=off,rtc=on"
    argv = ["qemu-system-x86_64", "-cpu", "host", "-m", f"{MEMORY_MB}", "-nodefaults"]
    argv += ["-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]
    argv += ["-M", machine + (",pcie=on" if transport == "pci" else "")]
    argv += ["-kernel", kernel, "-initrd", initrd, "-append", words]
    device = "virtio-blk-pci" if transport == "pci" else "virtio-blk-device"
    for i, disk in enumerate(disks):
        argv += ["-drive", f"id=d{i},file={disk},format=raw,if=none,cache=none,aio=native"]
        argv += ["-device", f"{device},drive=d{i}"]
    return argv


def ram_disks(number: int, size_mb: int = 64) -> tuple[str, ...]:
    """Disks of level 1's that take O_DIRECT and have no noise of their own."""
    subprocess.run(["modprobe", "brd", f"rd_nr={number}", f"rd_size={size_mb << 10}"], check=True)
    return tuple(f"/dev/ram{i}" for i in range(number))


class Figures:
    """What was measured: rows of what it is about, and a value. Written as they come."""

    def __init__(self, section: str, host: str = "the lab") -> None:
        self.path = OUT / f"{section}.json"
        self.versions = versions(host)
        self.rows: list[dict[str, object]] = []

    def add(self, value: object, **about: object) -> None:
        self.rows.append({**about, "value": value})
        self.path.write_text(json.dumps({"versions": self.versions, "rows": self.rows}))
        said = " ".join(word for word in about.values() if isinstance(word, str))
        print(f"  BENCH   {said}: {value}", flush=True)


def versions(host: str) -> dict[str, str]:
    first = subprocess.run(
        ["qemu-system-x86_64", "--version"], stdout=subprocess.PIPE, check=True, text=True
    ).stdout.splitlines()[0]
    qemu_version = first.split("version ")[1].split(" ")[0]
    return {f"QEMU of {host}": qemu_version, f"Linux of {host}": platform.release()}
