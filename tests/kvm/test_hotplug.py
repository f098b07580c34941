# SPDX-License-Identifier: BSD-2-Clause
"""Disks and networks that come and go, with a tiny kernel that reads the registers of hot-plug."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from test_control import FORCED, until, up, verb
from test_control_devices import MIB, disks, refused, sparse
from test_kernel_ends import RESET, kernel, put, start
from tiny import Bantam, may_look

__all__ = ["kernel"]

Kernel = Callable[..., str]

# For ever: reads "added" (0x620) and says A; reads "asked" (0x624), writes it to "eject", says E.
AGREES = (
    b"\x66\xba\x20\x06\xed\x85\xc0\x74\x07\x66\xba\xf8\x03\xb0A\xee"
    b"\x66\xba\x24\x06\xed\x85\xc0\x74\xe7\x66\xba\x28\x06\xef\x66\xba\xf8\x03\xb0E\xee\xeb\xd9"
)
# Once: says what a byte of "added" is, then spins.
LOOKS = b"\x66\xba\x20\x06\xec\x66\xba\xf8\x03\xee\xf3\x90\xeb\xfc"
SPINS = put(b"x") + b"\xf3\x90\xeb\xfc"

HOT = ["--name", "hot"]


def connections(pid: int) -> list[str]:
    """Of clients to the VM's socket, which has a name at this end."""
    links = set()
    may_look(pid)
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.add(os.readlink(path))
    lines = Path("/proc/net/unix").read_text().splitlines()
    # a connection is in state 03, what listens in 01
    return [
        line
        for line in lines
        if line.endswith("/hot.sock") and line.split()[5] == "03"
        if f"socket:[{line.split()[6]}]" in links
    ]


def resources(pid: int) -> tuple[int, list[str]]:
    """Open files and threads, once the last command's connection is gone, too."""
    until(lambda: not connections(pid), "nobody is connected")
    tasks = Path(f"/proc/{pid}/task").glob("*/comm")
    return len(os.listdir(f"/proc/{pid}/fd")), sorted(path.read_text() for path in tasks)


def test_rounds(bantam: Bantam, kernel: Kernel, tmp_path: Path) -> None:
    """Nothing is left of devices that have come and gone, while two vCPUs run."""
    image = sparse(tmp_path / "image", MIB)
    with start(bantam, kernel(AGREES), *HOT, "--hotplug", "3", "-c", "2") as guest:
        up(bantam, "hot")
        before = None
        for _ in range(11):
            assert verb(bantam, "disk", "add", "hot", f"{image},iothread") == "disk0\n"
            guest.expect(b"A")
            assert "in use" in refused(bantam, "disk", "add", "hot", image)
            assert verb(bantam, "net", "add", "hot", "user,id=n") == "n\n"
            guest.expect(b"A")
            verb(bantam, "net", "remove", "hot", "n")
            guest.expect(b"E")
            verb(bantam, "disk", "remove", "hot", "disk0")
            guest.expect(b"E")
            assert disks(bantam, "hot") == []
            # the networks' thread stays once it was needed
            if not before:
                until(lambda: "net\n" in resources(guest.pid)[1], "there is that thread")
                before = resources(guest.pid)
        # a thread has its name a moment after it was started
        until(lambda: resources(guest.pid) == before, f"{before} is what there is")


def test_slots(bantam: Bantam, kernel: Kernel, tmp_path: Path) -> None:
    """As many as --hotplug says, beside those of the start, which can go, too."""
    images = [sparse(tmp_path / str(n), MIB) for n in range(4)]
    words = ["--name", "hot", "--hotplug", "2", "-d", str(images[0])]
    with start(bantam, kernel(AGREES), *words) as guest:
        up(bantam, "hot")
        for image in images[1:3]:
            verb(bantam, "disk", "add", "hot", str(image))
        assert "--hotplug" in refused(bantam, "disk", "add", "hot", images[3])
        assert [disk["slot"] for disk in disks(bantam, "hot")] == [1, 2, 3]
        verb(bantam, "disk", "remove", "hot", "disk0")
        guest.expect(b"E")
        assert verb(bantam, "disk", "add", "hot", f"{images[3]},id=new") == "new\n"
        assert {disk["id"]: disk["slot"] for disk in disks(bantam, "hot")} == {
            "new": 1,
            "disk1": 2,
            "disk2": 3,
        }


