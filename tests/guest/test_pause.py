# SPDX-License-Identifier: BSD-2-Clause
"""A pause, and the end, while a disk of the host hangs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from disks import sparse
from guest import DISK_MODULES, END, Guest
from test_dump import Start

pytestmark = pytest.mark.slow


@pytest.fixture
def freezable(ram_disk: Path, tmp_path: Path) -> Iterator[Path]:
    """A file system on which writes hang, from when it is frozen on."""
    home = tmp_path / "fs"
    home.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", ram_disk], check=True)
    subprocess.run(["mount", ram_disk, home], check=True)
    yield home
    subprocess.run(["fsfreeze", "--unfreeze", home], check=False)
    subprocess.run(["umount", "-l", home], check=False)


def test_disk_that_hangs(
    vm: Start, bantam: str, freezable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def verb(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [bantam, *words], capture_output=True, timeout=END, check=False, text=True
        )

    disk = sparse(freezable / "disk", 4 << 20)
    guest: Guest = vm("--name", "web", "-d", str(disk), "-a", DISK_MODULES).shell()
    subprocess.run(["fsfreeze", "--freeze", freezable], check=True)
    guest.run("dd if=/dev/zero of=/dev/vda bs=4k count=1 oflag=direct 2>/dev/null & sleep 1")
    with subprocess.Popen([bantam, "pause", "web"], stderr=subprocess.PIPE, text=True) as pause:
        # Meanwhile the VM answers others.
        states = {json.loads(verb("ps", "--json").stdout)["state"] for _ in range(5)}
        assert states <= {"running", "pausing"}
        error = pause.communicate(timeout=END)[1]
    assert pause.returncode == 8, error
    assert "does not finish what it is doing; the guest goes on" in error
    assert guest.run("echo go''ing") == "going\n"
    # Whoever resumes it sooner need not wait.
    with subprocess.Popen([bantam, "pause", "web"], stderr=subprocess.PIPE, text=True) as pause:
        while json.loads(verb("ps", "--json").stdout)["state"] != "pausing":
            pass
        assert verb("resume", "web").returncode == 0
        assert "resumed" in pause.communicate(timeout=END)[1]
    # When the disk is well again, so is all else.
    subprocess.run(["fsfreeze", "--unfreeze", freezable], check=True)
    assert verb("pause", "web").returncode == 0
    assert json.loads(verb("ps", "--json").stdout)["state"] == "paused"
    assert verb("resume", "web").returncode == 0
    assert "done\n" in guest.run("wait; echo do''ne")


@pytest.mark.parametrize("how", ["stop", "poweroff"])
def test_end_with_a_disk_that_hangs(
    vm: Start, bantam: str, freezable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:  # fmt: skip
    """It says what is left behind, and gives its name back; the process goes when it can."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    disk = sparse(freezable / "disk", 4 << 20)
    guest: Guest = vm("--name", "web", "-d", str(disk), "-a", DISK_MODULES).shell()
    subprocess.run(["fsfreeze", "--freeze", freezable], check=True)
    guest.run("dd if=/dev/zero of=/dev/vda bs=4k count=1 oflag=direct 2>/dev/null & sleep 1")
    words = ["stop", "--force", "--json", "web"] if how == "stop" else ["wait", "--json", "web"]
    with subprocess.Popen([bantam, *words], stdout=subprocess.PIPE, text=True) as verb:
        if how == "poweroff":
            guest.send(b"poweroff -f\n")
        answer = json.loads(verb.communicate(timeout=END)[0])
        assert answer["status"] == (6 if how == "stop" else 0)
    assert subprocess.run([bantam, "ps"], capture_output=True, check=True).stdout == b""
    guest.expect(b"does not finish what it is doing: it is left behind")
    subprocess.run(["fsfreeze", "--unfreeze", freezable], check=True)
    assert guest.status() == answer["status"]
