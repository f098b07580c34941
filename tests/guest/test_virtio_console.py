# SPDX-License-Identifier: BSD-2-Clause
"""The virtio console and its ports: bytes both ways, window sizes, and how much memory it takes."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from disks import MIB, sparse
from guest import COMMAND, END, ESCAPE, PROMPT, Guest, mappings, rss, slow

POWEROFF, QUIT = 0, 6
RAM = 128 * MIB
MODULES = "bantam.modules=virtio_pci,virtio_mmio,virtio_blk,virtio_console"
# Limit in seconds for much data
FLOW = 300

Start = Callable[..., Guest]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def start(vm: Callable[..., Guest]) -> Start:
    """A guest whose shell is on hvc0."""

    def start(*options: str) -> Guest:
        return vm("--console", "virtio", "-a", MODULES, "-m", str(RAM // MIB), *options).shell()

    return start


# ---- the console ----------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["pci", "mmio"])
def test_shell(start: Start, transport: str) -> None:
    guest = start("--transport", transport, "-c", "2")
    assert guest.run("tty").strip() == "/dev/hvc0"
    assert guest.run("seq 1 800") == "".join(f"{n}\n" for n in range(1, 801))
    assert guest.run("cat /sys/class/tty/console/active").split()[-1] == "hvc0"
    guest.send(b"poweroff -f\n")
    assert guest.status() == POWEROFF


def test_bytes_out(start: Start) -> None:
    """1 MiB of all byte values, past a tty that changes none."""
    guest = start()
    guest.run("head -c 1m /dev/urandom >/tmp/blob")
    want = guest.run("sha256sum </tmp/blob").split()[0]
    guest.send(b"stty -opost; echo be''gin; cat /tmp/blob; echo e''nd; stty opost\n")
    guest.expect(rb"begin\n(.{1048576})end\n", timeout=FLOW)
    assert sha256(guest.child.match[1]) == want


def test_bytes_in(start: Start) -> None:
    """100 KB at once, whole.

    The escape character is doubled by its `a`; and hvc's driver takes Ctrl-O for the SysRq key
    unless it comes twice.
    """
    blob = random.Random(2).randbytes(100_000)
    guest = start()
    guest.send(b"stty raw; echo re''ady; head -c 100000 >/tmp/blob; stty -raw -echo; echo\n")
    guest.expect(rb"ready\n")
    writer = guest.paste(blob.replace(ESCAPE, ESCAPE + b"a").replace(b"\x0f", b"\x0f\x0f"))
    guest.child.expect_exact(PROMPT, timeout=FLOW)
    writer.join(END)
    assert guest.run("sha256sum </tmp/blob").split()[0] == sha256(blob)


def test_lines_in(start: Start) -> None:
    """Into a tty in canonical mode, which echoes each byte by itself."""
    text = b"".join(b"line %d of a long text\n" % n for n in range(200))
    guest = start()
    guest.send(b"stty echo; echo re''ady; cat >/tmp/text\n")
    guest.expect(rb"ready\r\n")
    writer = guest.paste(text + b"\x04")
    guest.child.expect_exact(PROMPT, timeout=FLOW)
    writer.join(END)
    assert guest.child.before.replace(b"\r\n", b"\n") == text
    guest.send(b"stty -echo\n")
    guest.child.expect_exact(PROMPT)
    assert guest.run("sha256sum </tmp/text").split()[0] == sha256(text)


def test_window_size(start: Start) -> None:
    """The guest's tty has the terminal's size, and follows it."""
    guest = start()
    assert guest.run("stty size").strip() == "40 200"
    guest.run("trap 'echo chan''ged' WINCH")
    for rows, cols in ((25, 80), (70, 132)):
        guest.child.setwinsize(rows, cols)
        guest.run(f"until [ \"$(stty size)\" = '{rows} {cols}' ]; do usleep 20000; done")


def test_escape_keys(start: Start) -> None:
    guest = start()
    guest.escape(b"?")
    guest.expect(rb"Ctrl-A x")
    guest.send(b"\n")
    guest.child.expect_exact(PROMPT)
    assert guest.run("echo still here").strip() == "still here"
    guest.escape(b"x")
    assert guest.status() == QUIT


def test_reboot(start: Start) -> None:
    guest = start("--on-reboot", "restart")
    boot_id = guest.run("cat /proc/sys/kernel/random/boot_id")
    guest.send(b"reboot -f\n")
    guest.shell()
    assert guest.run("cat /proc/sys/kernel/random/boot_id") != boot_id


# ---- memory ---------------------------------------------------------------------------------


class Reader:
    """Takes what the guest writes, and keeps only how much it was."""

    def __init__(self, guest: Guest) -> None:
        self.fd = guest.child.child_fd
        self.count = 0

    def until(self, word: bytes, limit: float) -> None:
        deadline = time.monotonic() + limit
        tail = b""
        while not tail.endswith(word):
            assert time.monotonic() < deadline, self.count
            data = os.read(self.fd, 65536)
            self.count += len(data)
            tail = (tail + data)[-len(word) :]


@pytest.mark.parametrize("mib", [4, slow(100)])
def test_much_output(start: Start, mib: int) -> None:
    """It goes through without staying anywhere."""
    guest = start()
    guest.run("stty -opost; tr '\\0' x </dev/zero | head -c 1m >/tmp/blob")
    reader = Reader(guest)
    write = "for n in $(seq %d); do cat /tmp/blob; done; echo do''ne\n"
    guest.send((write % 2).encode())
    reader.until(b"done\nguest# ", FLOW)
    ram, before = rss(guest.pid, RAM)
    guest.send((write % mib).encode())
    reader.until(b"done\nguest# ", 3 * FLOW)
    after = rss(guest.pid, RAM)[1]
    assert reader.count > mib * MIB
    assert abs(after - before) < (ram + before) / 100, (ram, before, after)


def test_input_that_nobody_reads(start: Start) -> None:
    """It stays with its sender."""
    guest = start()
    ram, before = rss(guest.pid, RAM)
    guest.send(b"stty raw; echo re''ady; sleep 1000\n")
    guest.expect(rb"ready\n")
    os.set_blocking(guest.child.child_fd, False)
    written, full = 0, 0
    while full < 20:
        try:
            written += os.write(guest.child.child_fd, bytes(65536))
            full = 0
        except BlockingIOError:
            full += 1
            time.sleep(0.1)
        assert written < MIB
    after = rss(guest.pid, RAM)[1]
    assert after - before < (ram + before) / 100, (ram, before, after)


def test_memory_beside_the_guests(
    start: Start, disk_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a console and two disks that have worked: what bantam itself keeps in memory."""
    specs = [word for name in "ab" for word in ("-d", str(sparse(disk_dir / name, 4 * MIB)))]
    guest = start(*specs)
    for dev in ("vda", "vdb"):
        guest.run(f"dd if=/dev/urandom of=/dev/{dev} bs=64k count=32 oflag=direct 2>/dev/null")
    ram, own = rss(guest.pid, RAM)
    with capsys.disabled():
        print(f"\nresident: guest RAM {ram // 1024} KiB, bantam itself {own // 1024} KiB")
    assert own <= 3 * MIB, mappings(guest.pid)


