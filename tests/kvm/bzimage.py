# SPDX-License-Identifier: BSD-2-Clause
"""bzImages, made and understood without any of bantam's code: what the loader shall make of them.

Formats are packed and unpacked by Python's own modules or by the command-line tools that the build
of Linux calls.
"""

from __future__ import annotations

import bz2
import lzma
import random
import shutil
import struct
import subprocess
import zlib
from typing import NamedTuple

PREF = 0x1000000
MAP = 0xFFFFFFFF80000000
ALIGN = 0x200000
SETUP_SECTS = 4


def tool(*argv: str) -> object:
    def run(data: bytes) -> bytes:
        return subprocess.run(
            argv, input=data, stdout=subprocess.PIPE, check=True
        ).stdout

    return run


class Format(NamedTuple):
    magic: bytes
    pack: object
    unpack: object
    own_size: bool = False
    needs: str = ""

    def missing(self) -> bool:
        return bool(self.needs) and not shutil.which(self.needs)


FORMATS = {
    "gzip": Format(
        b"\x1f\x8b",
        lambda data: deflate(data),
        lambda data: zlib.decompress(data, 16 + zlib.MAX_WBITS),
        own_size=True,
    ),
    "bzip2": Format(b"BZh", bz2.compress, bz2.decompress),
    "lzma": Format(
        b"\x5d\0\0",
        lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
        lzma.decompress,
    ),
    "xz": Format(
        b"\xfd7zXZ\0",
        lambda data: lzma.compress(
            data,
            check=lzma.CHECK_CRC32,
            filters=[
                {"id": lzma.FILTER_X86},
                {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 32 << 20},
            ],
        ),
        lzma.decompress,
    ),
    "lzo": Format(
        b"\x89LZO\0", tool("lzop", "-9"), tool("lzop", "-d"), needs="lzop"
    ),
    "lz4": Format(
        b"\x02\x21\x4c\x18",
        tool("lz4", "-l", "-9", "-c", "-q"),
        tool("lz4", "-d", "-c", "-q"),
        needs="lz4",
    ),
    "zstd": Format(
        b"\x28\xb5\x2f\xfd",
        tool("zstd", "-22", "--ultra", "-q", "-c"),
        tool("zstd", "-d", "-q", "-c"),
        needs="zstd",
    ),
}


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


# ---- making one


