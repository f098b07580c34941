# SPDX-License-Identifier: BSD-2-Clause
"""bantam disk and bantam net, as far as they go without a guest that knows of hot-plug."""

from __future__ import annotations

import json
from pathlib import Path

from test_control import NO_VM, up, verb
from tiny import HOST, OK, USAGE, Bantam

MIB = 1 << 20


def disks(bantam: Bantam, name: str) -> list[dict]:
    return json.loads(verb(bantam, "disk", "list", name, "--json"))["disks"]


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def refused(bantam: Bantam, *words: object) -> str:
    run = bantam.command(*map(str, words))
    assert run.returncode not in (OK, 134), words
    text = run.stderr.decode()
    assert text.startswith("bantam: ") and text.count("\n") == 1, (words, text)
    return text


def test_list(bantam: Bantam, tmp_path: Path) -> None:
    a, b = sparse(tmp_path / "a", MIB), sparse(tmp_path / "b", 2 * MIB)
    words = ["-d", f"{a}", "-d", f"{b},ro,id=data", "-n", "user,mac=02:00:00:00:00:01"]
    with bantam.start("spin.long", "--name", "web", *words):
        up(bantam, "web")
        assert [(d["id"], d["file"], d["size"], d["read_only"]) for d in disks(bantam, "web")] == [
            ("disk0", str(a), MIB, False),
            ("data", str(b), 2 * MIB, True),
        ]
        nets = json.loads(verb(bantam, "net", "list", "web", "--json"))["nets"]
        assert [(net["id"], net["mac"], net["link"]) for net in nets] == [
            ("net0", "02:00:00:00:00:01", "up")
        ]
        assert "data" in verb(bantam, "disk", "list", "web")
        verb(bantam, "net", "link", "web", "net0", "down")
        assert "down" in verb(bantam, "net", "list", "web")
        verb(bantam, "net", "link", "web", "net0", "up")


def test_resize(bantam: Bantam, tmp_path: Path) -> None:
    path = sparse(tmp_path / "a", MIB)
    readonly = sparse(tmp_path / "b", MIB)
    with bantam.start("spin.long", "--name", "web", "-d", f"{path}", "-d", f"{readonly},ro"):
        up(bantam, "web")
        assert verb(bantam, "disk", "resize", "web", "disk0", "3M") == f"{3 * MIB}\n"
        assert path.stat().st_size == 3 * MIB
        assert disks(bantam, "web")[0]["size"] == 3 * MIB
        sparse(path, 5 * MIB)
        assert verb(bantam, "disk", "resize", "web", "disk0") == f"{5 * MIB}\n"
        assert "not smaller" in refused(bantam, "disk", "resize", "web", "disk0", "1M")
        refused(bantam, "disk", "resize", "web", "disk1", "2M")
        refused(bantam, "disk", "resize", "web", "disk0", "0")
        refused(bantam, "disk", "resize", "web", "disk0", "big")
        assert path.stat().st_size == 5 * MIB and readonly.stat().st_size == MIB


def test_swap(bantam: Bantam, tmp_path: Path) -> None:
    a, b = sparse(tmp_path / "a", MIB), sparse(tmp_path / "b", 2 * MIB)
    with bantam.start("spin.long", "--name", "web", "-d", f"{a},serial=x,id=root"):
        up(bantam, "web")
        for path in (b, a, b):
            verb(bantam, "disk", "swap", "web", "root", str(path))
            (disk,) = disks(bantam, "web")
            assert (disk["file"], disk["size"]) == (str(path), path.stat().st_size)
            assert "in use" in refused(bantam, "disk", "swap", "web", "root", path)
        refused(bantam, "disk", "swap", "web", "root", tmp_path)
        refused(bantam, "disk", "swap", "web", "root", tmp_path / "none")
        assert disks(bantam, "web")[0]["file"] == str(b)


