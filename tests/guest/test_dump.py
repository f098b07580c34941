# SPDX-License-Identifier: BSD-2-Clause
"""`bantam dump` of a Linux guest: what a debugger needs is there, at the kernel's own addresses.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from guest import END, Guest

pytestmark = pytest.mark.slow

Start = Callable[..., Guest]

PT_LOAD, PT_NOTE = 1, 4
NT_PRSTATUS = 1
# in the descriptor of NT_PRSTATUS: the registers, of which this one is RIP
PRSTATUS_RIP = 112 + 16 * 8


class Core:
    """An ELF core file, read by what the format says alone."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")
        head = self.file.read(64)
        assert head[:6] == b"\x7fELF\x02\x01" and struct.unpack_from("<H", head, 16)[0] == 4
        offset, count = (
            struct.unpack_from("<Q", head, 32)[0],
            struct.unpack_from("<H", head, 56)[0],
        )
        self.file.seek(offset)
        table = [struct.unpack("<IIQQQQQQ", self.file.read(56)) for _ in range(count)]
        self.loads = [row for row in table if row[0] == PT_LOAD]
        (_, _, at, _, _, size, _, _), *more = [row for row in table if row[0] == PT_NOTE]
        assert not more
        self.file.seek(at)
        self.notes = list(self.parse_notes(self.file.read(size)))

    @staticmethod
    def parse_notes(data: bytes) -> list[tuple[str, int, bytes]]:
        notes = []
        while data:
            name_size, size, kind = struct.unpack_from("<III", data)
            name = data[12 : 12 + name_size - 1].decode()
            at = 12 + (name_size + 3) // 4 * 4
            notes.append((name, kind, data[at : at + size]))
            data = data[at + (size + 3) // 4 * 4 :]
        return notes

    def note(self, name: str) -> list[bytes]:
        return [desc for owner, _, desc in self.notes if owner == name]

    def read(self, vaddr: int, size: int) -> bytes:
        for _, _, offset, start, _, filesz, _, _ in self.loads:
            if start <= vaddr and vaddr + size <= start + filesz:
                self.file.seek(offset + vaddr - start)
                return self.file.read(size)
        raise AssertionError(f"nothing is at {vaddr:#x}")


def kallsyms(guest: Guest, *names: str) -> dict[str, int]:
    pattern = "|".join(names)
    out = guest.run(f"grep -E ' ({pattern})$' /proc/kallsyms")
    return {line.split()[2]: int(line.split()[0], 16) for line in out.splitlines()}


@pytest.mark.parametrize("linux", ["linux-12", "linux-13"])
def test_dump(
    vm: Start, bantam: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linux: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    guest = vm("--name", "web", "-m", "192M", "-c", "2", linux=linux).shell()
    symbols = kallsyms(guest, "linux_banner", "page_offset_base", "_stext", "_etext")
    release = guest.run("uname -r").strip()
    path = tmp_path / "core"
    subprocess.run([bantam, "dump", "web", path], check=True, timeout=END)
    # it goes on
    before = float(guest.run("cat /proc/uptime").split()[0])
    time.sleep(1)
    assert float(guest.run("cat /proc/uptime").split()[0]) > before

    core = Core(path)
    # What crash goes by: see vm/dump/core.c
    assert all(row[7] == 0 for row in core.loads)
    (info,) = core.note("VMCOREINFO")
    lines = dict(line.split("=", 1) for line in info.decode().splitlines())
    assert lines["OSRELEASE"] == release
    assert int(lines["SYMBOL(_stext)"], 16) == symbols["_stext"]
    assert len(core.note("CORE")) == len(core.note("QEMU")) == 2
    # Addresses of the kernel's image, and of its map of all memory
    banner = core.read(symbols["linux_banner"], 64)
    assert banner.startswith(f"Linux version {release} ".encode())
    (page_offset,) = struct.unpack("<Q", core.read(symbols["page_offset_base"], 8))
    image = next(row for row in core.loads if row[3] <= symbols["linux_banner"] < row[3] + row[5])
    paddr = symbols["linux_banner"] - image[3] + image[4]
    assert core.read(page_offset + paddr, 64) == banner
    # An idle guest is in its kernel.
    rips = [struct.unpack_from("<Q", desc, PRSTATUS_RIP)[0] for desc in core.note("CORE")]
    assert any(symbols["_stext"] <= rip < symbols["_etext"] for rip in rips), rips
    check_gdb(path, symbols["linux_banner"], banner, rips)


def check_gdb(path: Path, address: int, banner: bytes, rips: list[int]) -> None:
    if not shutil.which("gdb") and not os.environ.get("BANTAM_IN_LAB"):
        return  # level 1 of the lab has one
    words = ["info threads", "thread 2", "p/x $rip", f"x/s {address:#x}"]
    argv = [word for command in words for word in ("-ex", command)]
    run = subprocess.run(
        ["gdb", "-nx", "-batch", *argv, "-c", path],
        capture_output=True, text=True, timeout=END, check=True,
    )  # fmt: skip
    assert f"= {rips[1]:#x}\n" in run.stdout
    assert banner.decode()[:40] in run.stdout
    assert len(re.findall(r"^[* ] +\d+ ", run.stdout, re.MULTILINE)) == 2
