# SPDX-License-Identifier: BSD-2-Clause
"""Disks and networks that come and go while a stock kernel runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from disks import noise, sha256, sparse
from guest import BOOT, END, Guest
from net import ask_dhcp

Start = Callable[..., Guest]
Verb = Callable[..., str]
MIB = 1 << 20
# a word for the kernel's command line: both drivers
MODULES = "bantam.modules=virtio_pci,virtio_mmio,virtio_blk,virtio_net"
USAGE, FORCED = 2, 8
LINUX = ["linux-12", "linux-13"]


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def run_verb(bantam: str, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [bantam, *map(str, words)], capture_output=True, timeout=END, check=False, text=True
    )


@pytest.fixture
def verb(bantam: str) -> Verb:
    """Runs `bantam VERB ...`, which must succeed; what it printed."""

    def verb(*words: object) -> str:
        run = run_verb(bantam, *words)
        assert run.returncode == 0, (words, run.stderr)
        return run.stdout

    return verb


@pytest.fixture
def start(vm: Start) -> Start:
    def start(*options: str, linux: str = "linux-12") -> Guest:
        words = ["--name", "hot", "--hotplug", "3", "-a", MODULES, *options]
        return vm(*words, linux=linux).shell()

    return start


def wait_for(guest: Guest, test: str) -> None:
    """Drivers bind in the background."""
    script = f"for i in $(seq 100); do {test} && break; sleep 0.1; done; {test} && echo y''es"
    assert "yes" in guest.run(script), guest.run("dmesg | tail -n 30; ls /sys/bus/pci/slots")


def disks_of(verb: Verb) -> dict[str, dict]:
    return {disk["id"]: disk for disk in json.loads(verb("disk", "list", "hot", "--json"))["disks"]}


def nets_of(verb: Verb) -> dict[str, dict]:
    return {net["id"]: net for net in json.loads(verb("net", "list", "hot", "--json"))["nets"]}


def hash_of(guest: Guest, dev: str) -> str:
    return guest.run(f"sha256sum </dev/{dev}").split()[0]


def threads(pid: int) -> list[str]:
    return sorted(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/comm"))


# ---- disks ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("linux", LINUX)
def test_disk(start: Start, verb: Verb, bantam: str, disk_dir: Path, linux: str) -> None:
    """A guest without disks gets its first one, writes it, gives it back, and gets it again."""
    image = disk_dir / "image"
    image.write_bytes(noise(4 * MIB))
    guest = start("-c", "2", linux=linux)
    assert verb("disk", "add", "hot", f"{image},serial=fresh") == "disk0\n"
    wait_for(guest, "[ -e /dev/vda ]")
    assert guest.run("cat /sys/block/vda/serial; echo").strip() == "fresh"
    assert hash_of(guest, "vda") == sha256(image.read_bytes())
    guest.run("dd if=/dev/urandom of=/dev/vda bs=64k count=16 seek=5 conv=fsync 2>/dev/null")
    want = sha256(image.read_bytes())
    assert hash_of(guest, "vda") == want != sha256(noise(4 * MIB))
    # its file is locked, by whoever opened it
    run = run_verb(bantam, "disk", "add", "hot", image)
    assert run.returncode != 0 and "in use" in run.stderr

    verb("disk", "remove", "hot", "disk0")
    assert disks_of(verb) == {}
    wait_for(guest, "[ ! -e /dev/vda ]")
    assert verb("disk", "add", "hot", f"{image},id=again,iothread,queues=2") == "again\n"
    wait_for(guest, "[ -e /dev/vda ]")
    assert hash_of(guest, "vda") == want
    assert guest.run("ls /sys/block/vda/mq").split() == ["0", "1"]
    verb("disk", "remove", "hot", "again")
    assert "disk0\n" not in threads(guest.pid)
    assert guest.run("dmesg | grep -E 'BUG:|Oops|Call Trace'") == ""


@pytest.mark.slow
def test_swap_and_resize(start: Start, verb: Verb, bantam: str, disk_dir: Path) -> None:
    first, second = disk_dir / "first", disk_dir / "second"
    first.write_bytes(noise(2 * MIB, 1))
    second.write_bytes(noise(3 * MIB, 2))
    guest = start("-d", f"{first},serial=kept")
    assert hash_of(guest, "vda") == sha256(first.read_bytes())
    verb("disk", "swap", "hot", "disk0", second)
    wait_for(guest, f"[ $(cat /sys/block/vda/size) = {3 * MIB // 512} ]")
    guest.run("echo 3 >/proc/sys/vm/drop_caches; blockdev --flushbufs /dev/vda 2>/dev/null")
    assert hash_of(guest, "vda") == sha256(second.read_bytes())
    assert guest.run("cat /sys/block/vda/serial; echo").strip() == "kept"
    assert disks_of(verb)["disk0"]["file"] == str(second)
    # the first one is free
    assert verb("disk", "add", "hot", first) == "disk1\n"
    wait_for(guest, "[ -e /dev/vdb ]")
    assert hash_of(guest, "vdb") == sha256(first.read_bytes())
    run = run_verb(bantam, "disk", "swap", "hot", "disk1", second)
    assert run.returncode != 0 and "in use" in run.stderr

    assert verb("disk", "resize", "hot", "disk1", "5M") == f"{5 * MIB}\n"
    wait_for(guest, f"[ $(cat /sys/block/vdb/size) = {5 * MIB // 512} ]")
    assert first.stat().st_size == 5 * MIB
    os.truncate(second, 7 * MIB)
    assert verb("disk", "resize", "hot", "disk0") == f"{7 * MIB}\n"
    wait_for(guest, f"[ $(cat /sys/block/vda/size) = {7 * MIB // 512} ]")
    run = run_verb(bantam, "disk", "resize", "hot", "disk0", "1M")
    assert run.returncode == USAGE and "not smaller" in run.stderr
    assert second.stat().st_size == 7 * MIB


@pytest.mark.slow
@pytest.mark.parametrize("linux", LINUX)
def test_forced(start: Start, verb: Verb, disk_dir: Path, linux: str) -> None:
    """A disk that is taken away under I/O: what is under way ends, the guest goes on."""
    image = sparse(disk_dir / "image", 64 * MIB)
    guest = start("-c", "2", linux=linux)
    verb("disk", "add", "hot", image)
    wait_for(guest, "[ -e /dev/vda ]")
    dd = "dd if=/dev/zero of=/dev/vda bs=64k oflag=direct conv=notrunc"
    guest.beside(f"while {dd} 2>/dev/null; do :; done; echo over >/tmp/over")
    guest.run("sleep 1")
    verb("disk", "remove", "hot", "disk0", "--force")
    assert disks_of(verb) == {}
    wait_for(guest, "[ ! -e /dev/vda ] && [ -e /tmp/over ]")
    # hot-plug works as before, with the file that is free now
    verb("disk", "add", "hot", image)
    wait_for(guest, "[ -e /dev/vda ]")
    assert hash_of(guest, "vda") == sha256(image.read_bytes())


@pytest.mark.slow
def test_guest_that_does_not_agree(start: Start, verb: Verb, bantam: str, disk_dir: Path) -> None:
    """One whose CPUs hear nothing: the command gives up, force does not."""
    image = sparse(disk_dir / "image", MIB)
    guest = start("-a", "acpi=off")
    verb("disk", "add", "hot", image)
    run = run_verb(bantam, "disk", "remove", "hot", "disk0", "--timeout", "1")
    assert run.returncode == FORCED and "not let go" in run.stderr
    assert disks_of(verb)["disk0"]["leaving"]
    verb("disk", "remove", "hot", "disk0", "--force")
    assert disks_of(verb) == {}
    assert guest.run("echo alive") == "alive\n"


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["mmio", "none"])
def test_refused(start: Start, bantam: str, disk_dir: Path, transport: str) -> None:
    words = ["--hotplug", "0"] if transport == "none" else ["--transport", transport]
    start(*words)
    run = run_verb(bantam, "disk", "add", "hot", sparse(disk_dir / "image", MIB))
    assert run.returncode != 0 and run.stderr.count("\n") == 1
    assert ("--hotplug" if transport == "none" else "PCI") in run.stderr


@pytest.mark.slow
def test_reboot(start: Start, verb: Verb, disk_dir: Path) -> None:
    """What was added is there in the next boot, what was removed is not."""
    kept, gone = disk_dir / "kept", disk_dir / "gone"
    kept.write_bytes(noise(MIB, 3))
    gone.write_bytes(noise(2 * MIB, 4))
    guest = start("-d", str(gone))
    verb("disk", "add", "hot", kept)
    wait_for(guest, "[ -e /dev/vdb ]")
    verb("disk", "remove", "hot", "disk0")
    verb("net", "add", "hot", "user")
    guest.send(b"reboot -f\n")
    guest.shell(BOOT)
    assert guest.run("ls /sys/block | grep vd").split() == ["vda"]
    assert hash_of(guest, "vda") == sha256(kept.read_bytes())
    assert list(disks_of(verb)) == ["disk1"]
    assert guest.run("ls /sys/class/net | grep eth").split() == ["eth0"]
    verb("disk", "remove", "hot", "disk1")
    wait_for(guest, "[ ! -e /dev/vda ]")


@pytest.mark.slow
def test_rounds(start: Start, verb: Verb, disk_dir: Path) -> None:
    """Nothing is left of devices that have come and gone."""
    image = sparse(disk_dir / "image", MIB)
    guest = start("-c", "2")

    def round_trip() -> None:
        verb("disk", "add", "hot", f"{image},iothread")
        verb("net", "add", "hot", "user")
        wait_for(guest, "[ -e /dev/vda ] && [ -e /sys/class/net/eth0 ]")
        guest.run("dd if=/dev/vda of=/dev/null bs=64k 2>/dev/null")
        verb("disk", "remove", "hot", "disk0")
        verb("net", "remove", "hot", "net0")

    def count() -> tuple[int, list[str]]:
        return len(list(Path(f"/proc/{guest.pid}/fd").iterdir())), threads(guest.pid)

    round_trip()
    time.sleep(1)
    before = count()
    for _ in range(10):
        round_trip()
    time.sleep(1)
    assert count() == before
    assert guest.run("dmesg | grep -E 'BUG:|Oops|Call Trace'") == ""


# ---- networks -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("linux", LINUX)
def test_net(start: Start, verb: Verb, linux: str) -> None:
    guest = start("-c", "2", linux=linux)
    assert verb("net", "add", "hot", "user,mac=02:00:00:00:00:07") == "net0\n"
    wait_for(guest, "[ -e /sys/class/net/eth0 ]")
    assert guest.run("cat /sys/class/net/eth0/address").strip() == "02:00:00:00:00:07"
    ask_dhcp(guest)
    assert nets_of(verb)["net0"]["link"] == "up"
    verb("net", "link", "hot", "net0", "down")
    wait_for(guest, "[ $(cat /sys/class/net/eth0/carrier) = 0 ]")
    assert nets_of(verb)["net0"]["link"] == "down"
    assert "100% packet loss" in guest.run("ping -c 1 -W 1 10.0.2.2; :")
    verb("net", "link", "hot", "net0", "up")
    wait_for(guest, "[ $(cat /sys/class/net/eth0/carrier) = 1 ]")
    wait_for(guest, "ping -c 1 -W 1 10.0.2.2 >/dev/null")
    verb("net", "remove", "hot", "net0")
    assert nets_of(verb) == {}
    wait_for(guest, "[ ! -e /sys/class/net/eth0 ]")
    verb("net", "add", "hot", "user,id=second")
    wait_for(guest, "[ -e /sys/class/net/eth0 ]")
    ask_dhcp(guest)
    verb("net", "remove", "hot", "second", "--force")
    wait_for(guest, "[ ! -e /sys/class/net/eth0 ]")


def net_name(guest: Guest, card: str) -> str:
    """What Debian's systemd calls it: the first of its names that the policy has."""
    said = guest.run(f"chroot /m udevadm test-builtin net_id /sys/class/net/{card} 2>&1")
    names = dict(re.findall(r"^ID_NET_NAME_([A-Z]+)=(\S+)$", said, re.MULTILINE))
    policy = guest.run("grep ^NamePolicy= /m/usr/lib/systemd/network/99-default.link")
    found = [names[word] for word in re.findall(r"\w+", policy.upper()) if word in names]
    assert found, said + policy
    return found[0]


@pytest.mark.slow
@pytest.mark.parametrize("slots,names", [("3", ["ens2", "ens3"]), ("0", ["enp0s2"])])
def test_names_of_systemd(
    start: Start, verb: Verb, debian: Path, slots: str, names: list[str]
) -> None:
    """By slots if there are any, also for a card that is added later."""
    guest = start("-m", "768M", "--hotplug", slots, "-d", f"{debian / 'disk.img'},ro", "-n", "user")
    guest.run("mkdir /m; mount -t ext4 -o ro /dev/vda /m")
    guest.run("for dir in proc sys dev; do mount --bind /$dir /m/$dir; done")
    guest.run("mount -t tmpfs tmpfs /m/run")
    assert net_name(guest, "eth0") == names[0]
    for index, name in enumerate(names[1:], 1):
        verb("net", "add", "hot", "user")
        wait_for(guest, f"[ -e /sys/class/net/eth{index} ]")
        assert net_name(guest, f"eth{index}") == name
