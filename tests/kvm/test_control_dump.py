# SPDX-License-Identifier: BSD-2-Clause
"""What a person does to a guest that hangs: balloon, nmi, sysrq, dump."""

from __future__ import annotations

import array
import json
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

from test_control import FORCED, NO_VM, listed, raw, until, up, verb
from tiny import HOST, LIMIT, OK, USAGE, Bantam

# So much that looking through it takes a moment. Under TSan less does.
LARGE = os.environ.get("BANTAM_LARGE", "16G")


def refused(bantam: Bantam, status: int, *words: str) -> str:
    """The one line that a verb fails with."""
    run = bantam.command(*words)
    assert run.returncode == status, (words, run.stderr)
    assert not run.stdout and run.stderr.count(b"\n") == 1, run.stderr
    return run.stderr.decode()


def segments(path: Path) -> list[tuple[int, ...]]:
    """Of an ELF core: type, flags, offset, vaddr, paddr, filesz, memsz, align."""
    head = path.read_bytes()[:4096]
    assert head[:4] == b"\x7fELF"
    count = struct.unpack_from("<H", head, 56)[0]
    return [struct.unpack_from("<IIQQQQQQ", head, 64 + 56 * i) for i in range(count)]


def gdb(path: Path, *commands: str) -> str:
    if not shutil.which("gdb"):
        pytest.skip("no gdb here")
    words = [word for command in commands for word in ("-ex", command)]
    run = subprocess.run(
        ["gdb", "-nx", "-batch", *words, "-c", path],
        capture_output=True,
        text=True,
        timeout=2 * LIMIT,
        check=True,
    )
    return run.stdout


def test_balloon(bantam: Bantam) -> None:
    with bantam.start("spin.long", "--balloon", "2M", "--name", "web"):
        up(bantam, "web")
        assert verb(bantam, "balloon", "web") == "target 2 MiB, actual 0 MiB\n"
        assert verb(bantam, "balloon", "web", "+4M") == "target 6 MiB, actual 0 MiB\n"
        answer = json.loads(verb(bantam, "balloon", "--json", "web", "-1M"))
        assert answer == {"target": 5 << 20, "actual": 0}
        assert "target 0 MiB" in verb(bantam, "balloon", "web", "-1G")
        assert "target 3 MiB" in verb(bantam, "balloon", "web", "3")
        for size in ("", "x", "+", "-", "--5", "5X", "+-5", "99999999T", "1 M"):
            refused(bantam, USAGE, "balloon", "web", "--", size)
        assert "16 MiB of 16 MiB" in refused(bantam, USAGE, "balloon", "web", "16M")
        refused(bantam, USAGE, "balloon", "web", "+99999T")
        assert "target 3 MiB" in verb(bantam, "balloon", "web")
        # A guest without a driver never gets there; one that is there already need not wait.
        refused(bantam, FORCED, "balloon", "web", "--wait", "-t", "0.2", "1M")
        verb(bantam, "balloon", "web", "--wait", "0")


def test_balloon_stays_over_a_reset(bantam: Bantam) -> None:
    with bantam.start("ends.protected", "--balloon", "2M", "--name", "web") as guest:
        up(bantam, "web")
        guest.expect(b"ready\n")
        verb(bantam, "balloon", "web", "7M")
        verb(bantam, "reset", "web")
        guest.expect(b"ready\n")
        until(
            lambda: "target 7 MiB" in verb(bantam, "balloon", "web"), "the target is as before"
        )


def test_no_balloon(bantam: Bantam) -> None:
    with bantam.start("spin.long", "--name", "web"):
        up(bantam, "web")
        assert "without --balloon" in refused(bantam, HOST, "balloon", "web")
        refused(bantam, NO_VM, "balloon", "tea")


def test_nmi(bantam: Bantam) -> None:
    with bantam.start("nmi.long", "-c", "2", "--name", "web") as guest:
        up(bantam, "web")
        guest.expect(b"ready\n")
        for words in (["web"], ["--cpu", "0", "web"], ["--cpu=1", "web"]):
            verb(bantam, "nmi", *words)
            if words[0] != "--cpu=1":
                guest.expect(b"nmi\n")
        # The second one waits for its start, and a paused one gets it when it goes on.
        verb(bantam, "pause", "web")
        verb(bantam, "nmi", "web")
        assert guest.read(0.3) == b""
        verb(bantam, "resume", "web")
        guest.expect(b"nmi\n")
        assert "0 to 1" in refused(bantam, USAGE, "nmi", "--cpu", "2", "web")
        refused(bantam, USAGE, "nmi", "--cpu", "x", "web")
        assert guest.read(0.3) == b""


