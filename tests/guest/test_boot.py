# SPDX-License-Identifier: BSD-2-Clause
"""Distributions' kernels, unmodified, come up with all their CPUs and memory and no complaints."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from guest import BOOT, Guest, slow

KERNELS = ["linux-12", "linux-13"]
MIB = 1 << 20

# Messages of level warning or worse that a healthy guest prints, and why.
ALLOWED = [
    # what the host's CPU is vulnerable to: the guest is told the truth about it
    r"(Spectre|RETBleed|Speculative|Transient|TAA|MDS|MMIO Stale|SRSO|ITS|TSA|VMSCAPE)\b.*",
    r".*\b([Mm]itigations?|[Vv]ulnerable)\b.*",
    # the host's own clock is not stable (the lab's emulated TSC is not), and KVM says so
    r"Unstable clock detected.*|If you want to keep.*|.*trace_clock=local.*|on the kernel .*line",
    # the same again: a busy emulated host does not run the guest for half a second, and its TSC and
    # kvm-clock then disagree
    r"clocksource: .*",
    # more virtual CPUs than real ones: one was not run for a while
    r"hrtimer: interrupt took \d+ ns",
]


def complaints(guest: Guest) -> list[str]:
    """The kernel's messages of level warning or worse that are not on the list."""
    found = []
    # only the kernel's own: what user space writes there has a facility, so more than one digit
    for line in guest.run("dmesg -r | grep '^<[0-4]>'").splitlines():
        text = re.sub(r"^<\d>\[[^]]*\] ", "", line)
        if not any(re.fullmatch(pattern, text) for pattern in ALLOWED):
            found.append(text)
    return found


def acpi_complaints(guest: Guest) -> list[str]:
    pattern = "ACPI (BIOS )?(Error|Warning|Exception)|ACPI: .*([Ff]ail|[Ii]nvalid|[Uu]nable)"
    return guest.run(f"dmesg | grep -E '{pattern}'").splitlines()


def online(guest: Guest) -> str:
    return guest.run("cat /sys/devices/system/cpu/online").strip()


def cpu_list(count: int) -> str:
    return "0" if count == 1 else f"0-{count - 1}"


@pytest.mark.parametrize(
    "linux,cpus",
    [
        *[("linux-12", 1), ("linux-12", 8), ("linux-13", 2)],
        *[slow("linux-12", 2), slow("linux-12", 4)],
        *[slow("linux-13", 1), slow("linux-13", 4), slow("linux-13", 8)],
    ],
)
def test_cpus(vm: Callable[..., Guest], linux: str, cpus: int) -> None:
    guest = vm("-c", str(cpus), linux=linux).shell()
    assert online(guest) == cpu_list(cpus)
    assert guest.run("nproc").strip() == str(cpus)
    # every one of them runs a program, and its local timer ticks
    script = "for c in $(seq 0 %d); do taskset -c $c sh -c 'usleep 20000; echo ran'; done"
    assert guest.run(script % (cpus - 1)) == "ran\n" * cpus
    timers = guest.run("grep LOC: /proc/interrupts").split()[1 : cpus + 1]
    assert len(timers) == cpus
    assert all(int(ticks) > 0 for ticks in timers)
    assert acpi_complaints(guest) == []
    assert complaints(guest) == []


def test_with_nothing_left_out(vm: Callable[..., Guest]) -> None:
    """Without Bantam's words: the kernel's messages on the console, all its self-tests."""
    guest = vm("-c", "2", "--no-default-cmdline", "-a", "console=ttyS0", quiet=False)
    guest.expect(rb"Linux version 6\.1\.", timeout=BOOT)
    guest.expect(rb"Run /init as init process", timeout=BOOT)
    guest.shell()
    assert complaints(guest) == []


@pytest.mark.parametrize("linux", KERNELS)
def test_default_words(vm: Callable[..., Guest], linux: str) -> None:
    """They keep the console free, but not the log, and nothing misses what they leave out."""
    guest = vm("-c", "2", linux=linux, quiet=False)
    guest.expect(rb"A stock Debian kernel", timeout=BOOT)
    assert b"Linux version" not in guest.child.before
    guest.shell()
    assert "Linux version" in guest.run("dmesg | head -n 1")
    assert guest.run("grep -c jitterentropy /proc/crypto").strip() == "0"
    assert complaints(guest) == []


@pytest.mark.parametrize(
    "linux,mib",
    [
        *[("linux-12", 128), ("linux-12", 6144), ("linux-13", 3584)],
        *[slow("linux-12", 512), slow("linux-12", 3584)],
        *[slow("linux-13", 128), slow("linux-13", 512), slow("linux-13", 6144)],
    ],
)
def test_memory(vm: Callable[..., Guest], linux: str, mib: int) -> None:
    guest = vm("-c", "2", "-m", f"{mib}M", linux=linux).shell()
    # what the guest was told: all of it but the hole below 1 MiB
    told = 0
    show = "for e in *; do echo $(cat $e/start $e/end $e/type); done"
    for line in guest.run(f"cd /sys/firmware/memmap; {show}; cd").splitlines():
        if line.endswith("System RAM"):
            words = line.split()
            start, end = int(words[0], 16), int(words[1], 16)
            told += end + 1 - start
    assert mib * MIB - told <= MIB
    assert told <= mib * MIB
    # what it made of it: less the kernel, page structures, and bounce buffers above 4 GiB
    total = int(re.search(r"MemTotal: +(\d+) kB", guest.run("cat /proc/meminfo"))[1]) * 1024
    spare = 56 * MIB + mib * MIB // 40 + (64 * MIB if mib > 3072 else 0)
    assert mib * MIB - spare <= total < mib * MIB
    assert complaints(guest) == []


