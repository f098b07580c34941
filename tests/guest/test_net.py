# SPDX-License-Identifier: BSD-2-Clause
"""User networking as a stock kernel sees it: addresses, names, services, and lots of data."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guest import BOOT, Guest, rss, slow
from net import (
    ADDRESS,
    HOST,
    HOST6,
    MIB,
    NAME_SERVER,
    NET_MODULES,
    TRANSFER,
    Services,
    ask_dhcp,
    children,
    echo,
    flood,
    free_port,
    iperf,
    iperf_disk,
    iperf_server,
    make_stream,
    md5,
    memory,
    port_of,
    provide,
    receive,
    serve_names,
    stream,
    wait_until,
    watch_memory,
)

# An address of level 1's, beside its loopback
OUTSIDE = "192.0.2.1"

Start = Callable[..., Guest]


@pytest.fixture
def services() -> Iterator[Services]:
    with contextlib.ExitStack() as stack:
        yield Services(stack)


@pytest.fixture
def start(vm: Callable[..., Guest]) -> Start:
    """A guest with user networking and an address: start("hostfwd=...", "dns=...")."""

    def start(*words: str, options: tuple[str, ...] = ()) -> Guest:
        guest = vm("-a", NET_MODULES, "-n", ",".join(["user", *words]), *options).shell()
        ask_dhcp(guest)
        return guest

    return start


@pytest.fixture(scope="session")
def outside(lab_host: None) -> str:
    """An address that is none of the loopback's, as of another host."""
    subprocess.run(["ip", "address", "replace", f"{OUTSIDE}/32", "dev", "lo"], check=True)
    return OUTSIDE


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=BOOT)


# ---- addresses and names ---------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["pci", slow("mmio")])
def test_address_and_names(start: Start, services: Services, transport: str) -> None:
    """DHCP, and a name from a server on the host's loopback."""
    server = services.bind(socket.SOCK_DGRAM, "127.0.0.1")
    services.start(serve_names, server, {"bantam.test": "192.0.2.99"})
    mac = "02:00:00:00:be:ef"
    guest = start(
        f"dns=127.0.0.1:{port_of(server)}", f"mac={mac}", options=("--transport", transport)
    )
    assert f"inet {ADDRESS}/24" in guest.run("ip addr show eth0")
    assert guest.run("cat /sys/class/net/eth0/address").strip() == mac
    assert guest.run("cat /etc/resolv.conf").split() == ["nameserver", NAME_SERVER]
    assert "192.0.2.99" in guest.run("nslookup bantam.test")
    assert "NXDOMAIN" in guest.run("nslookup other.test")
    assert " 0% packet loss" in guest.run(f"ping -c 3 {HOST}")
    # as the link says, or large frames would be for nothing
    assert guest.run("cat /sys/class/net/eth0/mtu").strip() == "21880"


def test_names_of_the_host(start: Start, services: Services, outside: str) -> None:
    """Without dns= it is the host's own name server, also when that is on the loopback."""
    with open("/etc/resolv.conf", "w", encoding="ascii") as file:
        file.write("nameserver 127.0.0.1\n")
    server = services.bind(socket.SOCK_DGRAM, "127.0.0.1", 53)
    services.start(serve_names, server, {"bantam.test": "192.0.2.98"})
    assert "192.0.2.98" in start().run("nslookup bantam.test")


@pytest.mark.slow
def test_debian(
    vm: Callable[..., Guest], debian: Path, services: Services, disk_dir: Path
) -> None:
    """A whole Debian: systemd-networkd asks for the address, the C library for the name."""
    server = services.bind(socket.SOCK_DGRAM, "127.0.0.1")
    services.start(serve_names, server, {"bantam.test": "192.0.2.97"})
    disk = disk_dir / "disk.img"
    subprocess.run(["cp", debian / "disk.img", disk], check=True)
    guest = vm(
        *("-k", str(debian / "vmlinuz"), "-d", str(disk), "-m", "768M", "-c", "2"),
        *("-i", str(debian / "initramfs"), "-n", f"user,dns=127.0.0.1:{port_of(server)}"),
        linux=None,
    ).login(b"ttyS0", timeout=5 * BOOT)
    config = "[Match]\\nName=e*\\n[Network]\\nDHCP=yes\\n"
    guest.run(f"printf '{config}' >/etc/systemd/network/a.network")
    guest.run("systemctl start systemd-networkd; echo nameserver 10.0.2.3 >/etc/resolv.conf")
    wait = "/lib/systemd/systemd-networkd-wait-online --any --timeout=60"
    assert guest.run(f"{wait} >/dev/null; echo $?", timeout=BOOT).strip() == "0"
    assert f"inet {ADDRESS}/24" in guest.run("ip addr")
    assert "192.0.2.97" in guest.run("getent hosts bantam.test")


