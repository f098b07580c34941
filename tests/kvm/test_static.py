# SPDX-License-Identifier: BSD-2-Clause
"""The static build, in a chroot with nothing in it but itself, /dev/kvm and what it is to boot."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import bzimage
from conftest import variable
from tiny import HOST, LIMIT, OK, REBOOT, USAGE, Bantam, Running

MODE = ["--mode", "long", "-m", "16M"]
# In a mount namespace of its own, so that the device is gone with the last process in it
ENTER = 'mount --bind /dev/kvm "$1/dev/kvm" && exec chroot "$@"'
# What it says where there are no namespaces, as in a chroot
NO_NAMESPACES = b"bantam: the sandbox has no namespaces on this host"
TEXT = b"unpacked\n"
# Behind what relocations change
ENTRY = bzimage.PREF + 260_000

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Chroot:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.enter = ["unshare", "--mount", "sh", "-c", ENTER, "sh", str(root)]

    def argv(self, *words: str) -> list[str]:
        return [*self.enter, "/bantam", *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.argv(*words),
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=LIMIT,
        )


@pytest.fixture
def chroot(bantam: Bantam, tmp_path: Path) -> Iterator[Chroot]:
    root = tmp_path / "root"
    (root / "dev").mkdir(parents=True)
    (root / "dev/kvm").touch()
    shutil.copy(variable("BANTAM_STATIC"), root / "bantam")
    for name in ("hello.long", "echo.long"):
        shutil.copy(bantam.path(name), root / name)
    there = Chroot(root)
    if there.run("version").returncode:
        pytest.skip("no chroot with a device here")
    yield there
    assert not list((root / "dev").glob("null")), "somebody has made devices"


def only_namespaces(stderr: bytes) -> bool:
    return stderr.startswith(NO_NAMESPACES) and stderr.count(b"\n") == 1


def test_boots(chroot: Chroot) -> None:
    run = chroot.run("run", "--flat", "/hello.long", *MODE)
    assert run.returncode == OK and only_namespaces(run.stderr), run.stderr
    assert run.stdout == b"long mode: 2 + 2 = 4\n"


@pytest.mark.parametrize("user", ["54321:12345", "somebody"])
def test_user(chroot: Chroot, tmp_path: Path, user: str) -> None:
    """By numbers, or by the name in the only file that can be asked; and it is confined."""
    (chroot.root / "etc").mkdir()
    (chroot.root / "etc/passwd").write_text("root:x:0:0::/:\nsomebody:x:54321:12345::/:\n")
    argv = chroot.argv("run", "--flat", "/echo.long", *MODE, "--user", user)
    with Running(argv, tmp_path) as running:
        running.expect(b"ready\n")
        running.send(b"as a user\n")
        running.expect(b"as a user")
        threads = list(Path(f"/proc/{running.pid}/task").iterdir())
        assert len(threads) > 1
        for thread in threads:
            lines = (thread / "status").read_text().splitlines()
            state = dict(line.split(":", 1) for line in lines)
            assert state["Uid"].split() == ["54321"] * 4
            assert state["Gid"].split() == ["12345"] * 4
            assert state["Groups"].strip() == ""
            assert state["Seccomp"].strip() == "2" and state["NoNewPrivs"].strip() == "1"


@pytest.mark.parametrize(
    "words, said",
    [
        (["--user", "nobody"], "--user nobody: there is no such user"),
        (["--user", "1000"], "--user 1000: numbers are of the form UID:GID"),
        (["-n", "user"], "user network: this static build has no libslirp; use a tap"),
        (["-n", "user,apart=off"], "user network: this static build has no libslirp"),
    ],
)
def test_refused(chroot: Chroot, words: list[str], said: str) -> None:
    run = chroot.run("run", "--flat", "/hello.long", *MODE, *words)
    assert run.returncode == USAGE and run.stdout == b""
    assert said in run.stderr.decode() and run.stderr.count(b"\n") == 1


def test_strict(chroot: Chroot) -> None:
    run = chroot.run("run", "--flat", "/hello.long", *MODE, "--sandbox", "strict")
    assert run.returncode == HOST and b"this host gives no namespaces" in run.stderr


def kernel() -> bytes:
    """Says that it runs, and resets the machine."""
    code = b"\x66\xba\xf8\x03" + b"".join(b"\xb0" + bytes([c]) + b"\xee" for c in TEXT)
    code += b"\xb0\xfe\xe6\x64\xf4\xeb\xfd"
    elf = bytearray(bzimage.make_elf(1, True))
    struct.pack_into("<Q", elf, 24, ENTRY)
    at = 0x1000 + ENTRY - bzimage.PREF
    struct.pack_into(f"{len(code)}s", elf, at, code)
    return bytes(elf)


@pytest.mark.parametrize("name", bzimage.FORMATS)
def test_unpacks(chroot: Chroot, name: str) -> None:
    if bzimage.FORMATS[name].missing():
        pytest.skip(f"{bzimage.FORMATS[name].needs} is not installed")
    (chroot.root / "bzImage").write_bytes(bzimage.make_bzimage(kernel(), name))
    run = chroot.run("run", "-v", "-k", "/bzImage", "-m", "64M", "--on-reboot=exit")
    if b"static build was built without" in run.stderr:
        pytest.skip("no archive of that library here")
    assert run.stdout == TEXT and run.returncode == REBOOT, run.stderr


def test_hashes(chroot: Chroot) -> None:
    """A FIT image that it has made itself, whole and damaged."""
    (chroot.root / "bzImage").write_bytes(bzimage.make_bzimage(kernel(), "gzip"))
    run = chroot.run("pack", "-k", "/bzImage", "-o", "/image.itb")
    if b"nettle" in run.stderr:
        pytest.skip("no archive of that library here")
    assert run.returncode == OK, run.stderr
    run = chroot.run("run", "/image.itb", "-m", "64M", "--on-reboot=exit")
    assert run.stdout == TEXT and run.returncode == REBOOT, run.stderr
    image = bytearray((chroot.root / "image.itb").read_bytes())
    image[len(image) // 2] ^= 1
    (chroot.root / "image.itb").write_bytes(image)
    run = chroot.run("run", "/image.itb", "-m", "64M", "--on-reboot=exit")
    assert run.returncode == USAGE and b"hash does not match" in run.stderr
