# SPDX-License-Identifier: BSD-2-Clause
"""Shared by the tests of networks: what the guest types, and what the host has to answer it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from guest import Guest, rss

# a word for the kernel's command line: the drivers, over both transports
NET_MODULES = "bantam.modules=virtio_pci,virtio_mmio,virtio_net"
MIB = 1 << 20

# What user networking is made of, as the guest sees it
HOST, NAME_SERVER, ADDRESS, GATEWAY = "10.0.2.2", "10.0.2.3", "10.0.2.15", "10.0.2.2"
HOST6 = "fec0::2"

# Limits in seconds for a transfer in the lab
TRANSFER = 600

DHCP_SCRIPT = """cat >/tmp/dhcp <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev $interface
ip route add default via $router
echo nameserver $dns >/etc/resolv.conf
END"""


def ask_dhcp(guest: Guest) -> None:
    guest.run("ip link set lo up; ip link set eth0 up")
    guest.run(DHCP_SCRIPT)
    guest.run("chmod +x /tmp/dhcp")
    said = guest.run("udhcpc -i eth0 -n -q -s /tmp/dhcp 2>&1; echo status $?")
    assert "status 0" in said, said


def set_address(guest: Guest, address: str) -> None:
    guest.run(f"ip link set lo up; ip link set eth0 up; ip addr add {address} dev eth0")


# ---- data ------------------------------------------------------------------------------------
# Streams are the same few MiB over and over, each time behind another number, so that what is lost,
# doubled or out of order shows. A guest makes one of a file, much faster than random numbers. Their
# checksum is MD5, as SHA-256 takes busybox five times as long: minutes, for 256 MB in the lab.

PIECE = 2 * MIB


def stream(seed: int, pieces: int) -> Iterator[bytes]:
    data = random.Random(seed).randbytes(PIECE)
    for index in range(pieces):
        yield f"{index}\n".encode() + data


def md5(chunks: Iterator[bytes]) -> str:
    digest = hashlib.md5()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def make_stream(guest: Guest) -> None:
    """From now on `pieces N` writes a stream of N pieces."""
    guest.run(f"head -c {PIECE} /dev/urandom >/tmp/piece")
    guest.run("pieces() { for i in $(seq 0 $(($1 - 1))); do echo $i; cat /tmp/piece; done; }")


# ---- more than a guest takes -----------------------------------------------------------------


def wait_until(condition: Callable[[], bool], limit: float) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def flood(
    services: Services, sender: socket.socket, where: tuple[str, int]
) -> Iterator[None]:
    """Datagrams, as fast as they go, until the end."""
    done = threading.Event()

    def send() -> None:
        with sender:
            while not done.is_set():
                sender.sendto(bytes(1400), where)

    work = services.start(send)
    try:
        yield
    finally:
        done.set()
        work.result(TRANSFER)


def children(pid: int, name: str) -> list[int]:
    """Of that name, as ps shows them."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(child) for child in path.read_text().split()]
    return [child for child in found if Path(f"/proc/{child}/comm").read_text().strip() == name]


def memory(guest: Guest) -> int:
    """Bytes of Bantam's own, beside the guest's. For guests of 256 MiB."""
    return rss(guest.pid, 256 * MIB)[1]


def watch_memory(guest: Guest, limit: int, seconds: int) -> None:
    for _ in range(seconds):
        time.sleep(1)
        assert memory(guest) < limit


# ---- iperf3: Debian's own, on both sides ------------------------------------------------------

IPERF_BYTES = 32 * MIB
IPERF_DATAGRAMS = 4 * MIB
IPERF_PORT = 5201


def iperf_disk(debian: Path) -> tuple[str, ...]:
    """Options for a guest in which iperf3 is to run: the disk of the Debian guest."""
    return "-d", f"{debian / 'disk.img'},ro"


