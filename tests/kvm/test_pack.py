# SPDX-License-Identifier: BSD-2-Clause
"""FIT images and device trees as files: made, looked at by dtc, and taken by a dry run."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tiny import HOST, OK, USAGE, Bantam

NO_KVM = ["--kvm", "/nonexistent/kvm"]


def elf() -> bytes:
    """A program of one segment at 16 MiB, which says of itself no more than that."""
    base, size = 0x1000000, 0x1000
    head = b"\x7fELF\2\1\1" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, base, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0x1000, base, base, 4, size, 0x1000)
    return (head + segment).ljust(0x1000, b"\0") + b"\xf4\xeb\xfd\x90"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a kernel and two initial RAM disks."""
    (tmp_path / "kernel").write_bytes(elf())
    (tmp_path / "one").write_bytes(b"first")
    (tmp_path / "two").write_bytes(b"second")
    for name in ("kernel", "one", "two"):
        os.utime(tmp_path / name, (1000000000, 1000000000))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return tmp_path


@pytest.fixture
def dtc() -> str:
    found = shutil.which("dtc")
    if not found:
        pytest.skip("no dtc here (device-tree-compiler)")
    return found


def good(command: Bantam, *words: str) -> str:
    result = command.command(*words)
    assert (result.returncode, result.stderr) == (OK, b"")
    return result.stdout.decode()


def refusal(command: Bantam, *words: str, code: int = USAGE) -> str:
    result = command.command(*words)
    assert result.returncode == code
    assert re.fullmatch(r"bantam: [^\n]+\n", result.stderr.decode())
    return result.stderr.decode()


def dry_run(command: Bantam, *words: str) -> str:
    return good(command, "run", *NO_KVM, "--dry-run", *words)


def test_pack_and_run(command: Bantam, files: Path) -> None:
    words = ["-k", "kernel", "-i", "one", "-i", "two", "-a", "a panic=3", "-a", "b"]
    assert good(command, "pack", "-o", "app.itb", *words) == ""
    assert sorted(path.name for path in files.iterdir()) == ["app.itb", "kernel", "one", "two"]
    text = dry_run(command, "app.itb", "-a", "c")
    assert re.search(r"kernel +app.itb\n +format +ELF, 64-bit entry", text)
    assert re.search(r"initrd +at 0x\w+, 14 bytes", text)
    assert re.search(r"command line +console=ttyS0 .*loglevel=4 .* a panic=3 b c\n", text)


def test_configurations(command: Bantam, files: Path) -> None:
    words = ["kernel", "-i", "one", "--config", "b", "-a", "bb", "--config", "c", "-k", "kernel"]
    good(command, "pack", "-o", "app.itb", *words)
    assert "5 bytes" in dry_run(command, "app.itb")
    for choice in (["app.itb#b"], ["--fit-config", "b", "app.itb"]):
        text = dry_run(command, *choice)
        assert re.search(r"command line .* bb\n", text)
        assert "5 bytes" in text
    assert "initrd" not in dry_run(command, "app.itb#c")
    assert "conf-1, b, c" in refusal(command, "run", "--dry-run", "app.itb#d")
    # a file that is called so is meant
    shutil.copy("kernel", "app.itb#b")
    assert " bb\n" not in dry_run(command, "app.itb#b")
    assert "no configuration 'b'" in refusal(command, "run", "--dry-run", "kernel#b")
    assert "not a FIT image" in refusal(command, "run", "--dry-run", "--fit-config", "b", "kernel")
    assert "another configuration" in refusal(
        command, "run", "--dry-run", "--fit-config", "b", "app.itb#c"
    )


