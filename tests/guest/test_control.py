# SPDX-License-Identifier: BSD-2-Clause
"""What the verbs do to a running guest of Linux, seen from inside."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from disks import sparse
from guest import DISK_MODULES, END, Guest
from net import ask_dhcp

Start = Callable[..., Guest]
MIB = 1 << 20
PAUSES = 10


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def verb(bantam: str) -> Callable[..., str]:
    """Runs `bantam VERB ...`, which must succeed; what it printed."""

    def verb(*words: str, timeout: float = END) -> str:
        run = subprocess.run(
            [bantam, *words], capture_output=True, timeout=timeout, check=False, text=True
        )
        assert run.returncode == 0, (words, run.stderr)
        return run.stdout

    return verb


def uptime(guest: Guest) -> float:
    return float(guest.run("cat /proc/uptime").split()[0])


def pause(guest: Guest, verb: Callable[..., str], seconds: float) -> None:
    """The guest's clock shows that no time has gone by, beside what the commands take."""
    before = time.monotonic() - uptime(guest)
    verb("pause", "web")
    assert json.loads(verb("ps", "--json"))["state"] == "paused"
    time.sleep(seconds)
    verb("resume", "web")
    after = time.monotonic() - uptime(guest)
    assert seconds * 0.9 < after - before < seconds + 5


@pytest.mark.slow
@pytest.mark.parametrize("linux", ["linux-12", "linux-13"])
def test_pause(vm: Start, verb: Callable[..., str], linux: str) -> None:
    guest = vm("--name", "web", "-c", "2", linux=linux).shell()
    # the watchdog would say that a CPU has stood still
    pause(guest, verb, 10)
    guest.run("sleep 1")
    assert guest.run("dmesg | grep -E 'soft lockup|rcu_.*stall|Marking clocksource'") == ""
    # a timer that was set before the pause has as much left afterwards
    guest.begin("cat /proc/uptime; sleep 3; cat /proc/uptime")
    verb("pause", "web")
    time.sleep(5)
    verb("resume", "web")
    first, last = (float(line.split()[0]) for line in guest.end().split("\n")[:2])
    assert 2.9 < last - first < 5
    # and the other way: the pause has gone by
    before = uptime(guest)
    verb("pause", "web")
    time.sleep(5)
    verb("resume", "--catch-up", "web")
    assert uptime(guest) - before > 5


# For each byte from COM1: kvm-clock's system_time - tsc_timestamp * mul >> 32, in 16 letters
SKEW = bytes.fromhex(
    "b9014d564b b801002000 31d2 0f30 bf00002000"  # a wrmsr for kvm-clock at 2 MiB; 1: edi is that
    "66bafd03 ec a801 74f7 66baf803 ec"  # a byte of COM1's
    "488b4708 8a4f1c 84c9 7805 48d3e0 eb05 f6d9 48d3e8"  # rax: the TSC, shifted
    "8b5718 48f7e2 480facd020 488b6f10 4829c5"  # rbp: what is wanted
    "66baf803 b910000000 48c1c504 4088e8 240f 0461 ee e2f2 ebb2"  # its digits to COM1; jmp 1b
)


def skew(guest: Guest) -> int:
    guest.send(b"x")
    letters = guest.expect(rb"[a-p]{16}")[0]
    return int.from_bytes(bytes.fromhex("".join(f"{c - 97:x}" for c in letters)), "big")


def test_pause_keeps_clocks_in_step(vm: Start, verb: Callable[..., str], tmp_path: Path) -> None:
    """The TSC and kvm-clock stop at one moment and go on at one: Linux watches one by the other."""
    path = tmp_path / "skew.bin"
    path.write_bytes(SKEW)
    words = ("--name", "web", "-c", "4", "--flat", str(path), "--mode", "long", "-m", "16M")
    guest = vm(*words, linux=None, quiet=False)
    skew(guest)
    before = skew(guest)
    for _ in range(PAUSES):
        verb("pause", "web")
        verb("resume", "web")
    assert abs(skew(guest) - before) / PAUSES < 10e3  # ns


