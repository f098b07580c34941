# SPDX-License-Identifier: BSD-2-Clause
"""Figures of running VMs: stat, top, limit."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest

from test_control import cpu_seconds, raw, up, verb
from tiny import LIMIT, OK, USAGE, Bantam, may_look

NO_VM = 7
SAMPLE = re.compile(r'^bantam_[a-z_]+\{vm="web"(,[a-z]+="[^"]*")*\} [0-9.e+-]+$')


def stat(bantam: Bantam, name: str = "web") -> dict:
    return json.loads(verb(bantam, "stat", "--json", name))


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "disk"
    path.write_bytes(bytes(1 << 20))
    return f"{path},cache=writeback,queues=2"


def test_stat(bantam: Bantam, image: str) -> None:
    with bantam.start("spin.long", "--name", "web", "-d", image, "-n", "user") as guest:
        up(bantam, "web")
        first = stat(bantam)
        time.sleep(0.3)
        second = stat(bantam)
        assert first["pid"] == guest.pid and first["state"] == "running"
        assert first["boots"] == 1 and first["memory"]["guest"] == 16 << 20
        assert abs(first["time"] - time.time()) < LIMIT
        assert second["uptime"] - first["uptime"] == pytest.approx(
            second["time"] - first["time"], abs=0.1
        )
        assert first["cpu"] <= second["cpu"] <= cpu_seconds(guest.pid) + 0.1
        # no more than what this process has
        assert 0 < first["memory"]["private_dirty"] <= first["memory"]["rss"] < 64 << 20
        assert first["memory"]["pss"] <= first["memory"]["rss"]
        assert len(first["vcpus"]) == 1
        # each question of the second kind kicks nobody, so it is the guest's own
        assert sum(second["vcpus"][0]["exits"].values()) >= sum(first["vcpus"][0]["exits"].values())
        (disk,) = first["disks"]
        assert disk["name"] == "disk0" and len(disk["queues"]) == 2
        assert disk["queues"][0]["reads"] == 0 and disk["queues"][1]["errors"] == 0
        (net,) = first["nets"]
        assert net["name"] == "net0" and not net["vhost"]
        assert net["queues"][0]["rx"]["frames"] == 0


def test_exits_are_counted(bantam: Bantam) -> None:
    """Each byte that the guest echoes is some exits, of ports."""
    with bantam.start("echo.long", "--name", "web") as guest:
        up(bantam, "web")
        before = stat(bantam)["vcpus"][0]["exits"].get("io", 0)
        for i in range(50):
            guest.send(b"x")
            guest.expect(b"x")
        exits = stat(bantam)["vcpus"][0]["exits"]
        assert before + 50 <= exits["io"] < before + 50_000


def test_kvm_tells(bantam: Bantam) -> None:
    """Where the kernel has statistics, they are there at the first question."""
    with bantam.start("spin.long", "--name", "web") as guest:
        up(bantam, "web")
        (vcpu,) = stat(bantam)["vcpus"]
        if "kvm_exits" not in vcpu:
            pytest.skip("this kernel has no KVM_GET_STATS_FD")
        assert vcpu["kvm_exits"] > 0 and vcpu["halts"] == 0
        # over a pause, whose vCPU has another thread afterwards
        verb(bantam, "pause", "web")
        paused = stat(bantam)["vcpus"][0]
        assert paused["kvm_exits"] >= vcpu["kvm_exits"]
        verb(bantam, "resume", "web")
        (after,) = stat(bantam)["vcpus"]
        assert after["kvm_exits"] >= paused["kvm_exits"]
        assert after.get("steal", 0) >= vcpu.get("steal", 0)
        assert guest.pid


def test_stat_of_one_that_is_paused(bantam: Bantam) -> None:
    with bantam.start("spin.long", "--name", "web"):
        up(bantam, "web")
        verb(bantam, "pause", "web")
        assert stat(bantam)["state"] == "paused"


def test_nobody_else_pays(bantam: Bantam) -> None:
    """The descriptors of statistics are there once, and only after a question."""
    with bantam.start("spin.long", "--name", "web") as guest:
        up(bantam, "web")
        may_look(guest.pid)
        fds = f"/proc/{guest.pid}/fd"
        before = set(os.listdir(fds))
        stat(bantam)
        once = set(os.listdir(fds))
        for _ in range(10):
            stat(bantam)
        time.sleep(0.2)
        assert len(set(os.listdir(fds))) <= len(once)
        assert len(once) <= len(before) + 4


def test_stat_for_a_person(bantam: Bantam, image: str) -> None:
    with bantam.start("spin.long", "--name", "web", "-d", image + ",iops=70", "-n", "user"):
        up(bantam, "web")
        text = verb(bantam, "stat", "web")
        assert text.startswith("web: running, up ")
        assert "disk0" in text and "net0" in text and "iops=70" in text
        # not as fast as it can
        for interval in ("0", "0.01", "86401"):
            assert bantam.command("stat", "--interval", interval, "web").returncode == USAGE
            assert bantam.command("top", "--interval", interval).returncode == USAGE
        watch = subprocess.Popen(
            [bantam.binary, "stat", "--interval", "0.1", "--json", "web"], stdout=subprocess.PIPE
        )
        lines = [json.loads(watch.stdout.readline()) for _ in range(3)]
        assert lines[0]["time"] < lines[1]["time"] < lines[2]["time"]
        verb(bantam, "stop", "--force", "web")
        assert watch.wait(LIMIT) == NO_VM
    assert bantam.command("stat", "web").returncode == NO_VM
    assert bantam.command("stat").returncode == USAGE
    assert bantam.command("stat", "--interval", "x", "web").returncode == USAGE


def test_prometheus(bantam: Bantam, image: str) -> None:
    with bantam.start("spin.long", "--name", "web", "-d", image, "-n", "user"):
        up(bantam, "web")
        run = bantam.command("stat", "--prometheus", "--json", "web")
        assert run.returncode == USAGE and b"--json does not go with --prom" in run.stderr
        text = verb(bantam, "stat", "--prometheus", "web")
        seen, current = set(), None
        for line in text.splitlines():
            if line.startswith("# HELP "):
                current = line.split()[2]
                # all samples of a metric stand together
                assert current not in seen
                seen.add(current)
            elif not line.startswith("# TYPE "):
                assert SAMPLE.match(line), line
                assert line.startswith(current)
        assert {"bantam_cpu_seconds_total", "bantam_disk_requests_total"} <= seen
        assert 'bantam_memory_bytes{vm="web",kind="guest"} 16777216\n' in text


def test_limit(bantam: Bantam, image: str) -> None:
    words = image + ",iops=100,bandwidth-once=5,bandwidth=1M"
    with bantam.start("ends.protected", "--name", "web", "-d", words, "-n", "user") as guest:
        up(bantam, "web")
        assert verb(bantam, "limit", "web", "disk0").split() == [
            "bandwidth=1048576",
            "bandwidth-once=5",
            "iops=100",
        ]
        verb(bantam, "limit", "web", "disk0", "bandwidth=2M", "iops-burst=7")
        want = {"bandwidth": 2 << 20, "iops": 100, "iops-burst": 7}
        assert json.loads(verb(bantam, "limit", "--json", "web", "disk0")) == want
        assert stat(bantam)["disks"][0]["limit"] == want
        verb(bantam, "limit", "web", "net0", "rx-bandwidth=1M", "tx-pps=9")
        want = {"rx-bandwidth": 1 << 20, "tx-pps": 9}
        assert stat(bantam)["nets"][0]["limit"] == want
        # a reboot keeps them
        guest.expect(b"ready\n")
        guest.send(b"k")
        guest.expect(b"ready\n")
        assert stat(bantam)["boots"] == 2
        assert stat(bantam)["nets"][0]["limit"] == want
        verb(bantam, "limit", "web", "net0", "off")
        verb(bantam, "limit", "web", "disk0", "iops=0", "iops-burst=0")
        assert verb(bantam, "limit", "web", "net0") == "no limits\n"
        assert verb(bantam, "limit", "--json", "web", "net0") == "{}\n"
        assert verb(bantam, "limit", "web", "disk0") == f"bandwidth={2 << 20}\n"


def test_limit_by_any_id(bantam: Bantam, image: str) -> None:
    """What a device is, its id does not say."""
    words = ["-d", f"{image},id=network", "-n", "user,id=uplink"]
    with bantam.start("spin.long", "--name", "web", *words):
        up(bantam, "web")
        verb(bantam, "limit", "web", "network", "iops=5")
        assert verb(bantam, "limit", "web", "network") == "iops=5\n"
        verb(bantam, "limit", "web", "uplink", "rx-pps=6", "tx-bandwidth=7")
        assert json.loads(verb(bantam, "limit", "--json", "web", "uplink")) == {
            "rx-pps": 6,
            "tx-bandwidth": 7,
        }
        run = bantam.command("limit", "web", "uplink", "iops=5")
        assert run.returncode == USAGE and b"rx-pps=" in run.stderr


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["disk1", "iop=5"], USAGE, b"no device 'disk1'"),
        (["disk1", "iops=5"], USAGE, b"no device 'disk1'"),
        (["disk", "iops=5"], USAGE, b"no device 'disk'"),
        (["net0", "rx-pps=5"], USAGE, b"no device 'net0'"),
        (["disk0", "iop=5"], USAGE, b"unknown key 'iop=5'"),
        (["disk0", "iops=5", "off"], USAGE, b"unknown key 'off'"),
        (["disk0", "iops-burst=5"], USAGE, b"a burst of operations without a limit"),
        (["disk0", "iops"], USAGE, b"needs a value"),
        (["disk0", "rx-pps=5"], USAGE, b"unknown key"),
        ([], USAGE, b"needs more"),
    ],
)
def test_limits_refused(
    bantam: Bantam, image: str, words: list[str], status: int, says: bytes
) -> None:
    with bantam.start("spin.long", "--name", "web", "-d", image):
        up(bantam, "web")
        run = bantam.command("limit", "web", *words)
        assert run.returncode == status and says in run.stderr
        assert verb(bantam, "limit", "web", "disk0") == "no limits\n"


def test_limit_on_the_wire(bantam: Bantam, image: str) -> None:
    """What the verb does not send."""
    with bantam.start("spin.long", "--name", "web", "-d", image, "-n", "user"):
        up(bantam, "web")
        with raw("web") as client:
            file = client.makefile("rw", encoding="utf-8")
            file.readline()
            for number, args in enumerate(
                [
                    {"device": "net0", "ops": 5},
                    {"device": "net0", "direction": "up", "ops": 5},
                    {"device": "disk0", "direction": "rx", "ops": 5},
                    {"device": "disk0", "bandwidth": 1, "bandwidth_burst": (1 << 63) - 1},
                    {"device": "disk99999999999999999999"},
                    {"device": "disk-1"},
                    {"device": ""},
                ]
            ):
                file.write(json.dumps({"id": number, "command": "limit", "args": args}) + "\n")
                file.flush()
                answer = json.loads(file.readline())
                assert answer["id"] == number and answer["error"]["text"]


def test_top_without_a_terminal(bantam: Bantam) -> None:
    assert len(verb(bantam, "top").splitlines()) == 1
    with bantam.start("sleep.real", "--name", "idle"), bantam.start("spin.long", "--name", "busy"):
        up(bantam, "idle")
        up(bantam, "busy")
        rows = verb(bantam, "top").splitlines()
        assert [row.split()[0] for row in rows] == ["NAME", "busy", "idle"]
        rows = [json.loads(line) for line in verb(bantam, "top", "--json").splitlines()]
        assert rows[0]["name"] == "busy" and rows[0]["cpu_percent"] > rows[1]["cpu_percent"]


def test_top_and_one_that_hangs(bantam: Bantam) -> None:
    with bantam.start("spin.long", "--name", "hangs") as guest:
        up(bantam, "hangs")
        os.kill(guest.pid, signal.SIGSTOP)
        tables = [verb(bantam, "top"), verb(bantam, "ps")]
        os.kill(guest.pid, signal.SIGCONT)
        assert all("busy" in table.splitlines()[1] for table in tables)


def until_text(master: int, text: bytes) -> bytes:
    seen, deadline = b"", time.monotonic() + LIMIT
    while text not in seen:
        assert select.select([master], [], [], deadline - time.monotonic())[0], seen
        seen += os.read(master, 4096)
    return seen


@pytest.mark.parametrize("end", [b"q", signal.SIGTERM, signal.SIGINT])
def test_top_in_a_terminal(bantam: Bantam, end: bytes | int) -> None:
    with bantam.start("spin.long", "--name", "web"):
        up(bantam, "web")
        master, slave = pty.openpty()
        before = termios.tcgetattr(slave)
        top = subprocess.Popen(
            [bantam.binary, "top", "--interval", "0.1"], stdin=slave, stdout=slave
        )
        try:
            until_text(master, b"web")
            until_text(master, b"\x1b[H")
            assert not termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ECHO)
            if isinstance(end, bytes):
                os.write(master, end)
            else:
                top.send_signal(end)
            until_text(master, b"\x1b[?1049l")
            assert top.wait(LIMIT) == OK
            assert termios.tcgetattr(slave) == before
        finally:
            top.kill()
            top.wait()
            os.close(master)
            os.close(slave)