def test_sysrq(bantam: Bantam) -> None:
    with bantam.start("echo.long", "--name", "web") as guest:
        up(bantam, "web")
        for key in ("", "hh", " ", "\N{LATIN SMALL LETTER E WITH ACUTE}"):
            refused(bantam, USAGE, "sysrq", "web", key)
        # A break is a byte of zeros for one who does not ask.
        guest.send(b"a")
        guest.expect(b"a")
        verb(bantam, "sysrq", "web", "h")
        guest.expect(b"\0h")


def test_sysrq_that_nobody_hears(bantam: Bantam) -> None:
    with bantam.start("spin.long", "--name", "web"):
        up(bantam, "web")
        assert "does not listen" in refused(bantam, HOST, "sysrq", "web", "h")
    with bantam.start("spin.long", "--console", "virtio", "--name", "web"):
        up(bantam, "web")
        assert "has no break" in refused(bantam, HOST, "sysrq", "web", "h")


def test_dump(bantam: Bantam, tmp_path: Path) -> None:
    core = tmp_path / "core"
    with bantam.start("spin.long", "-c", "2", "--name", "web") as guest:
        up(bantam, "web")
        guest.expect(b"spinning\n")
        answer = json.loads(verb(bantam, "dump", "--json", "web", str(core)))
        assert answer == {"file": str(core), "memory": 16 << 20}
        assert listed(bantam)["web"]["state"] == "running"
        assert core.stat().st_mode & 0o777 == 0o600
        assert core.stat().st_blocks * 512 < 1 << 20
        note, ram = segments(core)
        assert (note[0], ram[0]) == (4, 1)
        assert ram[3:5] == (0, 0) and ram[5] == 16 << 20
        with core.open("rb") as file:
            file.seek(ram[2] + 0x100000)
            program = bantam.path("spin.long").read_bytes()
            assert file.read(len(program)) == program
        # What is there is left alone, and so is the VM.
        assert "is there already" in refused(bantam, USAGE, "dump", "web", str(core))
        refused(bantam, USAGE, "dump", "web", str(tmp_path / "no" / "core"))
        refused(bantam, NO_VM, "dump", "tea", str(tmp_path / "tea"))
        assert not (tmp_path / "tea").exists()


def test_gdb_opens_a_dump(bantam: Bantam, tmp_path: Path) -> None:
    core = tmp_path / "core"
    with bantam.start("spin.long", "-c", "2", "--name", "web") as guest:
        up(bantam, "web")
        guest.expect(b"spinning\n")
        verb(bantam, "dump", "web", str(core))
    out = gdb(core, "info threads", "thread 1", "p/x $rip", "p/x $cs", "x/2xb $rip")
    assert "LWP 1" in out and "LWP 2" in out
    rip = int(re.search(r"= (0x10[0-9a-f]{4})\n", out)[1], 16)
    # 1: jmp 1b
    assert re.search(rf"{rip:#x}:\s+0xeb\s+0xfe", out), out


def test_dump_of_one_that_is_paused(bantam: Bantam, tmp_path: Path) -> None:
    with bantam.start("spin.long", "--name", "web"):
        up(bantam, "web")
        verb(bantam, "pause", "web")
        verb(bantam, "dump", "web", str(tmp_path / "core"))
        verb(bantam, "dump", "--no-pause", "web", str(tmp_path / "second"))
        assert listed(bantam)["web"]["state"] == "paused"


def start_dump(bantam: Bantam, path: Path, *options: str) -> subprocess.Popen[bytes]:
    """A dump that is under way."""
    dump = subprocess.Popen(
        [bantam.binary, "dump", *options, "web", str(path)], stderr=subprocess.PIPE
    )
    until(lambda: path.exists() and path.stat().st_size > 0, "the dump has begun")
    return dump


