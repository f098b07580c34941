# SPDX-License-Identifier: BSD-2-Clause
"""What TCP costs between a guest and its host, in instructions (netload.c). Runs in level 1 of the
lab, on one CPU where an instruction is a nanosecond: what threads of the host's kernel do is in it.

Every measurement has a guest of its own; one that is spoilt (guests.py) is done again.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

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


def words(net: tuple[str, str], test: str) -> str:
    where = ",".join([*net, PORT])
    return f"{WORDS} {REPEATABLE} {NO_TESTS} bench.net={where} bench.netload={test}"


def in_bantam(net: tuple[str, str], test: str, card: str) -> list[str]:
    return bantam(LINUX, words(net, test)) + ["-n", card]


def in_qemu(net: tuple[str, str], test: str, card: str) -> list[str]:
    argv = qemu(LINUX, words(net, test), transport="pci")
    return argv + ["-netdev", f"{card},id=n", "-device", "virtio-net-pci,netdev=n,romfile="]


def tap_in_bantam(vhost: str) -> str:
    return f"tap,ifname=tap0,vhost={vhost}"


def tap_in_qemu(vhost: str) -> str:
    return f"tap,ifname=tap0,script=no,downscript=no,vhost={vhost}"


VMMS = {
    "bantam, tap": (in_bantam, TAP, tap_in_bantam("off")),
    "QEMU microvm, tap": (in_qemu, TAP, tap_in_qemu("off")),
    "bantam, vhost": (in_bantam, TAP, tap_in_bantam("on")),
    "QEMU microvm, vhost": (in_qemu, TAP, tap_in_qemu("on")),
    "bantam, user": (in_bantam, USER, "user,host-loopback"),
    "bantam in process, user": (in_bantam, USER, "user,host-loopback,apart=off"),
    "QEMU microvm, user": (in_qemu, USER, "user"),
}


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


def measure(address: str, argv: list[str]) -> int:
    """Nanoseconds per MiB, or per round trip."""
    with server(address), Guest(argv) as guest:
        guest.wait(b"Power down")
        console = guest.seen.decode(errors="replace")
    found = re.search(r"RESULT \w+ (\d+)", console)
    if not found:
        raise Spoilt(f"the load did not come to its end: {console[-300:]!r}")
    return int(found[1])


def make_tap() -> None:
    subprocess.run(["modprobe", "--all", "tun", "vhost_net"], check=True)
    for command in ("tuntap add tap0 mode tap", f"address add {TAP[1]}/24 dev tap0",
                    "link set tap0 up"):
        subprocess.run(["ip", *command.split()], check=True)


def main() -> None:
    figures = Figures("net")
    make_tap()
    for vmm, (make, net, card) in VMMS.items():
        address = TAP[1] if net is TAP else "127.0.0.1"
        for test in TESTS:
            argv = make(net, test, card)
            once = partial(measure, address, argv)
            ns = again_if_spoilt(f"{vmm} {test}", once)
            figures.add(ns, vmm=vmm, test=test.split(",")[0])


if __name__ == "__main__":
    main()