def test_reproducible(command: Bantam, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["pack", "-k", "kernel", "-i", "one"]
    good(command, *words, "-o", "a.itb")
    good(command, *words, "-o", "b.itb")
    assert Path("a.itb").read_bytes() == Path("b.itb").read_bytes()
    assert struct.pack(">I", 1000000000) in Path("a.itb").read_bytes()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    good(command, *words, "-o", "b.itb")
    assert struct.pack(">I", 1234567890) in Path("b.itb").read_bytes()
    for bad in ("yesterday", "-1", "4294967296", ""):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", bad)
        assert "SOURCE_DATE_EPOCH" in refusal(command, *words, "-o", "b.itb")


def test_files_that_stay(command: Bantam, files: Path) -> None:
    """What is no FIT image is not replaced, and nothing is left behind by what fails."""
    before = sorted(files.iterdir())
    assert "one: " in refusal(command, "pack", "-k", "kernel", "-o", "one")
    assert Path("one").read_bytes() == b"first"
    assert "not a bootable kernel" in refusal(command, "pack", "-k", "one", "-o", "app.itb")
    assert "none: " in refusal(command, "pack", "-k", "kernel", "-i", "none", "-o", "app.itb")
    assert "control character" in refusal(command, "pack", "kernel", "-a", "\x01", "-o", "app.itb")
    refusal(command, "pack", "-k", "kernel", "-o", "none/app.itb", code=HOST)
    assert "--output" in refusal(command, "pack", "-k", "kernel")
    assert sorted(files.iterdir()) == before


def test_dtc_reads_it(command: Bantam, files: Path, dtc: str) -> None:
    good(command, "pack", "-k", "kernel", "-i", "one", "-a", "words", "-o", "app.itb")
    argv = [dtc, "-I", "dtb", "-O", "dts", "app.itb"]
    source = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    digest = hashlib.sha256(elf()).hexdigest()
    value = re.search(r"kernel-1 \{.*?value = <([^>]*)>", source, re.DOTALL)[1]
    assert "".join(f"{int(cell, 16):08x}" for cell in value.split()) == digest
    assert 'bootargs = "words"' in source


ITS = """/dts-v1/;
/ {{
    description = "made by hand";
    images {{
        kernel@1 {{
            description = "a kernel";
            data = /incbin/("{kernel}");
            type = "kernel";
            arch = "x86_64";
            os = "linux";
            compression = "{compression}";
            load = <0x01000000>;
            entry = <0x01000000>;
            hash@1 {{
                algo = "{algo}";
                value = [{value}];
            }};
        }};
    }};
    configurations {{
        default = "conf@1";
        conf@1 {{
            kernel = "kernel@1";
        }};
    }};
}};
"""


def by_dtc(dtc: str, compression: str, algo: str, data: bytes, value: str) -> None:
    """An image that something else than bantam made."""
    Path("data").write_bytes(data)
    text = ITS.format(kernel="data", compression=compression, algo=algo, value=value)
    subprocess.run([dtc, "-q", "-o", "hand.itb", "-"], input=text.encode(), check=True)


def test_made_by_hand(command: Bantam, files: Path, dtc: str) -> None:
    for algo in ("md5", "sha1", "sha256", "sha384", "sha512"):
        by_dtc(dtc, "none", algo, elf(), hashlib.new(algo, elf()).hexdigest())
        assert "ELF" in dry_run(command, "hand.itb")
    by_dtc(dtc, "none", "sha256", elf(), hashlib.sha256(b"another").hexdigest())
    assert "hash does not match" in refusal(command, "run", "--dry-run", "hand.itb")


def test_gzip(command: Bantam, files: Path, dtc: str) -> None:
    packed = subprocess.run(["gzip", "-c", "kernel"], check=True, capture_output=True).stdout
    by_dtc(dtc, "gzip", "sha256", packed, hashlib.sha256(packed).hexdigest())
    assert "ELF" in dry_run(command, "hand.itb")
    by_dtc(dtc, "lzma", "sha256", packed, hashlib.sha256(packed).hexdigest())
    assert "compression 'lzma'" in refusal(command, "run", "--dry-run", "hand.itb")


def test_no_hash(command: Bantam, files: Path, dtc: str) -> None:
    """Booted, as U-Boot does, but not without a word."""
    good(command, "pack", "-k", "kernel", "-o", "app.itb")
    argv = [dtc, "-q", "-I", "dtb", "-O", "dts", "app.itb"]
    source = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    source = re.sub(r"hash-1 \{.*?\};", "", source, flags=re.DOTALL)
    subprocess.run([dtc, "-q", "-o", "bare.itb", "-"], input=source.encode(), check=True)
    result = command.command("run", *NO_KVM, "--dry-run", "bare.itb")
    assert result.returncode == OK
    assert b"image 'kernel-1' has no hash" in result.stderr


def test_device_tree(command: Bantam, files: Path, dtc: str) -> None:
    """Whatever machine it is of, dtc has nothing to say about it."""
    machines = [
        ["-m", "64M"],
        ["-m", "6G", "-c", "254", "--rng", "--balloon", "0", "--transport", "mmio"],
        ["--console", "virtio", "--serial", "null", "--serial", "null", "--transport", "mmio"],
        ["--rng", "--transport", "mmio-cmdline"],
    ]
    for machine in machines:
        assert good(command, "run", *NO_KVM, "--dump-dtb", "m.dtb", *machine, "kernel") == ""
        argv = [dtc, "-I", "dtb", "-O", "dts", "m.dtb"]
        result = subprocess.run(argv, check=True, capture_output=True, text=True)
        assert result.stderr == ""
        on_mmio = machine[-1] == "mmio"
        assert ("virtio,mmio" in result.stdout) == on_mmio
        assert ("virtio_mmio.device=" in result.stdout) == (machine[-1] == "mmio-cmdline")
    assert "kernel: " in refusal(command, "run", "--dump-dtb", "kernel", "kernel")
    assert Path("kernel").read_bytes() == elf()
    assert "not a FIT image" in refusal(command, "run", "--dry-run", "m.dtb")


def test_no_device_tree_by_pvh(command: Bantam, files: Path) -> None:
    assert "PVH" in refusal(command, "run", "--dry-run", "--dtb", "--boot", "pvh", "kernel")
    assert "--dtb" in refusal(command, "run", "--dry-run", "--dtb", "--flat", "kernel")
