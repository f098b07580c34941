# SPDX-License-Identifier: BSD-2-Clause
"""Kernels that bantam unpacks: KASLR as if they had done it themselves, and the cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from guest import BOOT, Guest, slow
from test_boot import KERNELS, complaints

LINKED = 0xFFFFFFFF81000000
ALIGN = 0x200000
UNPACKED = rb"kernel: bzImage, unpacked, 64-bit entry"


def told(guest: Guest) -> tuple[int, int]:
    """Where the kernel is by what bantam says with -v: virtual and physical."""
    found = guest.expect(
        UNPACKED + rb"[^\r]*, at 0x([0-9a-f]+)\r\n.*KASLR, its virtual address is 0x([0-9a-f]+)\r",
        timeout=BOOT,
    )
    return int(found[2], 16), int(found[1], 16)


def addresses(guest: Guest) -> tuple[int, int]:
    """The same by what the kernel says."""
    symbol = guest.run("grep ' _text$' /proc/kallsyms").split()[0]
    code = guest.run("grep 'Kernel code' /proc/iomem").strip().split("-")[0]
    return int(symbol, 16), int(code, 16)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bantam" / "kernels"


# One of some 480 virtual and as many physical addresses: 10 boots get the same pair twice with a
# chance of 1 to 5000, and a virtual one in common often.
@pytest.mark.parametrize("boots", [2, slow(10)])
@pytest.mark.parametrize("linux", KERNELS)
def test_addresses_are_random(vm: Callable[..., Guest], linux: str, boots: int) -> None:
    found = []
    for _ in range(boots):
        guest = vm("-v", "-m", "1G", linux=linux)
        expected = told(guest)
        found.append(addresses(guest.shell()))
        assert found[-1] == expected
        guest.close()
    assert all(virtual % ALIGN == physical % ALIGN == 0 for virtual, physical in found)
    assert all(virtual >= LINKED for virtual, _ in found)
    assert len(set(found)) == boots
    assert len({virtual for virtual, _ in found}) > boots // 2
    assert len({physical for _, physical in found}) > boots // 2


# It is stopped while it is read: reading is traced, too, and would never come to an end.
TRACE = """
mount -t tracefs tracefs /sys/kernel/tracing && cd /sys/kernel/tracing
echo vfs_read >set_ftrace_filter && echo function >current_tracer
cat /proc/version >/dev/null; echo 0 >tracing_on
grep -c 'vfs_read <-' trace >/tmp/functions
echo nop >current_tracer; echo 1 >tracing_on
echo 'p:probe vfs_open path=$arg1' >kprobe_events && echo 1 >events/kprobes/probe/enable
echo 'r:ret vfs_open' >>kprobe_events && echo 1 >events/kprobes/ret/enable
echo 1 >events/sched/sched_switch/enable
cat /proc/version >/dev/null; usleep 1000; echo 0 >tracing_on
grep -c ' probe: (vfs_open' trace >/tmp/probes
grep -c ' ret: .*<- vfs_open' trace >/tmp/returns
grep -c 'sched_switch: ' trace >/tmp/switches
echo 0 >events/enable; echo >kprobe_events; cd
"""


@pytest.mark.parametrize("linux", KERNELS)
def test_relocated_code(vm: Callable[..., Guest], linux: str) -> None:
    """What patches the kernel's text, or goes by addresses in its tables, finds everything."""
    guest = vm("-c", "2", linux=linux).shell()
    assert addresses(guest) != (LINKED, LINKED & 0x7FFFFFFF)
    for line in TRACE.strip().splitlines():
        guest.run(line)
    # ftrace's calls, kprobes and their returns, a tracepoint's jump label and static call
    for name in ("functions", "probes", "returns", "switches"):
        assert int(guest.run(f"cat /tmp/{name}")) > 0, name
    # a module is bound to the kernel's symbols, its own calls are patched, and undone
    assert guest.run("modprobe virtio_net && grep -c ^virtio_net /proc/modules").strip() == "1"
    assert guest.run("modprobe -r virtio_net && grep -c ^virtio_net /proc/modules").strip() == "0"
    # alternatives, retpolines, exception tables: an access that faults is an error, no oops
    assert guest.run("cat /proc/self/mem 2>/dev/null | wc -c").strip() == "0"
    assert complaints(guest) == []


@pytest.mark.parametrize(
    "linux,words",
    [
        ("linux-12", ["--kaslr", "off"]),
        ("linux-13", ["-a", "nokaslr"]),
        slow("linux-13", ["--kaslr", "off"]),
        slow("linux-12", ["-a", "nokaslr"]),
    ],
)
def test_without(vm: Callable[..., Guest], linux: str, words: list[str]) -> None:
    guest = vm("-v", *words, linux=linux)
    guest.expect(UNPACKED, timeout=BOOT)
    assert addresses(guest.shell()) == (LINKED, LINKED & 0x7FFFFFFF)


@pytest.mark.parametrize("linux", ["linux-13", slow("linux-12")])
def test_it_unpacks_itself(vm: Callable[..., Guest], linux: str) -> None:
    guest = vm("-v", "--boot", "bzimage", "-a", "nokaslr", linux=linux)
    guest.expect(rb"kernel: bzImage, 64-bit entry", timeout=BOOT)
    assert addresses(guest.shell())[0] == LINKED
    assert complaints(guest) == []


def test_memory_set_aside(vm: Callable[..., Guest]) -> None:
    """The kernel stays in the memory that it is allowed to use."""
    guest = vm("-m", "1G", "-a", "mem=200M").shell()
    assert addresses(guest)[1] == LINKED & 0x7FFFFFFF


def the_entry(cache: Path) -> Path:
    """Beside the secret and what tells known kernels"""
    [entry] = [path for path in cache.iterdir() if path.name != "secret" and not path.is_symlink()]
    return entry


@pytest.mark.parametrize("linux", ["linux-13", slow("linux-12")])
def test_cache(vm: Callable[..., Guest], cache: Path, linux: str) -> None:
    """What the first boot has unpacked, the second one uses; a reboot, too."""
    guest = vm("-v", linux=linux)
    guest.expect(UNPACKED + rb", at", timeout=BOOT)
    guest.shell()
    entry = the_entry(cache)
    first = entry.stat()
    assert first.st_size > 20 << 20
    guest.send(b"reboot -f\n")
    guest.expect(UNPACKED + rb", from the cache, at", timeout=BOOT)
    guest.shell()
    os.utime(entry, ns=(first.st_atime_ns, first.st_mtime_ns - 3600 * 10**9))
    guest = vm("-v", linux=linux)
    guest.expect(UNPACKED + rb", from the cache, at", timeout=BOOT)
    assert complaints(guest.shell()) == []
    second = entry.stat()
    assert second.st_ino == first.st_ino
    # When it was used last is kept, to some minutes.
    assert second.st_mtime_ns >= first.st_mtime_ns


def test_cut_cache(vm: Callable[..., Guest], cache: Path) -> None:
    """An entry that is not whole is made anew."""
    vm().shell()
    entry = the_entry(cache)
    size = entry.stat().st_size
    with entry.open("r+b") as file:
        file.truncate(size // 2)
    guest = vm("-v")
    guest.expect(UNPACKED + rb", at", timeout=BOOT)
    guest.shell()
    assert entry.stat().st_size == size


def test_no_cache(vm: Callable[..., Guest], cache: Path) -> None:
    for _ in range(2):
        guest = vm("-v", "--no-kernel-cache")
        guest.expect(UNPACKED + rb", at", timeout=BOOT)
        guest.shell()
    assert not cache.parent.exists()