@contextlib.contextmanager
def iperf_server(address: str, prefix: tuple[str, ...] = ()) -> Iterator[None]:
    words = ["iperf3", "-s", "-B", address, "-p", str(IPERF_PORT), "--forceflush"]
    with subprocess.Popen([*prefix, *words], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout and "---" in server.stdout.readline()
            assert "Server listening" in server.stdout.readline()
            # or it would wait for a reader
            threading.Thread(target=server.stdout.read, daemon=True).start()
            yield
        finally:
            server.kill()


def iperf(guest: Guest, server: str) -> None:
    """TCP, and datagrams, to the server and from there: they come to their end without an error."""
    guest.run("modprobe virtio_blk; mkdir /m; mount -t ext4 -o ro /dev/vda /m")
    guest.run("for dir in proc sys dev; do mount --bind /$dir /m/$dir; done")
    guest.run("mount -t tmpfs tmpfs /m/tmp")
    for way in ("", "--reverse"):
        end = iperf_run(guest, f"-c {server} {way} -n {IPERF_BYTES}")
        assert end["sum_sent"]["bytes"] >= IPERF_BYTES, end
        # what is still under way at the end is not counted
        assert IPERF_BYTES * 3 // 4 < end["sum_received"]["bytes"] <= end["sum_sent"]["bytes"], end
    for way in ("", "--reverse"):
        end = iperf_run(guest, f"-c {server} {way} -u -b 10M -n {IPERF_DATAGRAMS}")
        assert end["sum"]["bytes"] >= IPERF_DATAGRAMS, end
        assert end["sum"]["lost_packets"] < end["sum"]["packets"] // 2, end


def iperf_run(guest: Guest, words: str) -> dict[str, Any]:
    command = f"chroot /m iperf3 -J -i 0 -p {IPERF_PORT} {words} >/tmp/said; echo status $?"
    status = guest.run(command, timeout=TRANSFER)
    said = guest.run("cat /tmp/said")
    assert status == "status 0\n", said
    result = json.loads(said)
    assert "error" not in result, said
    return result["end"]


# ---- services of the host --------------------------------------------------------------------


class Services:
    """Sockets and threads that are there until the end of a test."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.stack = stack
        self.pool = ThreadPoolExecutor(max_workers=16)
        stack.callback(self.pool.shutdown)

    def bind(self, kind: socket.SocketKind, host: str, port: int = 0) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = socket.socket(family, kind)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        # wakes threads that wait for something that did not come
        self.stack.callback(stop, server)
        return server

    def listen(self, host: str = "127.0.0.1", port: int = 0) -> socket.socket:
        server = self.bind(socket.SOCK_STREAM, host, port)
        server.listen(16)
        return server

    def start(self, work: Callable[..., object], *args: object) -> Future[object]:
        return self.pool.submit(work, *args)


def stop(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)
    server.close()


def port_of(server: socket.socket) -> int:
    return server.getsockname()[1]


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return port_of(probe)


def receive(server: socket.socket) -> str:
    """The checksum of what the next client sends."""
    client, _ = server.accept()
    with client:
        return md5(iter(lambda: client.recv(MIB), b""))


def provide(server: socket.socket, seed: int, pieces: int) -> None:
    """Sends a stream to the next client."""
    client, _ = server.accept()
    with client:
        for chunk in stream(seed, pieces):
            client.sendall(chunk)


def echo(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    answer = b""
    while len(answer) < len(data):
        more = connection.recv(len(data) - len(answer))
        if not more:
            break
        answer += more
    return answer


def serve_names(server: socket.socket, names: dict[str, str]) -> None:
    """A name server for A records, until its socket is closed (RFC 1035, 4.1)."""
    while True:
        try:
            query, client = server.recvfrom(512)
        except OSError:
            return
        if not query:
            return
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = struct.unpack_from("!H", query, at + 1)[0]
        address = names.get(".".join(labels)) if kind == 1 else None
        known = ".".join(labels) in names
        answer = query[:2] + struct.pack(
            "!HHHHH", 0x8580 if known else 0x8583, 1, 1 if address else 0, 0, 0
        )
        answer += query[12 : at + 5]
        if address:
            answer += struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(address)
        server.sendto(answer, client)