def test_refused(bantam: Bantam, tmp_path: Path) -> None:
    path = sparse(tmp_path / "a", MIB)
    with bantam.start("spin.long", "--name", "web", "-d", str(path)):
        up(bantam, "web")
        other = sparse(tmp_path / "b", MIB)
        # a flat program knows of no hot-plug; what came with the command is let go of
        assert "flat program" in refused(bantam, "disk", "add", "web", other)
        assert "flat program" in refused(bantam, "disk", "add", "web", other)
        assert "flat program" in refused(bantam, "net", "add", "web", "user")
        assert "flat program" in refused(bantam, "disk", "remove", "web", "disk0")
        assert "flat program" in refused(bantam, "disk", "remove", "web", "disk0", "--force")
        assert "nope" in refused(bantam, "disk", "remove", "web", "nope")
        refused(bantam, "disk", "add", "web", tmp_path)
        refused(bantam, "disk", "add", "web", f"{other},no-such-word")
        assert "in use" in refused(bantam, "disk", "add", "web", path)
        # not to be taken for a VM that is not there
        missing = tmp_path / "missing"
        for words in (["add", "web", missing], ["swap", "web", "disk0", missing]):
            run = bantam.command("disk", *map(str, words))
            assert run.returncode == USAGE and b"missing: No such file" in run.stderr
        run = bantam.command("net", "add", "web", "tap,fd=999")
        assert run.returncode == USAGE and b"descriptor 999: Bad file descriptor" in run.stderr
        run = bantam.command("net", "add", "web", "tap,fd=0")
        assert run.returncode == USAGE and b"descriptor 0 is not a tap" in run.stderr
        assert b"too few" in bantam.command("disk", "add", "web").stderr
        assert b"too many" in bantam.command("disk", "list", "web", "x").stderr
        refused(bantam, "net", "add", "web", "none")
        refused(bantam, "net", "link", "web", "net0", "up")
        assert "up" in refused(bantam, "net", "link", "web", "net0", "sideways")
        assert len(disks(bantam, "web")) == 1
        verb(bantam, "pause", "web")
        assert "paused" in refused(bantam, "disk", "swap", "web", "disk0", other)
        verb(bantam, "resume", "web")
        run = bantam.command("disk", "paint", "web")
        assert run.returncode == USAGE and b"resize" in run.stderr
        assert bantam.command("disk", "swap", "web", "disk0").returncode == USAGE
        assert bantam.command("disk", "list").returncode == USAGE
    assert bantam.command("disk", "list", "web").returncode == NO_VM


def test_ids(bantam: Bantam, tmp_path: Path) -> None:
    a, b = sparse(tmp_path / "a", MIB), sparse(tmp_path / "b", MIB)
    run = bantam.command("run", "-k", "x", "-d", f"{a},id=-x")
    assert run.returncode == USAGE and b"id" in run.stderr
    with bantam.start("spin.long", "--name", "web", "-d", f"{a},id=disk1", "-d", f"{b}"):
        up(bantam, "web")
        assert [disk["id"] for disk in disks(bantam, "web")] == ["disk1", "disk2"]


def test_ids_of_disks_and_cards(bantam: Bantam, tmp_path: Path) -> None:
    """One id is one device's."""
    a = sparse(tmp_path / "a", MIB)
    for words, says in (
        (["-d", f"{a},id=x", "-n", "user,id=x"], b"'x' is the id of a disk"),
        (["-d", f"{a},id=net0"], b"'net0' is what the other devices are called"),
        (["-n", "user,id=disk7"], b"'disk7' is what the other devices are called"),
    ):
        run = bantam.run("spin.long", *words)
        assert run.returncode == USAGE and says in run.stderr, run
    with bantam.start("spin.long", "--name", "web", "-d", f"{a},id=x", "-n", "user,id=y"):
        up(bantam, "web")
        b = sparse(tmp_path / "b", MIB)
        run = bantam.command("disk", "add", "web", f"{b},id=y")
        assert run.returncode == USAGE and b"network y: there is one of that id" in run.stderr
        run = bantam.command("net", "add", "web", "user,id=x")
        assert run.returncode == USAGE and b"disk x: there is one of that id" in run.stderr


def test_statuses(bantam: Bantam, tmp_path: Path) -> None:
    """2 for what was named, 1 for what the VM cannot do, 7 for no VM."""
    a, b = sparse(tmp_path / "a", MIB), sparse(tmp_path / "b", MIB)
    with bantam.start("spin.long", "--name", "web", "-d", str(a)):
        up(bantam, "web")
        for words, status in (
            (["disk", "add", "web", a], USAGE),
            (["disk", "swap", "web", "disk0", a], USAGE),
            (["disk", "remove", "web", "disk9"], USAGE),
            (["disk", "resize", "web", "disk9"], USAGE),
            (["net", "link", "web", "net9", "up"], USAGE),
            (["limit", "web", "disk9"], USAGE),
            (["dump", "web", a], USAGE),
            (["dump", "web", tmp_path / "none" / "core"], USAGE),
            (["dump", "web", tmp_path], USAGE),
            (["wait", "--event", "tea", "web"], USAGE),
            (["net", "add", "web", "tap,fd=999"], USAGE),
            (["disk", "add", "web", b], HOST),
            (["balloon", "web"], HOST),
            (["balloon", "none"], NO_VM),
        ):
            run = bantam.command(*map(str, words))
            assert run.returncode == status and run.stderr.count(b"\n") == 1, (words, run)