# ---- ports ----------------------------------------------------------------------------------


def port_of(guest: Guest, name: str) -> str:
    """The device of the port with that name (udev would link to it)."""
    found = guest.run(f"cd /sys/class/virtio-ports; grep -lx {name} */name; cd").strip()
    return "/dev/" + found.split("/", maxsplit=1)[0]


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(COMMAND)
    client.connect(str(path))
    return client


def receive(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = client.recv(count - len(data))
        assert more, data
        data += more
    return data


@pytest.mark.parametrize("transport", ["pci", slow("mmio")])
def test_port_on_a_socket(vm: Callable[..., Guest], tmp_path: Path, transport: str) -> None:
    """Both ways, for one client after the other; without one the guest's end is closed."""
    path = tmp_path / "port"
    options = ["--port", f"org.test.data=unix:{path}", "--port", "org.test.other=null"]
    guest = vm("-a", MODULES, "--transport", transport, *options).shell()
    port = port_of(guest, "org.test.data")
    assert port != port_of(guest, "org.test.other")
    for turn in range(3):
        assert guest.run(f"head -c 1 {port} | wc -c").strip() == "0"
        with connect(path) as client:
            blob = random.Random(turn).randbytes(200_000)
            sender = threading.Thread(target=client.sendall, args=(blob,))
            sender.start()
            guest.run(f"head -c 200000 {port} >/tmp/blob", timeout=FLOW)
            text = guest.run("sha256sum </tmp/blob")
            sender.join(END)
            assert text.split()[0] == sha256(blob)
            guest.send(f"cat /tmp/blob >{port}\n".encode())
            assert receive(client, len(blob)) == blob
            guest.child.expect_exact(PROMPT)


def test_port_in_a_file(vm: Callable[..., Guest], tmp_path: Path) -> None:
    path = tmp_path / "port"
    guest = vm("-a", MODULES, "--port", f"log=file:{path}").shell()
    guest.run(f"seq 1 10000 >{port_of(guest, 'log')}")
    guest.send(b"poweroff -f\n")
    assert guest.status() == POWEROFF
    assert path.read_text() == "".join(f"{n}\n" for n in range(1, 10001))


def test_console_and_ports(start: Start, tmp_path: Path) -> None:
    """The console stays the first one, as drivers expect."""
    paths = {f"port{n}": tmp_path / f"{n}" for n in range(3)}
    guest = start(*(word for name in paths for word in ("--port", f"{name}=file:{paths[name]}")))
    for name in paths:
        guest.run(f"echo for {name} >{port_of(guest, name)}")
    guest.escape(b"x")
    assert guest.status() == QUIT
    for name, path in paths.items():
        assert path.read_text() == f"for {name}\n"