def test_guest_that_does_not_agree(bantam: Bantam, kernel: Kernel, tmp_path: Path) -> None:
    image = sparse(tmp_path / "image", MIB)
    with start(bantam, kernel(SPINS), *HOT) as guest:
        guest.expect(b"x")
        up(bantam, "hot")
        verb(bantam, "disk", "add", "hot", str(image))
        run = bantam.command("disk", "remove", "hot", "disk0", "--timeout", "0.1")
        assert run.returncode == FORCED and b"not let go" in run.stderr
        assert disks(bantam, "hot")[0]["leaving"]
        refused(bantam, "disk", "swap", "hot", "disk0", sparse(tmp_path / "other", MIB))
        before = time.monotonic()
        verb(bantam, "disk", "remove", "hot", "disk0", "--force")
        assert time.monotonic() - before > 1
        assert disks(bantam, "hot") == []
        # the slot is not used again before the guest knows
        verb(bantam, "disk", "add", "hot", str(image))
        assert [disk["slot"] for disk in disks(bantam, "hot")] == [2]


def test_reboot(bantam: Bantam, kernel: Kernel, tmp_path: Path) -> None:
    """What was added stays; what was asked for is gone, though the guest had not let go of it."""
    images = [sparse(tmp_path / str(n), MIB) for n in range(2)]
    with start(bantam, kernel(SPINS), *HOT, "-d", str(images[0])) as guest:
        guest.expect(b"x")
        up(bantam, "hot")
        verb(bantam, "disk", "add", "hot", str(images[1]))
        bantam.command("disk", "remove", "hot", "disk0", "--timeout", "0.1")
        verb(bantam, "reset", "hot")
        guest.expect(b"x")
        assert [(disk["id"], disk["slot"]) for disk in disks(bantam, "hot")] == [("disk1", 1)]
        verb(bantam, "stop", "hot", "--force")


def test_end_in_between(bantam: Bantam, kernel: Kernel, tmp_path: Path) -> None:
    """A guest that ends at the moment in which it lets go."""
    image = sparse(tmp_path / "image", MIB)
    # ejects without being asked, which is nothing, then waits for the first A
    code = AGREES.replace(b"\xb0E\xee\xeb\xd9", b"\xb0E\xee" + RESET)
    with start(bantam, kernel(code), *HOT, "--on-reboot", "exit") as guest:
        up(bantam, "hot")
        verb(bantam, "disk", "add", "hot", str(image))
        guest.expect(b"A")
        bantam.command("disk", "remove", "hot", "disk0")
        guest.expect(b"E")
        assert guest.status() == 3


def test_registers(bantam: Bantam, kernel: Kernel) -> None:
    """There are none where there is nothing to add to."""
    none = [*HOT, "--hotplug=0"], [*HOT, "--transport=mmio"]
    for words, byte in ((HOT, b"\0"), *((words, b"\xff") for words in none)):
        with start(bantam, kernel(LOOKS), *words) as guest:
            guest.expect(byte)


def test_without_hotplug(bantam: Bantam, kernel: Kernel, tmp_path: Path) -> None:
    """Nothing comes or goes; all else works."""
    images = [sparse(tmp_path / str(n), MIB) for n in range(2)]
    words = ["--name", "hot", "--hotplug", "0", "-d", str(images[0]), "-n", "user"]
    with start(bantam, kernel(SPINS), *words) as guest:
        guest.expect(b"x")
        up(bantam, "hot")
        for request in (
            ("disk", "add", "hot", images[1]),
            ("net", "add", "hot", "user"),
            ("disk", "remove", "hot", "disk0"),
            ("net", "remove", "hot", "net0", "--force"),
        ):
            assert "with --hotplug 0" in refused(bantam, *request)
        verb(bantam, "disk", "swap", "hot", "disk0", str(images[1]))
        assert verb(bantam, "disk", "resize", "hot", "disk0", "2M") == f"{2 * MIB}\n"
        (disk,) = disks(bantam, "hot")
        assert (disk["file"], disk["size"], disk["leaving"]) == (str(images[1]), 2 * MIB, False)
        verb(bantam, "net", "link", "hot", "net0", "down")
        assert "down" in verb(bantam, "net", "list", "hot")