@pytest.mark.slow
def test_memory_is_all_usable(vm: Callable[..., Guest]) -> None:
    """Fills most of a guest's memory on both sides of the hole, and reads it back."""
    guest = vm("-m", "3584M").shell()
    guest.run("mkdir /m; mount -t tmpfs -o size=700M,huge=always tmpfs /m")
    guest.run("seq 1 200000 >/tmp/part", timeout=300)
    guest.run("for i in $(seq 400); do cat /tmp/part; done >/m/all", timeout=300)
    guest.run("md5sum </m/all >/tmp/one; md5sum </m/all >/tmp/two", timeout=300)
    assert guest.run("cmp /tmp/one /tmp/two && wc -c </m/all").strip() == str(400 * 1288895)


def test_i386(vm: Callable[..., Guest]) -> None:
    """A kernel without a 64-bit entry."""
    guest = vm("-c", "2", linux="linux-12-i386").shell()
    assert guest.run("uname -m").strip() == "i686"
    assert online(guest) == "0-1"
    assert acpi_complaints(guest) == []
    guest.send(b"poweroff -f\n")
    assert guest.status() == 0


def test_elf(vm: Callable[..., Guest], images: Path) -> None:
    """The same kernel as an ELF file, by its 64-bit entry."""
    initramfs = str(images / "linux-12" / "initramfs")
    guest = vm("-i", initramfs, "-c", "2", str(images / "vmlinux-12"), linux=None).shell()
    assert guest.run("uname -r").strip() == release(images)
    assert online(guest) == "0-1"


def test_pvh(vm: Callable[..., Guest], images: Path) -> None:
    """The same ELF kernel, entered by PVH."""
    initramfs = str(images / "linux-12" / "initramfs")
    kernel = str(images / "vmlinux-12")
    guest = vm("-i", initramfs, "-c", "2", "--boot", "pvh", "-k", kernel, linux=None).shell()
    assert guest.run("uname -r").strip() == release(images)
    assert online(guest) == "0-1"
    assert acpi_complaints(guest) == []


def release(images: Path) -> str:
    return (images / "linux-12" / "release").read_text(encoding="ascii").strip()


def newc(name: str, content: bytes) -> bytes:
    """A cpio archive of one file, as the kernel's initramfs reader takes it."""

    def entry(inode: int, mode: int, path: str, data: bytes) -> bytes:
        fields = [inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path.encode() + b"\0"
        head += b"\0" * (-len(head) % 4)
        return head + data + b"\0" * (-len(data) % 4)

    return entry(1, 0o100644, name, content) + entry(0, 0, "TRAILER!!!", b"")


def test_several_initrds(vm: Callable[..., Guest], tmp_path: Path) -> None:
    options = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.cpio"
        path.write_bytes(newc(name, name.encode() + b"\n"))
        options += ["-i", str(path)]
    guest = vm(*options).shell()
    assert guest.run("cat /one /two") == "one\ntwo\n"


def test_command_line(vm: Callable[..., Guest]) -> None:
    """The user's words come last and drop the defaults that they concern."""
    guest = vm("-a", "first=1 panic=7", "-a", "last").shell()
    words = guest.run("cat /proc/cmdline").split()
    assert "console=ttyS0" in words
    assert [word for word in words if word.startswith("panic=")] == ["panic=7"]
    assert words[-1] == "last"
    assert words.index("first=1") > words.index("console=ttyS0")


def test_no_default_command_line(vm: Callable[..., Guest]) -> None:
    guest = vm("--no-default-cmdline", "-a", "console=ttyS0", quiet=False).shell()
    assert guest.run("cat /proc/cmdline").strip() == "console=ttyS0"


def test_memtest(vm: Callable[..., Guest], images: Path) -> None:
    """A bzImage that is no Linux."""
    guest = vm("-k", str(images / "memtest.bin"), linux=None, quiet=False)
    guest.expect(rb"Memtest86\+", timeout=BOOT)
    # it has found the CPU and the memory, and its tests are running
    guest.expect(rb"Pass", timeout=BOOT)
    guest.escape(b"x")
    assert guest.status() == 6


@pytest.mark.slow
def test_network_installer(vm: Callable[..., Guest], images: Path) -> None:
    home = images / "netboot"
    guest = vm("-k", str(home / "linux"), "-i", str(home / "initrd.gz"), "-m", "1G", linux=None)
    guest.expect(rb"Select a language|Choose the language", timeout=3 * BOOT)
    guest.escape(b"x")
    assert guest.status() == 6