def test_ipv6(start: Start, services: Services) -> None:
    """An address made of what the router says, and a service of the host's."""
    server = services.listen("::1")
    sum_there = services.start(receive, server)
    guest = start("host-loopback")
    ready = "grep fec0: | grep -q -v tentative"
    tries = f"for i in $(seq 200); do ip -6 addr show eth0 | {ready} && break; sleep 0.1; done"
    assert "fec0:" in guest.run(f"{tries}; ip -6 addr")
    make_stream(guest)
    guest.run(f"pieces 1 | nc {HOST6} {port_of(server)}", timeout=TRANSFER)
    assert guest.run("pieces 1 | md5sum").split()[0] == sum_there.result(TRANSFER)


# ---- data ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mib,transport", [(8, "pci"), (2, "mmio"), slow(256, "pci")]
)
def test_transfer(start: Start, services: Services, mib: int, transport: str) -> None:
    """Both ways, one after the other and at once."""
    pieces = mib // 2
    guest = start("host-loopback", options=("--transport", transport))
    make_stream(guest)
    server = services.listen()
    sum_there = services.start(receive, server)
    guest.run(f"pieces {pieces} | nc {HOST} {port_of(server)}", timeout=TRANSFER)
    want = guest.run(f"pieces {pieces} | md5sum", timeout=TRANSFER).split()[0]
    assert sum_there.result(TRANSFER) == want

    services.start(provide, server, 1, pieces)
    get = f"nc {HOST} {port_of(server)} </dev/null | md5sum"
    assert guest.run(get, timeout=TRANSFER).split()[0] == md5(stream(1, pieces))

    other = services.listen()
    sum_there = services.start(receive, other)
    services.start(provide, server, 2, 4)
    both = f"pieces 4 | nc {HOST} {port_of(other)} & {get}; wait"
    assert guest.run(both, timeout=TRANSFER).split()[0] == md5(stream(2, 4))
    assert sum_there.result(TRANSFER) == guest.run("pieces 4 | md5sum").split()[0]


@pytest.mark.slow
def test_iperf3(start: Start, debian: Path, lab_host: None) -> None:
    guest = start("host-loopback", options=iperf_disk(debian))
    with iperf_server("127.0.0.1"):
        iperf(guest, HOST)


def stuck(client: socket.socket) -> int:
    """Sends until nothing has gone for a while; how many bytes went."""
    sent = 0
    client.settimeout(5)
    with contextlib.suppress(TimeoutError):
        while True:
            sent += client.send(bytes(MIB))
    client.settimeout(None)
    return sent


def test_reader_that_pauses(start: Start, services: Services) -> None:
    """What is not read stays with the sender, and comes when it is read."""
    server = services.listen()
    guest = start("host-loopback", options=("-m", "256M"))
    guest.run(f"mkfifo /tmp/go; (nc {HOST} {port_of(server)} </dev/null |"
              " (cat /tmp/go >/dev/null; md5sum >/tmp/sum)) & sleep 0")
    client, _ = server.accept()
    sent = stuck(client)
    assert 0 < sent < 64 * MIB
    assert rss(guest.pid, 256 * MIB)[1] < 48 * MIB
    # meanwhile others go on
    assert " 0% packet loss" in guest.run(f"ping -c 1 {HOST}")
    services.start(lambda: (client.sendall(b"the end"), client.close()))
    guest.run("echo >/tmp/go; wait", timeout=TRANSFER)
    want = md5(iter([bytes(sent), b"the end"]))
    assert guest.run("cat /tmp/sum").split()[0] == want


