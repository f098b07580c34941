# SPDX-License-Identifier: BSD-2-Clause
"""Unpacking and relocating kernels: the memory of the guest is, byte for byte, what a second
implementation (bzimage.py) makes of the same file."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import bzimage
from conftest import variable

MEMORY_MIB = 512
# Where tests/lab/lib.sh has it: taken before the tests get a cache directory of their own
XDG_CACHE = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
FILES = ("vmlinuz", "linux")
LAB = Path(os.environ.get("BANTAM_CACHE") or f"{XDG_CACHE}/bantam/lab")
# The numbers for KASLR, each with what is to come of it
RANDOM = [(0, 0), (1, 1), (17, 300), (2**64 - 1, 2**63 + 12345)]


def dump(kernel: Path, tmp_path: Path, *options: str) -> tuple[dict[str, str], bytes]:
    out = tmp_path / "memory"
    result = subprocess.run(
        [variable("BANTAM_DUMP_KERNEL"), str(kernel), str(out), str(MEMORY_MIB), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    facts = dict(line.split(" ", 1) for line in result.stdout.splitlines())
    return facts, out.read_bytes()


def slides(kernel: bytes, numbers: tuple[int, int]) -> tuple[int, int]:
    """By how much the kernel moves: its place is one of all there are."""
    align = bzimage.field(kernel, 0x230, "I")
    size = bzimage.field(kernel, 0x260, "I")
    ends = (MEMORY_MIB << 20, 1 << 30)
    physical, virtual = (
        number % ((end - bzimage.PREF - size) // align + 1) * align
        for number, end in zip(numbers, ends)
    )
    return physical, virtual


def check(path: Path, tmp_path: Path, numbers: tuple[int, int] | None, *cache: str) -> bool:
    """Compares; says if it was in the cache."""
    kernel = path.read_bytes()
    physical, virtual = slides(kernel, numbers) if numbers else (0, 0)
    options = [str(number) for number in numbers or ()]
    facts, memory = dump(path, tmp_path, *options, *cache)
    expected, entry = bzimage.expected_memory(kernel, virtual)
    assert facts["format"] == "bzImage, unpacked, 64-bit entry"
    assert int(facts["gpa"]) == bzimage.PREF + physical
    assert int(facts["size"]) == bzimage.field(kernel, 0x260, "I")
    assert int(facts["entry"]) == bzimage.PREF + physical + entry
    assert int(facts["loadflags"]) == (3 if numbers else 1)
    assert memory[: len(expected)] == expected
    assert not any(memory[len(expected) :])
    return facts["cached"] == "1"


@pytest.mark.parametrize("inverse", [True, False], ids=["three-lists", "two-lists"])
@pytest.mark.parametrize("name", bzimage.FORMATS)
def test_made(name: str, inverse: bool, tmp_path: Path) -> None:
    if bzimage.FORMATS[name].missing():
        pytest.skip(f"{bzimage.FORMATS[name].needs} is not installed")
    path = tmp_path / "bzImage"
    path.write_bytes(bzimage.make_bzimage(bzimage.make_elf(len(name), inverse), name))
    check(path, tmp_path, None)
    for numbers in RANDOM:
        check(path, tmp_path, numbers)


def test_cache(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for seed in range(2):
        path = tmp_path / f"bzImage-{seed}"
        path.write_bytes(bzimage.make_bzimage(bzimage.make_elf(seed, True), "gzip"))
        found = [check(path, tmp_path, numbers, str(cache)) for numbers in RANDOM]
        assert found == [False, True, True, True]
    assert (cache / "kernels").stat().st_mode & 0o777 == 0o700
    files = list((cache / "kernels").iterdir())
    assert len(files) == 3
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)


def memo(kernel: Path) -> str:
    """The name under which the cache remembers what is in a file."""
    st = kernel.stat()
    times = (f"{ns // 10**9:x}.{ns % 10**9:x}" for ns in (st.st_mtime_ns, st.st_ctime_ns))
    return "-".join((f"file-{st.st_dev:x}", f"{st.st_ino:x}", f"{st.st_size:x}", *times))


def test_memo(tmp_path: Path) -> None:
    """A file that is known is not read; changed, replaced or copied it is not known."""
    cache = tmp_path / "cache"
    kernels = cache / "kernels"
    path, other = tmp_path / "bzImage", tmp_path / "other"

    def is_cached(kernel: Path) -> bool:
        return check(kernel, tmp_path, RANDOM[2], str(cache))

    path.write_bytes(bzimage.make_bzimage(bzimage.make_elf(0, True), "gzip"))
    other.write_bytes(bzimage.make_bzimage(bzimage.make_elf(1, True), "gzip"))
    assert not is_cached(path)
    # It is too young for a memo of Bantam's own. With another secret only a memo leads there.
    assert sorted(file.name for file in kernels.iterdir())[1:] == ["secret"]
    entry = min(file.name for file in kernels.iterdir())
    link = kernels / memo(path)
    (kernels / "secret").write_bytes(bytes(1040))
    link.symlink_to(entry)
    assert is_cached(path)
    for target in (f"../kernels/{entry}", "../../bzImage", "secret", "0" * 32):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert not is_cached(path), target
        for file in kernels.iterdir():
            if file.name not in (entry, "secret", link.name):
                file.unlink()
    link.unlink(missing_ok=True)
    link.symlink_to(entry)
    copy = tmp_path / "copy"
    shutil.copy2(path, copy)
    assert not is_cached(copy)
    # In place, with its times set back
    st = path.stat()
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    assert not is_cached(path)
    # Rebuilt
    other.write_bytes(bzimage.make_bzimage(bzimage.make_elf(2, True), "gzip"))
    os.replace(other, path)
    assert not is_cached(path)
    assert link.readlink() == Path(entry)


def real_kernels() -> list[Path]:
    """Those that the lab has fetched for the guest tests."""
    names = ("linux-12", "linux-13", "netboot")
    found = [LAB / "items" / name / "current" / file for name in names for file in FILES]
    return [path for path in found if path.exists()]


def test_real(tmp_path: Path) -> None:
    """Debian's kernels: LZ4, zstd and XZ."""
    kernels = real_kernels()
    if not kernels:
        pytest.skip("the lab has no kernels yet (tests/lab/images makes them)")
    for path in kernels:
        numbers = RANDOM[2]
        assert not check(path, tmp_path, numbers, str(tmp_path / "cache"))
        assert check(path, tmp_path, RANDOM[3], str(tmp_path / "cache"))
        check(path, tmp_path, None)
        # What has been on the disk for a while is remembered.
        known = tmp_path / "cache" / "kernels" / memo(path)
        assert known.is_symlink() or time.time() - path.stat().st_ctime < 120
