# SPDX-License-Identifier: BSD-2-Clause
"""qcow2 images behind confined VMs: a write that fills one, growth, what is refused."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from test_control import up, verb
from test_control_devices import MIB, disks, refused, sparse
from test_hotplug import SPINS, Kernel
from test_kernel_ends import kernel, start
from tiny import OK, USAGE, Bantam

__all__ = ["kernel"]

CLUSTER = 65536
L1 = 3


def qcow2(path: Path, size: int, backing: str = "") -> Path:
    """An empty image: header, refcount table and block, L1."""
    name = backing.encode()
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 0, 0, 16, size, 0, 1, L1 * CLUSTER,
                       CLUSTER, 1, 0, 0)
    head += struct.pack(">QQQII", 0, 0, 0, 4, 104)
    head += struct.pack(">II8s", 0xE2792ACA, 3, b"raw") + bytes(8)
    if backing:
        head = head[:8] + struct.pack(">QI", len(head), len(name)) + head[20:] + name
    with path.open("wb") as file:
        file.write(head)
        file.seek(CLUSTER)
        file.write(struct.pack(">Q", 2 * CLUSTER))
        file.seek(2 * CLUSTER)
        file.write(struct.pack(">4H", 1, 1, 1, 1))
        file.truncate(4 * CLUSTER)
    return path


def words(path: Path, offset: int, count: int = 1) -> tuple[int, ...]:
    return struct.unpack_from(f">{count}Q", path.read_bytes(), offset)


def test_write(bantam: Bantam, tmp_path: Path) -> None:
    """The first write makes the file longer, from a thread that may do little."""
    path = qcow2(tmp_path / "disk.qcow2", MIB)
    with bantam.start("disk.long", "--transport=mmio", "-d", str(path)) as guest:
        guest.expect(b"sent\n")
        guest.send(b"d")
        guest.expect(b"done\n")
        guest.send(b"p")
        assert guest.status() == OK
        assert guest.stderr() == "bantam: the guest powered off\n"
    (table,) = words(path, L1 * CLUSTER)
    assert table == 1 << 63 | 4 * CLUSTER or table == 1 << 63 | 5 * CLUSTER
    (entry,) = words(path, table & ~(1 << 63))
    assert entry >> 63 and entry & CLUSTER - 1 == 0 and entry != table
    assert path.stat().st_size > 4 * CLUSTER


def test_add_and_resize(bantam: Bantam, kernel: Kernel, tmp_path: Path) -> None:
    first, more = qcow2(tmp_path / "a", MIB), qcow2(tmp_path / "b.qcow2", 3 * MIB)
    over = qcow2(tmp_path / "c.qcow2", MIB, str(sparse(tmp_path / "base", MIB)))
    with start(bantam, kernel(SPINS), "--name", "web", "-d", f"{first},format=qcow2"):
        up(bantam, "web")
        assert verb(bantam, "disk", "resize", "web", "disk0", "8T") == f"{8 << 40}\n"
        assert "not smaller" in refused(bantam, "disk", "resize", "web", "disk0", "1M")
        verb(bantam, "disk", "add", "web", str(more))
        assert [disk["size"] for disk in disks(bantam, "web")] == [8 << 40, 3 * MIB]
        assert "in use" in refused(bantam, "disk", "add", "web", str(more))
        assert "backing=yes" in refused(bantam, "disk", "add", "web", str(over))
        assert "not later" in refused(bantam, "disk", "add", "web", f"{over},backing=yes")
    assert words(first, 24) == (8 << 40,)


def test_refused(bantam: Bantam, tmp_path: Path) -> None:
    """Nothing is guessed, and no base is opened without leave."""
    base = sparse(tmp_path / "base", MIB)
    image = qcow2(tmp_path / "over.qcow2", MIB, "base")

    def line(*specs: object) -> str:
        run = bantam.run("hello.long", *(word for spec in specs for word in ("-d", str(spec))))
        assert run.returncode == USAGE
        return run.stderr.decode()

    assert "add backing=yes if you trust the image" in line(image)
    assert "add format=raw" in line(sparse(tmp_path / "raw.qcow2", MIB))
    assert "is not a qcow2 image" in line(f"{base},format=qcow2")
    run = bantam.run("hello.long", "-d", f"{image},backing=yes", "-d", f"{base},ro")
    assert run.returncode == OK
    run = bantam.run("hello.long", "-d", f"{tmp_path}/raw.qcow2,format=raw")
    assert run.returncode == OK
    run = bantam.run("hello.long", "-d", f"{image},format=raw")
    assert b"if it is one, add format=qcow2" in run.stderr


def test_snapshot(bantam: Bantam, tmp_path: Path) -> None:
    """What is written is gone, and nothing is left in TMPDIR; the base is shared meanwhile."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    base = tmp_path / "base"
    base.write_bytes(b"x" * MIB)
    for spec in (f"{base},snapshot", f"{qcow2(tmp_path / 'a.qcow2', MIB, 'base')},snapshot"):
        words_ = ["--transport=mmio", "-d", f"{spec},backing=yes" if "qcow2" in spec else spec]
        words_ += ["-d", f"{base},snapshot,size=1M"]
        env = os.environ | {"TMPDIR": str(temporary)}
        before = (tmp_path / "a.qcow2").read_bytes() if "qcow2" in spec else b""
        with bantam.start("disk.long", *words_, env=env) as guest:
            guest.expect(b"sent\n")
            guest.send(b"d")
            guest.expect(b"done\n")
            assert not list(temporary.iterdir())
            guest.send(b"p")
            assert guest.status() == OK
        assert base.read_bytes() == b"x" * MIB
        assert not before or (tmp_path / "a.qcow2").read_bytes() == before
    env = os.environ | {"TMPDIR": str(tmp_path / "nothing")}
    run = bantam.run("hello.long", "-d", f"{base},snapshot", env=env)
    assert run.returncode == USAGE and b"TMPDIR names another place" in run.stderr