@pytest.mark.slow
def test_no_buffers(start: Start, services: Services) -> None:
    """A guest that takes nothing for ten seconds of a flood is there again within one."""
    port = free_port(socket.SOCK_DGRAM)
    guest = start(f"hostfwd=udp:127.0.0.1:{port}-:9", options=("-m", "256M"))
    count = "cat /sys/class/net/eth0/statistics/rx_packets"
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with flood(services, sender, ("127.0.0.1", port)):
        guest.run(f"until [ $({count}) -gt 1000 ]; do sleep 0.1; done")
        limit = memory(guest) + 2 * MIB
        # it fills what the driver had posted, and no buffer comes after that
        guest.run("ip link set eth0 down")
        watch_memory(guest, limit, 10)
        # by the first count, what was posted then has been taken
        counts = guest.run(f"ip link set eth0 up; sleep 0.5; {count}; sleep 0.5; {count}").split()
        assert int(counts[1]) > int(counts[0])
        watch_memory(guest, limit, 1)
    guest.run(f"ip addr replace {ADDRESS}/24 dev eth0")
    assert " 0% packet loss" in guest.run(f"ping -c 3 {HOST}")


# ---- who may reach whom ----------------------------------------------------------------------


def test_forwarded_ports(start: Start) -> None:
    """A service of the guest's, as of SSH, and one for datagrams."""
    tcp, udp = free_port(), free_port(socket.SOCK_DGRAM)
    guest = start(f"hostfwd=tcp:127.0.0.1:{tcp}-:22", f"hostfwd=udp::{udp}-{ADDRESS}:7")
    guest.run("nc -ll -p 22 -e cat & sleep 0")
    guest.run("until netstat -ltn | grep -q :22; do sleep 0.2; done")
    for _ in range(3):
        with connect(tcp) as client:
            for size in (1, 100, 300000):
                assert echo(client, b"x" * size) == b"x" * size
    many = [connect(tcp) for _ in range(8)]
    for index, client in enumerate(many):
        assert echo(client, b"%d" % index) == b"%d" % index
        client.close()

    # nobody listens, but that it came is counted
    count = "awk '/^Udp: [0-9]/ { print $3 }' /proc/net/snmp"
    before = int(guest.run(count))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"?", ("127.0.0.1", udp))
    guest.run(f"until [ $({count}) -gt {before} ]; do sleep 0.1; done")


def test_host_is_closed(start: Start, services: Services, outside: str) -> None:
    """Nothing on the loopback can be reached; the rest of the world can."""
    closed, opened = services.listen(), services.listen(outside)
    sum_there = services.start(receive, opened)
    guest = start()
    for address in (HOST, NAME_SERVER, "127.0.0.1", "0.0.0.0", HOST6):
        tried = guest.run(f"echo no | nc -w 5 {address} {port_of(closed)}; echo $?")
        assert tried.split()[-1] != "0", (address, tried)
    closed.settimeout(0)
    with pytest.raises(BlockingIOError):
        closed.accept()
    guest.run(f"echo yes | nc {outside} {port_of(opened)}")
    assert sum_there.result(BOOT) == md5(iter([b"yes\n"]))


def test_restricted(start: Start, services: Services, outside: str) -> None:
    """Connections that come in are all there is."""
    port = free_port()
    server = services.listen(outside)
    guest = start("restrict", f"hostfwd=tcp::{port}-:22")
    tried = guest.run(f"echo no | nc -w 5 {outside} {port_of(server)}; echo $?")
    assert tried.split()[-1] != "0"
    server.settimeout(0)
    with pytest.raises(BlockingIOError):
        server.accept()
    guest.run("nc -ll -p 22 -e cat & sleep 0")
    guest.run("until netstat -ltn | grep -q :22; do sleep 0.2; done")
    with connect(port) as client:
        assert echo(client, b"yes") == b"yes"


# ---- its life --------------------------------------------------------------------------------


def test_reboot(start: Start, services: Services) -> None:
    """The network is there again, in the same process; the port is still forwarded."""
    port = free_port()
    guest = start(f"hostfwd=tcp::{port}-:22")
    first = guest.run("cat /sys/class/net/eth0/address")
    guest.send(b"reboot -f\n")
    guest.shell()
    ask_dhcp(guest)
    assert guest.run("cat /sys/class/net/eth0/address") == first
    guest.run("nc -ll -p 22 -e cat & sleep 0")
    guest.run("until netstat -ltn | grep -q :22; do sleep 0.2; done")
    with connect(port) as client:
        assert echo(client, b"again") == b"again"


def endless(server: socket.socket, done: threading.Event) -> None:
    """Sends to the next client until that is gone."""
    client, _ = server.accept()
    with client, contextlib.suppress(OSError):
        while not done.is_set():
            client.sendall(bytes(MIB))


def serves_forward(port: int) -> bool:
    """Connections may be accepted before the guest can be reached."""
    with contextlib.suppress(OSError), connect(port) as client:
        client.settimeout(5)
        return echo(client, b"hello") == b"hello"
    return False