def no_ping_lost(guest: Guest) -> None:
    assert "" == guest.run("killall -INT ping; sleep 1").strip()
    assert " 0% packet loss" in guest.run("tail -n 3 /tmp/p")


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["pci", "mmio"])
def test_pause_under_load(
    vm: Start, verb: Callable[..., str], disk_dir: Path, transport: str
) -> None:
    """A pause amid writes, whose data is compared; and pings, none of which is lost."""
    disk = sparse(disk_dir / "disk", 16 * MIB)
    guest = vm(
        *("--name", "web", "--transport", transport, "-d", f"{disk}", "-n", "user"),
        *("-a", DISK_MODULES + ",virtio_net"),
    ).shell()
    ask_dhcp(guest)
    guest.run("dd if=/dev/urandom of=/tmp/data bs=1M count=8 2>/dev/null")
    guest.beside("ping -c 600 -i 0.2 10.0.2.2 >/tmp/p")
    guest.begin(
        "for i in 1 2 3 4 5 6; do"
        " dd if=/tmp/data of=/dev/vda bs=64k oflag=direct 2>/dev/null || echo failed;"
        " dd if=/dev/vda bs=1M count=8 iflag=direct 2>/dev/null | cmp - /tmp/data || echo differs;"
        " done"
    )
    for _ in range(3):
        verb("pause", "web")
        writes = disk.stat().st_mtime_ns
        time.sleep(4)
        assert disk.stat().st_mtime_ns == writes
        verb("resume", "web")
        time.sleep(0.3)
    assert guest.end(timeout=300).strip() == ""
    no_ping_lost(guest)
    assert guest.run("dmesg | grep -i 'vda.*error'") == ""
    guest.send(b"poweroff -f\n")
    assert guest.status() == 0


@pytest.mark.slow
def test_pause_for_a_minute(
    vm: Start, verb: Callable[..., str], debian: Path, disk_dir: Path
) -> None:
    """Under fio and ping, which do not notice: no error, nothing late, none lost."""
    disk = sparse(disk_dir / "disk", 16 * MIB)
    guest = vm(
        *("--name", "web", "-c", "2", "-m", "768M", "-n", "user", "-a"),
        *(DISK_MODULES + ",virtio_net", "-d", f"{debian / 'disk.img'},ro", "-d", f"{disk}"),
    ).shell()
    ask_dhcp(guest)
    guest.run("mkdir /m; mount -t ext4 -o ro /dev/vda /m")
    guest.run("for dir in proc sys dev; do mount --bind /$dir /m/$dir; done")
    guest.run("mount -t tmpfs tmpfs /m/tmp")
    guest.watch(20)
    guest.beside("ping -c 600 -i 0.2 10.0.2.2 >/tmp/p")
    # each block that was written is read again, and its checksum compared
    guest.begin(
        "chroot /m fio --name=job --filename=/dev/vdb --direct=1 --ioengine=libaio --iodepth=16"
        " --rw=randrw --bsrange=4k-64k --size=16m --verify=crc32c --verify_fatal=1"
        " --verify_backlog=64 --verify_state_save=0 --loops=1000 --time_based --runtime=20"
        " --eta=never --minimal --output=/tmp/fio"
    )
    time.sleep(5)
    verb("pause", "web")
    writes = disk.stat().st_mtime_ns
    time.sleep(60)
    assert disk.stat().st_mtime_ns == writes
    verb("resume", "web")
    guest.end(timeout=300)
    # before more is printed: an emulated CPU is busy with that for longer than ping waits
    no_ping_lost(guest)
    fields = guest.run("cat /m/tmp/fio").split(";")
    # by fio's manual: its error, and KiB and the longest latency in us, read and written
    assert fields[4] == "0" and all(int(fields[i]) > 0 for i in (5, 46))
    assert all(float(fields[i]) < 30e6 for i in (14, 55))
    assert guest.run("dmesg | grep -E 'vd[ab].*error|soft lockup|rcu_.*stall'") == ""


def test_stop(vm: Start, bantam: str) -> None:
    """The guest hears the power button; it is told by its input device and powers off."""
    guest = vm("--name", "web", "-a", "bantam.modules=button,evdev").shell()
    guest.run(
        "(for i in /dev/input/event*; do head -c 1 $i >/dev/null && poweroff -f & done) 2>/dev/null"
    )
    stop = subprocess.Popen([bantam, "stop", "web"])
    assert guest.status() == 0
    assert stop.wait(END) == 0


def test_stop_needs_force(vm: Start, bantam: str) -> None:
    guest = vm("--name", "web").shell()
    run = subprocess.run([bantam, "stop", "-t", "2", "web"], check=False, capture_output=True)
    assert run.returncode == 8, run.stderr
    assert guest.status() == 6


def test_panic_is_told(vm: Start, bantam: str) -> None:
    guest = vm("--name", "web").shell()
    wait = subprocess.Popen([bantam, "wait", "web"])
    events = subprocess.Popen([bantam, "events", "--json", "web"], stdout=subprocess.PIPE)
    time.sleep(1)
    guest.send(b"echo c >/proc/sysrq-trigger\n")
    assert guest.status() == 4
    assert wait.wait(END) == 4
    kinds = [json.loads(line)["event"] for line in events.communicate(timeout=END)[0].splitlines()]
    assert kinds == ["panic", "ended"]
    assert "web.sock" not in os.listdir(f"{os.environ['XDG_RUNTIME_DIR']}/bantam")
