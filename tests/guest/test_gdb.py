# SPDX-License-Identifier: BSD-2-Clause
"""gdb on Linux with KASLR: by a client of the protocol, and by gdb where there is one.

Symbols come from the guest's own /proc/kallsyms. In the lab breakpoints are hardware ones, as
QEMU's emulation of SVM does not tell KVM of an int3.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from guest import COMMAND, Guest
from rsp import RIP, Client

pytestmark = pytest.mark.slow

LINKED = 0xFFFFFFFF81000000
# Seconds; a soft lockup is twice the threshold
THRESHOLD, STOPPED = 5, 15
COMPLAINTS = "lockup|stall|hung_task|blocked for more|clocksource.*unstable|Call Trace"

Start = Callable[..., Guest]


def symbols(guest: Guest, *names: str) -> dict[str, int]:
    pattern = "|".join(names)
    lines = guest.run(f"grep -E ' ({pattern})$' /proc/kallsyms").splitlines()
    found = {line.split()[2]: int(line.split()[0], 16) for line in lines}
    assert found.keys() == set(names), found
    return found


@pytest.fixture
def sock(tmp_path: Path) -> Path:
    return tmp_path / "gdb"


def start(vm: Start, sock: Path, *options: str) -> Guest:
    words = f"quiet cryptomgr.notests watchdog_thresh={THRESHOLD}"
    return vm("-m", "512M", "--gdb", f"unix:{sock}", "-a", words, *options, quiet=False)


def test_break_at_start_kernel(vm: Start, sock: Path) -> None:
    """After a reset the kernel is where it was, and stops where nothing is mapped yet."""
    guest = start(vm, sock).shell()
    found = symbols(guest, "_text", "start_kernel", "linux_banner", "vfs_read")
    with Client(str(sock), COMMAND) as client:
        assert client.ask(b"qOffsets") == b"TextSeg=%x" % found["_text"]
        slide = found["_text"] - LINKED
        assert f"symbol-file -o {slide:#x} vmlinux" in client.monitor("info")
        client.ok(b"Z1,%x,1" % found["start_kernel"])
        client.ok(b"Z0,%x,1" % found["vfs_read"])
        assert client.read(found["vfs_read"], 1) != b"\xcc"
        client.ok(b"z0,%x,1" % found["vfs_read"])
        client.monitor("reset")
        deadline = time.monotonic() + COMMAND
        while client.register(RIP) >> 63:
            assert time.monotonic() < deadline, "it does not begin anew"
            time.sleep(0.2)
        # It is in memory, and nowhere in its page tables
        assert client.read(found["linux_banner"], 13) == b"Linux version"
        assert "not mapped" in client.monitor(f"translate {found['linux_banner']:#x}")
        client.go()
        assert "thread:1;" in client.stop(COMMAND)
        assert client.register(RIP) == found["start_kernel"]
        assert "PMD at" in client.monitor(f"translate {found['linux_banner']:#x}")
        client.ok(b"z1,%x,1" % found["start_kernel"])
        client.step(1)
        assert client.register(RIP) != found["start_kernel"]
        # One in the page tables, and it is met by a program that reads
        client.ok(b"Z1,%x,1" % found["vfs_read"])
        client.go()
        client.stop(COMMAND)
        assert client.register(RIP) == found["vfs_read"]
        client.ok(b"z1,%x,1" % found["vfs_read"])
        client.ok(b"D")
    guest.shell()
    assert guest.run(f"dmesg | grep -E '{COMPLAINTS}'") == ""


def gdb(sock: Path, *commands: str) -> str:
    words = [word for command in commands for word in ("-ex", command)]
    return subprocess.run(
        ["gdb", "-nx", "-batch", "-ex", "set pagination off", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2 * COMMAND,
        check=True,
    ).stdout


def test_stands_still_for_long(vm: Start, sock: Path) -> None:
    """The guest notices nothing of it: no watchdog, no jump of its clocks."""
    guest = start(vm, sock, "-c", "2").shell()
    banner = symbols(guest, "linux_banner")["linux_banner"]
    before = float(guest.run("cat /proc/uptime").split()[0])
    began = time.monotonic()
    with Client(str(sock), COMMAND) as client:
        client.ask(b"?")
        for _ in range(5):
            client.step(1)
        client.go()
        time.sleep(1)
        client.interrupt()
        assert client.register(RIP)
        assert b"thread id=\"2\"" in client.ask(b"qXfer:threads:read::0,1000")
        time.sleep(STOPPED)
        client.ok(b"D")
    took = time.monotonic() - began
    after = float(guest.run("cat /proc/uptime").split()[0])
    assert after - before < took - STOPPED + 5
    if shutil.which("gdb"):
        remote = f"target remote {sock}"
        out = gdb(sock, remote, "info threads", "bt 3", f"x/s {banner:#x}", "p/x $cr3", "detach")
        assert '"vCPU 1"' in out and "Linux version" in out
        assert re.search(r"= 0x[0-9a-f]+\n", out)
    assert guest.run("echo alive") == "alive\n"
    time.sleep(3 * THRESHOLD)
    assert guest.run(f"dmesg | grep -E '{COMPLAINTS}'") == ""


def test_many_breaks_under_load(vm: Start, sock: Path) -> None:
    """A thousand hits on vCPUs that are busy, then the guest goes on."""
    guest = start(vm, sock, "-c", "4").shell()
    address = symbols(guest, "vfs_read")["vfs_read"]
    for _ in range(4):
        guest.beside("while :; do cat /proc/uptime >/dev/null; done")
    with Client(str(sock), COMMAND) as client:
        point = b"1,%x,1" % address
        client.ok(b"Z" + point)
        client.go()
        stop = client.stop(COMMAND)
        for _ in range(1000):
            thread = int(re.search(r"thread:(\d+);", stop)[1])
            client.ok(b"Hg%x" % thread)
            assert client.register(RIP) == address
            stop = client.go_past(point, thread)
        client.ok(b"z" + point)
        client.ok(b"D")
    assert guest.run("echo alive") == "alive\n"
    assert guest.run(f"dmesg | grep -E '{COMPLAINTS}'") == ""


def test_early_messages(vm: Start) -> None:
    """All of them, and the first of them before there is a console."""
    guest = vm("--earlycon", quiet=False)
    guest.expect(rb"Linux version .*bootconsole \[earlyser0\] enabled.*console \[ttyS0\] enabled")