@pytest.mark.parametrize("apart", ["on", "off"])
def test_processes(start: Start, apart: str) -> None:
    """libslirp, its keeper and nobody else; or in the VM's own process."""
    guest = start(f"apart={apart}")
    assert " 0% packet loss" in guest.run(f"ping -c 1 {HOST}")
    maps = Path(f"/proc/{guest.pid}/maps").read_text()
    assert ("libslirp" in maps) == (apart == "off")
    keepers = children(guest.pid, "bantam-keeper")
    assert len(keepers) == (apart == "on")
    for keeper in keepers:
        (helper,) = children(keeper, "bantam-net")
        assert "libslirp" in Path(f"/proc/{helper}/maps").read_text()
        assert not any("kvm" in os.readlink(fd) for fd in Path(f"/proc/{helper}/fd").iterdir())
        status = Path(f"/proc/{helper}/status").read_text()
        assert "NoNewPrivs:\t1\n" in status and "Threads:\t1\n" in status
    guest.send(b"poweroff -f\n")
    assert guest.status() == 0
    assert not any(Path(f"/proc/{keeper}").exists() for keeper in keepers)


def test_helper_killed(start: Start, services: Services) -> None:
    """While the guest downloads: by itself, all is there again but that connection."""
    port = free_port()
    server = services.listen()
    done = threading.Event()
    services.stack.callback(done.set)
    guest = start("host-loopback", f"hostfwd=tcp::{port}-:22")
    guest.run("nc -ll -p 22 -e cat & sleep 0")
    guest.run("until netstat -ltn | grep -q :22; do sleep 0.2; done")
    for _ in range(2):
        services.start(endless, server, done)
        received = "cat /sys/class/net/eth0/statistics/rx_bytes"
        before = int(guest.run(received))
        guest.run(f"nc {HOST} {port_of(server)} </dev/null >/dev/null & sleep 0")
        guest.run(f"until [ $({received}) -gt {before + MIB} ]; do sleep 0.1; done")
        (keeper,) = children(guest.pid, "bantam-keeper")
        (helper,) = children(keeper, "bantam-net")
        os.kill(helper, signal.SIGKILL)
        guest.run(f"until ping -c 1 -W 1 {HOST}; do sleep 0.1; done")
        assert children(keeper, "bantam-net") != [helper]
        guest.run("killall nc; nc -ll -p 22 -e cat & sleep 0")
        guest.run("ip addr flush dev eth0")
        ask_dhcp(guest)
        assert f"inet {ADDRESS}/24" in guest.run("ip addr show eth0")
        services.start(provide, server, 1, 2)
        get = f"nc {HOST} {port_of(server)} </dev/null | md5sum"
        assert guest.run(get, timeout=TRANSFER).split()[0] == md5(stream(1, 2))
        wait_until(lambda: serves_forward(port), BOOT)


def test_driver_comes_and_goes(start: Start, services: Services) -> None:
    """Unloaded, loaded, down and up; and no interface is left with what it had asked for."""
    server = services.listen()
    guest = start("host-loopback")
    for change in ("rmmod virtio_net; modprobe virtio_net", "ip link set eth0 down"):
        guest.run(change)
        guest.run("ip addr flush dev eth0")
        ask_dhcp(guest)
        sum_there = services.start(receive, server)
        guest.run(f"echo here | nc {HOST} {port_of(server)}")
        assert sum_there.result(BOOT) == md5(iter([b"here\n"]))


def test_several_cards(vm: Callable[..., Guest], services: Services) -> None:
    """Each has a network of its own, and an address of its own that stays the same."""
    addresses = []
    for _ in range(2):
        guest = vm("-a", NET_MODULES, "--name", "many", *("-n", "user") * 3).shell()
        macs = guest.run("cat /sys/class/net/eth*/address").split()
        assert len(set(macs)) == 3 and all(mac.startswith("02:") for mac in macs)
        addresses.append(macs)
        for index in range(3):
            guest.run(f"ip link set eth{index} up; ip addr add {ADDRESS}/24 dev eth{index}")
            assert " 0% packet loss" in guest.run(f"ping -c 1 -I eth{index} {HOST}")
            guest.run(f"ip addr flush dev eth{index}")
        guest.send(b"poweroff -f\n")
        assert guest.status() == 0
    assert addresses[0] == addresses[1]
