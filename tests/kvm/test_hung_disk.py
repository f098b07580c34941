# SPDX-License-Identifier: BSD-2-Clause
"""The end of a VM whose disk hangs: its file is on a file system that was frozen."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_control import listed, until, up, verb
from test_control_devices import MIB, sparse
from tiny import HOST, LIMIT, OK, QUIT, Bantam, Running


def quiet(*words: object) -> bool:
    run = subprocess.run([*map(str, words)], capture_output=True, check=False, timeout=LIMIT)
    return run.returncode == 0


class Frozen:
    """A disk on a file system on which writes hang, until it is thawed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.disk = sparse(home / "disk", MIB)
        assert quiet("fsfreeze", "--freeze", home)

    def thaw(self) -> None:
        quiet("fsfreeze", "--unfreeze", self.home)


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[Frozen]:
    image, home = sparse(tmp_path / "image", 16 * MIB), tmp_path / "home"
    home.mkdir()
    if os.geteuid() or not quiet("mkfs.ext4", "-q", "-F", image):
        pytest.skip("needs root, and mkfs.ext4")
    if not quiet("mount", "-o", "loop", image, home):
        pytest.skip("this host mounts no images")
    file_system = Frozen(home)
    yield file_system
    file_system.thaw()
    quiet("umount", "-l", home)


@contextlib.contextmanager
def start(bantam: Bantam, frozen: Frozen, *words: str) -> Iterator[Running]:
    """Thawed when the test has failed, or nothing could end the process."""
    disk = ",".join([str(frozen.disk), *words])
    with (
        bantam.start("disk.long", "--transport=mmio", "-d", disk, "--name", "web") as guest,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(frozen.thaw)
        up(bantam, "web")
        guest.expect(b"sent\n")
        yield guest


def test_disk_that_works(bantam: Bantam, frozen: Frozen) -> None:
    """What the guest does is right."""
    frozen.thaw()
    with start(bantam, frozen) as guest:
        guest.send(b"d")
        guest.expect(b"done\n")
        guest.send(b"rp")
        guest.expect(b"reset\n")
        assert guest.status() == OK


def test_stop(bantam: Bantam, frozen: Frozen) -> None:
    """It says what is left behind and lets go of its name; the rest is the kernel's."""
    with start(bantam, frozen) as guest:
        answer = json.loads(verb(bantam, "stop", "--force", "--json", "web"))
        assert answer["status"] == QUIT
        assert listed(bantam) == {}
        assert "disk: does not finish what it is doing: it is left behind" in guest.stderr()
        frozen.thaw()
        assert guest.status() == QUIT


def test_poweroff(bantam: Bantam, frozen: Frozen) -> None:
    with start(bantam, frozen, "aio=threads") as guest:
        guest.send(b"p")
        until(lambda: listed(bantam) == {}, "it lets go of its name")
        frozen.thaw()
        assert guest.status() == OK


def test_stop_while_the_guest_waits(bantam: Bantam, frozen: Frozen) -> None:
    """A vCPU is inside the reset of that disk, and does not come out."""
    with start(bantam, frozen) as guest:
        guest.send(b"r")
        guest.expect(b"resetting\n")
        bantam.command("stop", "--force", "web")
        assert listed(bantam) == {}
        frozen.thaw()
        assert guest.status() == HOST
        assert "both are left behind" in guest.stderr()


def test_reboot(bantam: Bantam, frozen: Frozen) -> None:
    """That waits for the disk, unless somebody wants the VM to go."""
    with start(bantam, frozen, "aio=threads") as guest:
        guest.send(b"k")
        guest.process.terminate()
        until(lambda: listed(bantam) == {}, "it lets go of its name")
        frozen.thaw()
        assert guest.status() == -signal.SIGTERM
