# SPDX-License-Identifier: BSD-2-Clause
"""Directories of the host in a stock kernel: virtiofs."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from disks import MIB, noise
from guest import END, Guest, slow

MODULES = "bantam.modules=virtio_pci,virtio_mmio,virtiofs"
POWEROFF, USAGE = 0, 2

Start = Callable[..., Guest]


@pytest.fixture
def start(vm: Callable[..., Guest]) -> Start:
    """A guest with these shares, at its shell: start("/srv,tag=s", transport="mmio")."""

    def start(*specs: str, transport: str = "pci", linux: str = "linux-12") -> Guest:
        words = [word for spec in specs for word in ("--share", spec)]
        return vm("-a", MODULES, *words, "--transport", transport, linux=linux).shell()

    return start


def mount(guest: Guest, tag: str, at: str = "/m", options: str = "rw") -> None:
    guest.run(f"mkdir -p {at}")
    assert guest.run(f"mount -t virtiofs -o {options} {tag} {at}; echo $?").strip() == "0"


def fails(guest: Guest, command: str, why: str) -> None:
    assert why in guest.run(f"{command} 2>&1")


def digests(home: Path) -> list[str]:
    """As sha256sum prints them in the guest."""
    files = sorted(path for path in home.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  ./{path.relative_to(home)}"
        for path in files
    )


def guest_digests(guest: Guest, at: str) -> list[str]:
    text = guest.run(f"cd {at}; find . -type f -exec sha256sum {{}} +; cd /", timeout=END)
    return sorted(line for line in text.splitlines() if "  ./" in line)


def fill(home: Path) -> None:
    for index, size in enumerate([0, 1, 4095, 4096, 70000, MIB // 2 + 5]):
        (home / f"file{index}").write_bytes(noise(size, index))
    (home / "deep" / "er").mkdir(parents=True)
    (home / "deep" / "er" / "leaf").write_text("a leaf\n")
    (home / "link").symlink_to("deep/er/leaf")


@pytest.mark.parametrize(
    ("transport", "linux"),
    [("pci", "linux-12"), ("mmio", "linux-13"), slow("mmio", "linux-12"), slow("pci", "linux-13")],
)
def test_both_ways(start: Start, disk_dir: Path, transport: str, linux: str) -> None:
    """What the one has, the other reads; and what only the host could be hurt by is refused."""
    work, fixed = disk_dir / "work", disk_dir / "fixed"
    for home in (work, fixed):
        home.mkdir()
        fill(home)
    (fixed / "secret").write_text("hidden\n")
    guest = start(
        f"{work},tag=work",
        f"{fixed},ro,cache=always,hide=secret",
        transport=transport,
        linux=linux,
    )
    mount(guest, "work")
    mount(guest, "share1", "/r")
    assert guest_digests(guest, "/m") == digests(work)
    assert guest_digests(guest, "/r") == [line for line in digests(fixed) if "secret" not in line]
    fails(guest, "cat /r/secret", "No such file")
    for command in (
        "touch /r/new",
        "rm /r/file1",
        "sh -c 'echo >/r/file1'",
        "mkdir /r/d",
        "chmod 0 /r",
    ):
        fails(guest, command, "Read-only file system")
    guest.run("cd /m; mkdir made; dd if=/dev/urandom of=made/noise bs=70001 count=5 2>/dev/null")
    guest.run("mv file1 made/moved")
    guest.run("rm file2; ln -s made/noise sym; ln made/noise hard; chmod 640 file3; sync; cd /")
    assert guest_digests(guest, "/m") == digests(work)
    assert os.readlink(work / "sym") == "made/noise"
    assert (work / "hard").stat().st_ino == (work / "made" / "noise").stat().st_ino
    assert (work / "file3").stat().st_mode & 0o777 == 0o640
    # open, gone, and still there for who has it
    size = guest.run("exec 5<>/m/file3; rm /m/file3; cat <&5 | wc -c; exec 5<&-")
    assert size.split() == ["4096"]
    assert not (work / "file3").exists()
    # what the host changes
    (work / "file4").write_text("changed by the host\n")
    time.sleep(1.1)
    assert guest.run("cat /m/file4").strip() == "changed by the host"


@pytest.mark.slow
def test_many_files(start: Start, disk_dir: Path) -> None:
    """A large directory, whole and once each."""
    for index in range(1000):
        (disk_dir / f"entry-{index}").touch()
    guest = start(str(disk_dir))
    mount(guest, "share0")
    assert guest.run("ls /m | sort -u | wc -l", timeout=END).strip() == "1000"
    assert guest.run("ls -l /m | grep -c entry-", timeout=END).strip() == "1000"
    guest.run("rm /m/entry-?", timeout=END)
    assert len(list(disk_dir.iterdir())) == 990


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["auto", "always", "none"])
def test_caches(start: Start, disk_dir: Path, cache: str) -> None:
    """Data is right by each of them, with writes in pieces and maps."""
    guest = start(f"{disk_dir},cache={cache}")
    mount(guest, "share0")
    guest.run("dd if=/dev/urandom of=/m/a bs=1000 count=400; sync", timeout=END)
    guest.run("dd if=/m/a of=/m/b bs=4096; cp /m/a /m/c", timeout=END)
    guest.run("dd if=/m/c of=/m/b bs=512 skip=7 seek=7 count=100 conv=notrunc", timeout=END)
    sums = {line.split()[0] for line in guest.run("cd /m; sha256sum a b c; cd /").splitlines()}
    want = hashlib.sha256((disk_dir / "a").read_bytes()).hexdigest()
    assert {digest for digest in sums if len(digest) == 64} == {want}
    assert (disk_dir / "b").read_bytes() == (disk_dir / "a").read_bytes()


@pytest.mark.slow
def test_reboot(vm: Callable[..., Guest], disk_dir: Path) -> None:
    """A guest that resets with files open finds the share as new."""
    (disk_dir / "file").write_text("before\n")
    words = ["-a", MODULES, "--share", str(disk_dir), "--on-reboot", "restart"]
    guest = vm(*words).shell()
    for round_ in range(3):
        mount(guest, "share0")
        guest.run("exec 5<>/m/file; cat <&5")
        guest.run(f"echo {round_} >>/m/rounds; sync")
        guest.send(b"reboot -f\n")
        guest.shell()
    assert (disk_dir / "rounds").read_text() == "0\n1\n2\n"


@pytest.mark.slow
def test_remount(start: Start, disk_dir: Path) -> None:
    """What the guest knew of files goes with its mount."""
    fill(disk_dir)
    guest = start(str(disk_dir))
    for _ in range(5):
        mount(guest, "share0")
        assert guest_digests(guest, "/m") == digests(disk_dir)
        guest.run("umount /m")
    links = [os.readlink(path) for path in Path(f"/proc/{guest.pid}/fd").iterdir()]
    assert sum(link.startswith(str(disk_dir)) for link in links) <= 2


@pytest.mark.slow
def test_mounts(lab_host: None, start: Start, disk_dir: Path) -> None:
    """Another mount looks empty unless asked for; procfs always."""
    (disk_dir / "other").mkdir()
    (disk_dir / "proc").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk_dir / "other"], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", disk_dir / "proc"], check=True)
    try:
        (disk_dir / "other" / "file").write_text("there\n")
        guest = start(f"{disk_dir},tag=one", f"{disk_dir},tag=all,mounts")
        mount(guest, "one", "/one")
        mount(guest, "all", "/all")
        assert guest.run("ls -A /one/other | wc -l").strip() == "0"
        assert guest.run("cat /all/other/file").strip() == "there"
        for at in ("/one/proc", "/all/proc"):
            assert guest.run(f"ls -A {at} | wc -l").strip() == "0"
            fails(guest, f"cat {at}/self/mem", "No such file")
        # and may be mounted on
        guest.run("mount -t proc proc /one/proc")
        assert guest.run("cat /one/proc/1/comm").strip() == "init"
    finally:
        subprocess.run(["umount", disk_dir / "other", disk_dir / "proc"], check=True)


def unpack(cpio: Path, home: Path) -> None:
    """Files, directories and links of an initramfs that is not compressed."""
    data, at = cpio.read_bytes(), 0
    while True:
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 109 + name_size].decode()
        start = (at + 110 + name_size + 3) & ~3
        content = data[start : start + size]
        at = (start + size + 3) & ~3
        path = home / name
        if name == "TRAILER!!!":
            return
        if stat.S_ISDIR(mode):
            path.mkdir(exist_ok=True, parents=True)
        elif stat.S_ISLNK(mode):
            path.symlink_to(content.decode())
        elif stat.S_ISREG(mode):
            path.write_bytes(content)
            path.chmod(mode & 0o7777)


@pytest.mark.slow
def test_root(vm: Callable[..., Guest], images: Path, disk_dir: Path) -> None:
    """A kernel with the driver built in needs neither a disk nor an initial RAM disk."""
    home = images / "linux-13"
    unpack(home / "initramfs", disk_dir)
    words = "rootfstype=virtiofs root=host rw init=/init"
    share = f"{disk_dir},tag=host"
    guest = vm("-k", str(home / "vmlinuz"), "--share", share, "-a", words, linux=None).shell()
    assert "virtiofs" in guest.run("grep ' / ' /proc/mounts")
    guest.run("echo from the guest >/file; sync")
    assert (disk_dir / "file").read_text() == "from the guest\n"


@pytest.mark.slow
def test_killed(start: Start, disk_dir: Path) -> None:
    """Nothing of bantam's stays in the share."""
    fill(disk_dir)
    before = digests(disk_dir)
    guest = start(str(disk_dir))
    mount(guest, "share0")
    guest.run("exec 5<>/m/file1")
    os.kill(guest.pid, signal.SIGKILL)
    guest.status()
    assert digests(disk_dir) == before


def test_refused(
    bantam_run: Callable[..., subprocess.CompletedProcess[bytes]], linux12: list[str]
) -> None:
    """What cannot be shared is said in one line, before anything is started."""
    for spec, why in [
        ("/nowhere", "No such file"),
        ("/proc", "cannot be shared"),
        ("/etc/passwd", "not a directory"),
        ("/tmp,tag=a b", "tag:"),
        ("/tmp,hide=../etc", "cannot be hidden"),
    ]:
        run = bantam_run(*linux12, "--share", spec)
        assert run.returncode == USAGE
        assert why in run.stderr.decode() and run.stderr.count(b"\n") == 1, run.stderr
