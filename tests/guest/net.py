# SPDX-License-Identifier: BSD-2-Clause
"""Shared by the tests of networks: what the guest types, and what the host has to answer it."""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from guest import Guest

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
# doubled or out of order shows. A guest makes one of a file, much faster than random numbers.

PIECE = 2 * MIB


def stream(seed: int, pieces: int) -> Iterator[bytes]:
    data = random.Random(seed).randbytes(PIECE)
    for index in range(pieces):
        yield f"{index}\n".encode() + data


def sha256(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def make_stream(guest: Guest) -> None:
    """From now on `pieces N` writes a stream of N pieces."""
    guest.run(f"head -c {PIECE} /dev/urandom >/tmp/piece")
    guest.run("pieces() { for i in $(seq 0 $(($1 - 1))); do echo $i; cat /tmp/piece; done; }")


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
        return sha256(iter(lambda: client.recv(MIB), b""))


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