def make_elf(seed: int, inverse: bool) -> bytes:
    """A kernel of three segments, as Linux's: text, data, and one at virtual address 0."""
    rng = random.Random(seed)
    # offset in the file, virtual address, physical address, bytes, bytes in memory
    segments = [
        (0x1000, MAP + PREF, PREF, 300_000, 300_000),
        (0x50000, MAP + PREF + 0x200000, PREF + 0x200000, 70_001, 70_001),
        (0x70000, 0, PREF + 0x400000, 5_000, 5_000),
        (0x78000, MAP + PREF + 0x402000, PREF + 0x402000, 20_000, 900_000),
    ]
    out = bytearray(0x78000 + 20_000)
    for offset, _, _, size, _ in segments:
        words = rng.choices([0, 1, 2, 3, 0x81000000, 0xFFFFFFFF], k=size // 4)
        out[offset : offset + size // 4 * 4] = struct.pack(f"<{len(words)}I", *words)
    note = struct.pack("<III", 6, 4, 0x100) + b"Linux\0\0\0" + bytes(4)
    out[0x800 : 0x800 + len(note)] = note
    out[:64] = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\2\1\1", 2, 62, 1, PREF + 0x123, 64, len(out), 0, 64, 56, 5, 64, 1, 0,
    )  # fmt: skip
    for i, (offset, vaddr, paddr, filesz, memsz) in enumerate(segments):
        out[64 + 56 * i : 120 + 56 * i] = struct.pack(
            "<IIQQQQQQ", 1, 7, offset, vaddr, paddr, filesz, memsz, ALIGN
        )
    out[64 + 56 * 4 : 120 + 56 * 4] = struct.pack(
        "<IIQQQQQQ", 4, 4, 0x800, 0, 0, len(note), len(note), 4
    )
    return bytes(out) + bytes(64) + make_relocs(rng, inverse)


def make_relocs(rng: random.Random, inverse: bool) -> bytes:
    """Places in the text that do not overlap, some of them over the end of a page."""
    places = [(MAP + PREF + 12 * i + rng.randrange(4)) & 0xFFFFFFFF for i in range(20_000)]
    rng.shuffle(places)
    lists = [sorted(places[:9_000]), sorted(places[9_000:9_500]), sorted(places[9_500:])]
    if not inverse:
        del lists[1]
    words = [word for one in lists for word in [0, *one]]
    return struct.pack(f"<{len(words)}I", *words)


def make_bzimage(kernel: bytes, name: str) -> bytes:
    form = FORMATS[name]
    payload = form.pack(kernel)
    if not form.own_size:
        payload += struct.pack("<I", len(kernel))
    code = bytes(0x400) + payload
    code += bytes(-len(code) % 16)
    head = bytearray((SETUP_SECTS + 1) * 512)
    struct.pack_into("<B", head, 0x1F1, SETUP_SECTS)
    struct.pack_into("<I", head, 0x1F4, len(code) // 16)
    struct.pack_into("<HH", head, 0x1FE, 0xAA55, 0x6AEB)
    struct.pack_into("<4sH", head, 0x202, b"HdrS", 0x20F)
    struct.pack_into("<B", head, 0x211, 1)
    struct.pack_into("<I", head, 0x22C, 0x7FFFFFFF)
    struct.pack_into("<IBBHI", head, 0x230, ALIGN, 1, 21, 1, 2047)
    struct.pack_into("<IIQQI", head, 0x248, 0x400, len(payload), 0, PREF, 0x800000)
    return bytes(head) + code


# ---- understanding one


def field(kernel: bytes, offset: int, code: str) -> int:
    return int(struct.unpack_from("<" + code, kernel, offset)[0])


def unpack(kernel: bytes) -> bytes:
    """The payload, unpacked; what it is packed with is seen by its first bytes."""
    at = (kernel[0x1F1] + 1) * 512 + field(kernel, 0x248, "I")
    payload = kernel[at : at + field(kernel, 0x24C, "I")]
    [form] = [f for f in FORMATS.values() if payload.startswith(f.magic)]
    unpacked: bytes = form.unpack(payload if form.own_size else payload[:-4])
    assert len(unpacked) == field(payload, len(payload) - 4, "I")
    return unpacked


def relocate(memory: bytearray, table: list[int], slide: int) -> None:
    """As the code in the guest does it: from the end backwards, 32 bits, inverse, 64 bits."""
    lists: list[list[int]] = [[]]
    for word in reversed(table):
        if word:
            lists[-1].append(word)
        else:
            lists.append([])
    assert lists.pop() == [] and len(lists) in (2, 3)
    kinds = [("I", slide), ("Q", slide)]
    if len(lists) == 3:
        kinds.insert(1, ("I", -slide))
    for words, (code, change) in zip(lists, kinds):
        mask = (1 << 8 * struct.calcsize(code)) - 1
        for word in words:
            at = word - 0x80000000 - PREF
            assert at >= 0
            value = (field(memory, at, code) + change) & mask
            struct.pack_into("<" + code, memory, at, value)


def expected_memory(kernel: bytes, slide: int) -> tuple[bytes, int]:
    """What shall be in memory from the kernel's first byte on, and the entry's offset in that."""
    elf = unpack(kernel)
    entry, phoff, shoff = struct.unpack_from("<QQQ", elf, 24)
    phnum, _, shnum = struct.unpack_from("<HHH", elf, 56)
    segments = [struct.unpack_from("<IIQQQQQQ", elf, phoff + 56 * i) for i in range(phnum)]
    loads = [s for s in segments if s[0] == 1]
    assert min(s[4] for s in loads) == PREF
    memory = bytearray(max(s[4] + s[6] for s in loads) - PREF)
    end = shoff + 64 * shnum
    for _, _, offset, _, paddr, filesz, _, _ in loads:
        memory[paddr - PREF : paddr - PREF + filesz] = elf[offset : offset + filesz]
        end = max(end, offset + filesz)
    assert (len(elf) - end) % 4 == 0
    if slide:
        table = list(struct.unpack_from(f"<{(len(elf) - end) // 4}I", elf, end))
        assert table[0] == 0
        relocate(memory, table, slide)
    return bytes(memory), entry - PREF