def state(bantam: Bantam) -> str:
    return listed(bantam)["web"]["state"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_dump_ended_by_a_signal(
    bantam: Bantam, tmp_path: Path, number: signal.Signals
) -> None:
    with bantam.start("spin.long", "-m", LARGE, "--name", "web"):
        up(bantam, "web")
        dump = start_dump(bantam, tmp_path / "core")
        dump.send_signal(number)
        assert dump.communicate(timeout=LIMIT)[1] == b""
        assert dump.returncode == -number
        assert not (tmp_path / "core").exists()
        until(lambda: state(bantam) == "running", "the VM goes on")
        verb(bantam, "pause", "web")


def test_dump_whose_client_dies(bantam: Bantam, tmp_path: Path) -> None:
    with bantam.start("spin.long", "-m", LARGE, "--name", "web"):
        up(bantam, "web")
        dump = start_dump(bantam, tmp_path / "core")
        dump.kill()
        dump.communicate(timeout=LIMIT)
        until(lambda: state(bantam) == "running", "the VM goes on")


def test_others_meanwhile(bantam: Bantam, tmp_path: Path) -> None:
    """It does not go on before the dump is done; who pauses it finds it paused afterwards."""
    with bantam.start("spin.long", "-m", LARGE, "--name", "web"):
        up(bantam, "web")
        dump = start_dump(bantam, tmp_path / "core")
        assert state(bantam) == "paused"
        assert "dump" in refused(bantam, HOST, "resume", "web")
        assert "dump" in refused(bantam, HOST, "stop", "web")
        assert "already" in refused(bantam, HOST, "dump", "web", str(tmp_path / "second"))
        assert not (tmp_path / "second").exists()
        verb(bantam, "pause", "web")
        assert dump.poll() is None, "it was too fast for this test"
        dump.communicate(timeout=2 * LIMIT)
        assert dump.returncode == OK
        assert state(bantam) == "paused"
        verb(bantam, "resume", "web")


@pytest.mark.parametrize("options", [[], ["--no-pause"]])
def test_end_in_the_middle(bantam: Bantam, tmp_path: Path, options: list[str]) -> None:
    with bantam.start("spin.long", "-m", LARGE, "--name", "web") as guest:
        up(bantam, "web")
        dump = start_dump(bantam, tmp_path / "core", *options)
        assert state(bantam) == ("running" if options else "paused")
        verb(bantam, "stop", "--force", "web")
        error = dump.communicate(timeout=LIMIT)[1]
        assert dump.returncode in (HOST, NO_VM) and error.count(b"\n") == 1
        assert b"ended" in error
        assert not (tmp_path / "core").exists()
        guest.status()


def test_full_disk(bantam: Bantam, tmp_path: Path) -> None:
    """A limit of the VM's process stands for a full disk."""
    with bantam.start("spin.long", "--name", "web") as guest:
        up(bantam, "web")
        resource.prlimit(guest.pid, resource.RLIMIT_FSIZE, (8192, 8192))
        core = tmp_path / "core"
        assert "File too large" in refused(bantam, HOST, "dump", "web", str(core))
        assert not core.exists()
        assert state(bantam) == "running"


def test_dump_into_a_pipe(bantam: Bantam) -> None:
    """Of a client without manners: nobody reads, and the VM does not wait for that."""
    with bantam.start("spin.long", "--name", "web"):
        up(bantam, "web")
        client = raw("web")
        client.recv(4096)
        ends = os.pipe()
        for fd in ends:
            request = b'{"id": 1, "command": "dump", "args": {"file": 0}}\n'
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))
            client.sendmsg([request], [rights])
            assert b"regular file" in client.recv(4096)
        client.sendall(b'{"id": 2, "command": "dump", "args": {}}\n')
        assert b"EINVAL" in client.recv(4096)
        for fd in ends:
            os.close(fd)
        assert state(bantam) == "running"


def test_events_of_a_dump(bantam: Bantam, tmp_path: Path) -> None:
    with bantam.start("spin.long", "--name", "web"):
        up(bantam, "web")
        events = subprocess.Popen(
            [bantam.binary, "events", "--json", "web"], stdout=subprocess.PIPE
        )
        time.sleep(0.5)
        verb(bantam, "dump", "web", str(tmp_path / "core"))
        verb(bantam, "stop", "--force", "web")
        out = events.communicate(timeout=LIMIT)[0]
        told = [json.loads(line) for line in out.splitlines()]
        assert [event["event"] for event in told] == ["paused", "resumed", "ended"]
        assert told[0]["cause"] == "dump"
