# SPDX-License-Identifier: BSD-2-Clause
"""Shared by the tests of disks: the ways to serve one, and images."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

MIB = 1 << 20
TRANSPORTS = ["pci", "mmio"]

# How the host may serve a disk: every way that the code goes.
BACK_ENDS = {
    "native": "cache=none,aio=native",
    "threads": "cache=none,aio=threads",
    "iothread": "cache=none,iothread",
    "writeback": "cache=writeback",
    "through": "cache=writethrough",
    "unsafe": "cache=unsafe",
}

DROP = "sync; echo 3 >/proc/sys/vm/drop_caches"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def allocated(path: Path) -> int:
    """Bytes that a file takes on its file system."""
    return path.stat().st_blocks * 512


def disk(index: int) -> str:
    """What Linux calls a disk: vda to vdz, then vdaa."""
    letters = chr(ord("a") + index % 26)
    return "vd" + ("a" if index >= 26 else "") + letters
