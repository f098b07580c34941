# SPDX-License-Identifier: BSD-2-Clause
"""Guests on interfaces of the host's, in a bridge, in a network namespace of the test's."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guest import BOOT, Guest, slow
from net import (
    MIB,
    NET_MODULES,
    TRANSFER,
    Services,
    flood,
    iperf,
    iperf_disk,
    iperf_server,
    make_stream,
    md5,
    memory,
    port_of,
    provide,
    receive,
    set_address,
    stream,
    wait_until,
    watch_memory,
)

LAN = "lan"
HERE = "10.9.0.1"
NOBODY = 65534
VHOST = ["off", "on"]

CLONE_NEWNET = 0x40000000
# CSUM, GUEST_CSUM, GUEST_TSO4, GUEST_TSO6, HOST_TSO4, HOST_TSO6, MRG_RXBUF (virtio 1.2, 5.1.3)
LONG_FRAMES = (0, 1, 7, 8, 11, 12, 15)


def ip(*words: str) -> None:
    subprocess.run(["ip", *" ".join(words).split()], check=True)


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Sockets that this thread makes belong to the namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as here, open(
        f"/run/netns/{namespace}", "rb"
    ) as there:
        assert libc.setns(there.fileno(), CLONE_NEWNET) == 0
        try:
            yield
        finally:
            assert libc.setns(here.fileno(), CLONE_NEWNET) == 0


@pytest.fixture
def lan(lab_host: None) -> Iterator[str]:
    """A namespace with a bridge, on which the host is 10.9.0.1."""
    for module in ("tun", "bridge"):
        subprocess.run(["modprobe", module], check=True)
    ip("netns add", LAN)
    ip("-n", LAN, "link set lo up")
    ip("-n", LAN, "link add br0 type bridge")
    ip("-n", LAN, "address add", f"{HERE}/24", "dev br0")
    ip("-n", LAN, "link set br0 up")
    yield LAN
    ip("netns delete", LAN)


@pytest.fixture
def services(lan: str) -> Iterator[Services]:
    with contextlib.ExitStack() as stack:
        yield Services(stack)


@pytest.fixture
def start(vm: Callable[..., Guest], lan: str, tmp_path: Path) -> Callable[..., Guest]:
    """A guest on the bridge: start(2, "queues=4") is 10.9.0.2, by tap2.

    Who moves the frames is said by vhost=: Bantam, or a thread of the host's kernel.
    """
    script = tmp_path / "up"
    script.write_text('#!/bin/sh\nexec ip link set "$1" up master br0\n')
    script.chmod(0o755)

    def start(
        number: int, *words: str, vhost: str = "off", options: tuple[str, ...] = ()
    ) -> Guest:
        if vhost == "on":
            subprocess.run(["modprobe", "vhost_net"], check=True)
        spec = ["tap", f"ifname=tap{number}", f"script={script}", f"vhost={vhost}", *words]
        guest = vm(
            *("-a", NET_MODULES, "-m", "256M", "-n", ",".join(spec), *options),
            prefix=("ip", "netns", "exec", lan),
        ).shell()
        threads = [path.read_text() for path in Path("/proc").glob("[0-9]*/comm")]
        assert (f"vhost-{guest.pid}\n" in threads) == (vhost == "on")
        set_address(guest, f"10.9.0.{number}/24")
        return guest

    return start


# ---- data ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mib,transport,vhost",
    [
        *[(8, "pci", "off"), (8, "pci", "on"), (2, "mmio", "off")],
        *[slow(2, "mmio", "on"), slow(256, "pci", "off"), slow(256, "pci", "on")],
    ],
)
def test_between_guests(
    start: Callable[..., Guest], mib: int, transport: str, vhost: str
) -> None:
    """Through the bridge, with frames that may be as long as TCP likes."""
    options = ("--transport", transport)
    guests = [start(number, vhost=vhost, options=options) for number in (2, 3)]
    for guest in guests:
        make_stream(guest)
        assert guest.run("cat /sys/class/net/eth0/mtu").strip() == "1500"
        features = guest.run("cat /sys/class/net/eth0/device/features")
        assert all(features[bit] == "1" for bit in LONG_FRAMES), features
    assert " 0% packet loss" in guests[0].run("ping -c 3 10.9.0.3")
    for sender, receiver, address in ((0, 1, "10.9.0.3"), (1, 0, "10.9.0.2")):
        # In the foreground: busybox's shell, waiting for input, ends when a job does. Its nc hangs
        # up when its own input ends.
        guests[receiver].run("rm -f /tmp/quiet; mkfifo /tmp/quiet")
        guests[receiver].begin("nc -l -p 5000 <>/tmp/quiet | md5sum")
        send = f"pieces {mib // 2} | nc {address} 5000 2>/dev/null"
        guests[sender].run(f"until {send}; do sleep 0.1; done", timeout=TRANSFER)
        want = guests[sender].run(f"pieces {mib // 2} | md5sum", timeout=TRANSFER)
        assert guests[receiver].end(TRANSFER) == want


def pairs_in_use(guest: Guest) -> int:
    names = guest.run("ls /sys/class/net/eth0/queues").split()
    count = len(names) // 2
    assert sorted(names) == sorted(f"{way}-{n}" for way in ("rx", "tx") for n in range(count))
    return count


def exchange(guest: Guest, services: Services, lan: str, flows: int, pieces: int) -> None:
    """So many flows at once to the host, then as many from there; each arrives whole."""
    with inside(lan):
        servers = [services.listen(HERE) for _ in range(flows)]
    sums = [services.start(receive, server) for server in servers]
    send = " ".join(f"pieces {pieces} | nc {HERE} {port_of(server)} &" for server in servers)
    guest.run(send + " wait", timeout=TRANSFER)
    want = guest.run(f"pieces {pieces} | md5sum").split()[0]
    assert [there.result(TRANSFER) for there in sums] == [want] * flows
    for seed, server in enumerate(servers):
        services.start(provide, server, seed, pieces)
    get = " ".join(
        f"nc {HERE} {port_of(server)} </dev/null | md5sum >/tmp/{n} &"
        for n, server in enumerate(servers)
    )
    guest.run(get + " wait", timeout=TRANSFER)
    for seed in range(flows):
        assert guest.run(f"cat /tmp/{seed}").split()[0] == md5(stream(seed, pieces))


@pytest.mark.parametrize("queues,cpus,vhost", [(2, 4, "off"), (4, 2, "off"), (4, 4, "on")])
def test_queues(
    start: Callable[..., Guest], services: Services, lan: str, queues: int, cpus: int, vhost: str
) -> None:
    """Several flows at once, both ways; a driver uses no more pairs than it has CPUs."""
    guest = start(2, f"queues={queues}", vhost=vhost, options=("-c", str(cpus)))
    make_stream(guest)
    used = min(queues, cpus)
    assert pairs_in_use(guest) == used
    exchange(guest, services, lan, 8, 2)
    lines = guest.run("grep virtio0 /proc/interrupts").splitlines()
    counts = {line.split()[-1]: sum(map(int, line.split()[1 : cpus + 1])) for line in lines}
    inputs = [counts[f"virtio0-input.{n}"] for n in range(used)]
    assert sum(count > 0 for count in inputs) > 1, counts


# What `ethtool -L eth0 combined N` does: SIOCETHTOOL with ETHTOOL_SCHANNELS, in the perl that every
# Debian has.
SET_CHANNELS = """cat >/tmp/channels <<'END'
socket(S, 2, 2, 0) or die "socket: $!";
$channels = pack("L9", 0x3d, (0) x 7, shift);
$request = pack("a16 P x32", "eth0", $channels);
ioctl(S, 0x8946, $request) or die "ioctl: $!";
END"""


@pytest.mark.slow
@pytest.mark.parametrize("vhost", VHOST)
def test_pairs_come_and_go(
    start: Callable[..., Guest], services: Services, lan: str, debian: Path, vhost: str
) -> None:
    """A pair out of use and back again, under the same driver and under its next starts."""
    guest = start(2, "queues=2", vhost=vhost, options=("-c", "2", *iperf_disk(debian)))
    make_stream(guest)
    guest.run("modprobe virtio_blk; mkdir /m; mount -t ext4 -o ro /dev/vda /m")
    guest.run("mount -t tmpfs tmpfs /m/tmp")
    guest.run(SET_CHANNELS)
    guest.run("cp /tmp/channels /m/tmp")
    driver = "/sys/bus/virtio/drivers/virtio_net"
    device = guest.run(f"cd {driver}; ls -d virtio*; cd /").strip()
    exchange(guest, services, lan, 4, 1)
    for again in (True, False):
        assert pairs_in_use(guest) == 2
        for pairs in (1, 2):
            said = guest.run(f"chroot /m perl /tmp/channels {pairs}; echo status $?")
            assert said == "status 0\n"
            assert pairs_in_use(guest) == pairs
            assert " 0% packet loss" in guest.run(f"ping -c 3 {HERE}")
        exchange(guest, services, lan, 4, 1)
        if again:
            guest.run(f"echo {device} >{driver}/unbind; echo {device} >{driver}/bind")
            set_address(guest, "10.9.0.2/24")
    assert "eth0" not in guest.run("dmesg | grep -i 'timed out\\|watchdog\\|bug:'")


@pytest.mark.slow
@pytest.mark.parametrize("vhost", VHOST)
def test_iperf3(start: Callable[..., Guest], lan: str, debian: Path, vhost: str) -> None:
    guest = start(2, vhost=vhost, options=iperf_disk(debian))
    with iperf_server(HERE, prefix=("ip", "netns", "exec", lan)):
        iperf(guest, HERE)


@pytest.mark.slow
@pytest.mark.parametrize("vhost", VHOST)
def test_no_buffers(
    start: Callable[..., Guest], services: Services, lan: str, vhost: str
) -> None:
    """A guest that takes nothing for ten seconds of a flood is there again within one."""

    def frames(what: str) -> int:
        command = ["ip", "-n", lan, "-json", "-statistics", "link", "show", "tap2"]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        return json.loads(said)[0]["stats64"]["tx"][what]

    guest = start(2, vhost=vhost)
    mac = guest.run("cat /sys/class/net/eth0/address").strip()
    ip("-n", lan, "neighbour replace 10.9.0.2 dev br0 lladdr", mac)
    with inside(lan):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with flood(services, sender, ("10.9.0.2", 9)):
        wait_until(lambda: frames("packets") > 1000, BOOT)
        limit = memory(guest) + 2 * MIB
        # it fills what the driver had posted, and no buffer comes after that
        guest.run("ip link set eth0 down; sleep 1")
        taken, dropped = frames("packets"), frames("dropped")
        watch_memory(guest, limit, 10)
        assert frames("packets") == taken and frames("dropped") > dropped + 1000
        guest.run("ip link set eth0 up")
        wait_until(lambda: frames("packets") > taken, 1)
        watch_memory(guest, limit, 1)
    guest.run("ip addr replace 10.9.0.2/24 dev eth0")
    assert " 0% packet loss" in guest.run(f"ping -c 3 {HERE}")


# ---- the cable -------------------------------------------------------------------------------


@pytest.mark.parametrize("vhost", VHOST)
def test_link(start: Callable[..., Guest], lan: str, vhost: str) -> None:
    """Down and up on either side; and pulled for good when the interface is deleted."""
    guest = start(2, vhost=vhost)
    ping = f"ping -c 1 -W 60 {HERE}"
    assert " 0% packet loss" in guest.run(ping)
    ip("-n", lan, "link set tap2 down")
    assert "100% packet loss" in guest.run(f"ping -c 1 -W 1 {HERE}")
    ip("-n", lan, "link set tap2 up")
    assert " 0% packet loss" in guest.run(ping)
    for _ in range(3):
        guest.run("ip link set eth0 down; ip link set eth0 up")
        assert " 0% packet loss" in guest.run(ping)
    assert guest.run("cat /sys/class/net/eth0/carrier").strip() == "1"
    ip("-n", lan, "link delete tap2")
    # by vhost it is found out when something is sent
    guest.run(f"until [ $(cat /sys/class/net/eth0/carrier) = 0 ]; do ping -c 1 -W 1 {HERE}; done")
    guest.send(b"poweroff -f\n")
    assert guest.status() == 0


@pytest.mark.parametrize("vhost", VHOST)
def test_reboot(start: Callable[..., Guest], vhost: str) -> None:
    """The interface stays, and what the old driver had asked of it does not matter."""
    guest = start(2, "queues=4", vhost=vhost, options=("-c", "2"))
    address = guest.run("cat /sys/class/net/eth0/address")
    assert " 0% packet loss" in guest.run(f"ping -c 3 {HERE}")
    guest.send(b"reboot -f\n")
    guest.shell()
    set_address(guest, "10.9.0.2/24")
    assert guest.run("cat /sys/class/net/eth0/address") == address
    for _ in range(2):
        assert " 0% packet loss" in guest.run(f"ping -c 3 {HERE}")
        guest.run("rmmod virtio_net; modprobe virtio_net")
        set_address(guest, "10.9.0.2/24")


def test_descriptor(vm: Callable[..., Guest], lan: str) -> None:
    """A macvtap that a shell has opened."""
    subprocess.run(["modprobe", "macvtap"], check=True)
    ip("link add veth0 type veth peer name veth1 netns", lan)
    ip("-n", lan, "link set veth1 up master br0")
    ip("link set veth0 up")
    ip("link add link veth0 name mac0 address 02:00:00:00:00:07 type macvtap mode bridge")
    ip("link set mac0 up")
    number = Path("/sys/class/net/mac0/ifindex").read_text(encoding="ascii").strip()
    guest = vm(
        *("-a", NET_MODULES, "-n", "tap,fd=7,mac=02:00:00:00:00:07"),
        prefix=("sh", "-c", f'exec "$@" 7<>/dev/tap{number}', "sh"),
    ).shell()
    set_address(guest, "10.9.0.7/24")
    assert " 0% packet loss" in guest.run(f"ping -c 3 {HERE}")
    guest.close()
    ip("link delete veth0")


# ---- rights ----------------------------------------------------------------------------------


def test_without_rights(
    vm: Callable[..., Guest], bantam: str, linux12: list[str], lan: str
) -> None:
    """Who may not is told what to ask for; and with that it works."""
    nobody = ("ip", "netns", "exec", lan, "setpriv", f"--reuid={NOBODY}", "--clear-groups")

    def refused(*words: str, prefix: tuple[str, ...] = nobody) -> str:
        result = subprocess.run(
            [*prefix, bantam, "run", *linux12, "-n", ",".join(["tap", *words])],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )
        assert result.returncode == 2, result
        return result.stderr

    os.chmod("/dev/kvm", 0o666)
    os.chmod("/dev/net/tun", 0o600)
    assert "/dev/net/tun" in refused() and "readable and writable" in refused()
    os.chmod("/dev/net/tun", 0o666)
    said = refused("ifname=tap9", "vhost=off")
    assert "CAP_NET_ADMIN" in said and "ip tuntap add tap9 mode tap user" in said
    ip("-n", lan, f"tuntap add tap9 mode tap user {NOBODY}")
    ip("-n", lan, "link set tap9 up master br0")
    guest = vm("-a", NET_MODULES, "-n", "tap,ifname=tap9", prefix=nobody)
    guest.expect(b"slower without vhost-net: /dev/vhost-net cannot be opened")
    guest.shell()
    set_address(guest, "10.9.0.9/24")
    assert " 0% packet loss" in guest.run(f"ping -c 3 {HERE}")
    assert "another program uses it" in refused("ifname=tap9")
    guest.close()
    assert "/dev/vhost-net" in refused("ifname=tap9", "vhost=on")
    assert "multi_queue" in refused("ifname=tap9", "queues=2")
    assert "not a tap" in refused("ifname=br0")
    failed = refused("ifname=tap9", "script=/bin/false")
    assert "/bin/false tap9" in failed and "exit status 1" in failed
    ip("-n", lan, "link delete tap9")
    subprocess.run(["modprobe", "-r", "vhost_net", "tun"], check=True)
    assert "modprobe tun" in refused()
