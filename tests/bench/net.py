# SPDX-License-Identifier: BSD-2-Clause
"""What TCP costs between a guest and its host, in instructions (netload.c). Runs in level 1 of the
lab, on one CPU where an instruction is a nanosecond.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from guests import (
    HERE,
    NO_TESTS,
    REPEATABLE,
    WORDS,
    Figures,
    Guest,
    Spoilt,
    again_if_spoilt,
    bantam,
    qemu,
)

LINUX = "linux-12"
PORT = "5001"
TESTS = ("send,64", "recv,64", "echo,2000")

# the guest's address, and the host's as the guest sees it
USER = ("10.0.2.15/24", "10.0.2.2")
TAP = ("10.9.0.2/24", "10.9.0.1")


def words(net: tuple[str, str]) -> str:
    where = ",".join([*net, PORT])
    return f"{WORDS} {REPEATABLE} {NO_TESTS} bench.net={where} bench.netload={':'.join(TESTS)}"


def with_tap(argv: list[str]) -> list[str]:
    device = ["-netdev", "tap,id=n,ifname=tap0,script=no,downscript=no,vhost=off"]
    return argv + device + ["-device", "virtio-net-pci,netdev=n,romfile="]


def with_user(argv: list[str]) -> list[str]:
    return argv + ["-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n,romfile="]


@contextmanager
def server(address: str) -> Iterator[None]:
    with subprocess.Popen(
        [HERE / "netload", "serve", address, PORT], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stdout.readline() == b"serving\n"
        try:
            yield
        finally:
            process.kill()


def in_guest(address: str, argv: list[str]) -> list[tuple[str, int]]:
    """Of each test its name and nanoseconds per MiB, or per round trip."""
    with server(address), Guest(argv) as guest:
        guest.wait(b"Power down")
        console = guest.seen.decode(errors="replace")
    if "DONE" not in console:
        raise Spoilt(f"the load did not come to its end: {console[-300:]!r}")
    return [(op, int(ns)) for op, ns in re.findall(r"RESULT (\w+) (\d+)", console)]


def make_tap() -> None:
    subprocess.run(["modprobe", "tun"], check=True)
    for command in ("tuntap add tap0 mode tap", f"address add {TAP[1]}/24 dev tap0",
                    "link set tap0 up"):
        subprocess.run(["ip", *command.split()], check=True)


def main() -> None:
    figures = Figures("net")
    make_tap()
    guests = {
        "bantam, tap": (TAP, bantam(LINUX, words(TAP)) + ["-n", "tap,ifname=tap0,vhost=off"]),
        "QEMU microvm, tap": (TAP, with_tap(qemu(LINUX, words(TAP), transport="pci"))),
        "bantam, user": (USER, bantam(LINUX, words(USER)) + ["-n", "user,host-loopback"]),
        "QEMU microvm, user": (USER, with_user(qemu(LINUX, words(USER), transport="pci"))),
    }
    for vmm, (net, argv) in guests.items():
        address = TAP[1] if net is TAP else "127.0.0.1"
        got = again_if_spoilt(vmm, lambda address=address, argv=argv: in_guest(address, argv))
        for test, ns in got or []:
            figures.add(ns, vmm=vmm, test=test)


if __name__ == "__main__":
    main()
