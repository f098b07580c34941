# SPDX-License-Identifier: BSD-2-Clause
"""What is counted is what the guest did; limits, as a guest of Linux sees them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from disks import DROP, MIB, sparse
from guest import DISK_MODULES, END, Guest
from net import HOST, NET_MODULES, Services, port_of, set_address

Start = Callable[..., Guest]

STREAMS = 4


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def verb(bantam: str) -> Callable[..., str]:
    def verb(*words: str) -> str:
        run = subprocess.run(
            [bantam, *words], capture_output=True, timeout=END, check=False, text=True
        )
        assert run.returncode == 0, (words, run.stderr)
        return run.stdout

    return verb


@pytest.fixture
def services() -> Iterator[Services]:
    with contextlib.ExitStack() as stack:
        yield Services(stack)


def disk_sum(stat: dict, key: str) -> int:
    return sum(queue[key] for queue in stat["disks"][0]["queues"])


def latencies(stat: dict, kind: str) -> int:
    return sum(
        sum(queue["latency"].get(kind, {"below_us_log2": []})["below_us_log2"])
        for queue in stat["disks"][0]["queues"]
    )


def stat_of(verb: Callable[..., str]) -> dict:
    return json.loads(verb("stat", "--json", "web"))


@pytest.mark.parametrize("transport", ["pci", pytest.param("mmio", marks=pytest.mark.slow)])
def test_counts(vm: Start, verb: Callable[..., str], disk_dir: Path, transport: str) -> None:
    disk = sparse(disk_dir / "disk", 16 * MIB)
    guest = vm(
        *("--name", "web", "--transport", transport, "-n", "user", "-c", "2"),
        *("-d", f"{disk},queues=2", "-a", DISK_MODULES + ",virtio_net"),
    ).shell()
    guest.run(DROP)
    before = stat_of(verb)
    guest.run("dd if=/dev/vda of=/dev/null bs=4k count=500 iflag=direct 2>/dev/null")
    guest.run("dd if=/dev/zero of=/dev/vda bs=64k count=100 oflag=direct 2>/dev/null")
    after = stat_of(verb)
    for key, count in [
        *(("reads", 500), ("read_bytes", 500 * 4096)),
        *(("writes", 100), ("written_bytes", 100 * 65536), ("errors", 0)),
    ]:
        assert disk_sum(after, key) - disk_sum(before, key) == count, key
    assert latencies(after, "reads") == disk_sum(after, "reads")
    assert latencies(after, "writes") == disk_sum(after, "writes")
    assert 600 <= disk_sum(after, "kicks") - disk_sum(before, "kicks") < 2000

    # frames, as the guest counts them itself
    set_address(guest, "10.0.2.15/24")
    assert " 0% packet loss" in guest.run("ping -c 20 -i 0.1 10.0.2.2", timeout=60)
    counted = guest.run(
        "cd /sys/class/net/eth0/statistics; cat rx_packets rx_bytes tx_packets tx_bytes"
    )
    (queue,) = stat_of(verb)["nets"][0]["queues"]
    rx_frames, rx_bytes, tx_frames, _ = map(int, counted.split())
    rx, tx = queue["rx"], queue["tx"]
    assert rx["frames"] >= 20 and tx["frames"] >= 20
    # a frame or two may have moved in between; what the network refused, the guest counts as sent
    assert 0 <= rx["frames"] - rx_frames <= 10 and 0 <= rx["bytes"] - rx_bytes <= 2000
    assert 0 <= tx["frames"] + tx["drops"] - tx_frames <= 10
    assert rx["drops"] == 0

    # exits and halts
    (first, *_) = stat_of(verb)["vcpus"]
    guest.run("sleep 1")
    (second, *_) = stat_of(verb)["vcpus"]
    assert sum(second["exits"].values()) > sum(first["exits"].values())
    assert second["kvm_exits"] > first["kvm_exits"]
    assert second["halted"] > first["halted"]
    assert second["interrupts"] > first["interrupts"]


def test_errors_are_counted(vm: Start, verb: Callable[..., str], disk_dir: Path) -> None:
    disk = sparse(disk_dir / "disk", 4 * MIB)
    guest = vm("--name", "web", "-d", str(disk), "-a", DISK_MODULES).shell()
    # cut beneath the guest, which does not know
    with disk.open("r+b") as file:
        file.truncate(MIB)
    guest.run("dd if=/dev/vda of=/dev/null bs=4k count=1 skip=700 iflag=direct 2>/dev/null")
    stat = stat_of(verb)
    assert disk_sum(stat, "errors") + disk_sum(stat, "reads") > 0


def holds(verb: Callable[..., str], count: Callable[[dict], int], limit: int) -> None:
    """To 5 % over ten seconds. The burst that a new limit begins with is over by then."""
    time.sleep(1)
    first = stat_of(verb)
    time.sleep(10)
    last = stat_of(verb)
    rate = (count(last) - count(first)) / (last["time"] - first["time"])
    assert rate == pytest.approx(limit, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("size", [4096, MIB])
@pytest.mark.parametrize("way", ["read", "write"])
def test_limits_hold(
    vm: Start, verb: Callable[..., str], disk_dir: Path, way: str, size: int
) -> None:
    """A limit from the start on, one that is set under load, and one of requests."""
    low = 16 * 4096 if size == 4096 else 4 * MIB
    disk = sparse(disk_dir / "disk", 512 * MIB)
    guest = vm("--name", "web", "-d", f"{disk},bandwidth={low}", "-a", DISK_MODULES).shell()
    words = {
        "read": f"if=/dev/vda of=/dev/null bs={size} iflag=direct",
        "write": f"if=/dev/zero of=/dev/vda bs={size} oflag=direct",
    }
    kind = {"read": "read_bytes", "write": "written_bytes"}[way]
    # several at once: alone, each would wait for an emulated guest
    for _ in range(4):
        guest.beside(f"while :; do dd {words[way]}; done >/dev/null 2>&1")
    for limits, rate in (
        ([], low),
        ([f"bandwidth={2 * low}"], 2 * low),
        ([f"bandwidth={low * 3 // 2}"], low * 3 // 2),
        (["bandwidth=0", f"iops={low // 4096}"], None),
    ):
        if limits:
            verb("limit", "web", "disk0", *limits)
        key = kind if rate else {"read": "reads", "write": "writes"}[way]
        if rate or size == 4096:
            holds(verb, lambda stat, key=key: disk_sum(stat, key), rate or low // 4096)


@pytest.mark.slow
@pytest.mark.parametrize("size", [4096, MIB])
@pytest.mark.parametrize("way", ["rx", "tx"])
def test_limits_of_cards_hold(
    vm: Start, verb: Callable[..., str], services: Services, way: str, size: int
) -> None:
    server = services.listen()

    def serve() -> None:
        client, _ = server.accept()
        data = bytes(size)
        with client, contextlib.suppress(OSError):
            while way == "rx" or client.recv(MIB):
                if way == "rx":
                    client.sendall(data)

    # several: alone, a stream waits for acknowledgements, which libslirp delays, a window at a time
    work = [services.start(serve) for _ in range(STREAMS)]
    # an emulated guest sends some 80 KiB/s, and takes far more
    first = MIB // 2 if way == "rx" else 32 * 1024
    net = f"user,host-loopback,{way}-bandwidth={first}"
    guest = vm("--name", "web", "-n", net, "-a", NET_MODULES).shell()
    set_address(guest, "10.0.2.15/24")
    stream = f"nc {HOST} {port_of(server)}"
    if way == "tx":
        stream = f"dd if=/dev/zero bs={size} | {stream}"
    for _ in range(STREAMS):
        guest.beside(f"{stream} >/dev/null 2>&1")

    def count(stat: dict) -> int:
        return sum(queue[way]["bytes"] for queue in stat["nets"][0]["queues"])

    try:
        for limit in (first, 3 * first // 2, 5 * first // 4):
            if limit != first:
                verb("limit", "web", "net0", f"{way}-bandwidth={limit}")
            holds(verb, count, limit)
    finally:
        guest.close()  # or the server would never see the end
    for one in work:
        one.result(END)
