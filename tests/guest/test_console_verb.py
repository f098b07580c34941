# SPDX-License-Identifier: BSD-2-Clause
"""`bantam console` of a Linux guest in the background: what is missed, and a shell that works."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guest import BOOT, END, PROMPT, QUIET, Guest
from test_debian import LOGIN

Attach = Callable[..., Guest]
Detach = Callable[..., None]


@pytest.fixture
def detach(bantam: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Detach]:
    """`bantam run --detach` of a VM called web."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def detach(*options: object) -> None:
        words = ["run", "--detach", "--name", "web", *map(str, options)]
        # no pipe: it would be waited for as long as the VM had it open
        with (tmp_path / "name").open("w+b") as out:
            subprocess.run(
                [bantam, *words], stdin=subprocess.DEVNULL, stdout=out, timeout=BOOT, check=True
            )
            out.seek(0)
            assert out.read() == b"web\n"

    yield detach
    subprocess.run([bantam, "stop", "--force", "web"], check=False, timeout=END)


@pytest.fixture
def attach(
    bantam: str, tmp_path: Path, detach: Detach, request: pytest.FixtureRequest
) -> Iterator[Attach]:
    """`bantam console web` on a terminal of its own."""
    guests: list[Guest] = []
    request.node.consoles = []

    def attach(*options: str) -> Guest:
        path = tmp_path / f"console-{len(guests)}"
        request.node.consoles.append(path)
        guest = Guest([bantam, "console", *options, "web"], path.open("wb", buffering=0))
        guests.append(guest)
        return guest

    yield attach
    for guest in guests:
        guest.close()


def leave(console: Guest) -> None:
    console.escape(b"d")
    assert console.status() == 0


def test_left_and_taken_up(detach: Detach, attach: Attach, linux12: list[str]) -> None:
    """Nobody was there at the boot, nor while a command wrote: both are shown to who comes."""
    detach(*linux12, "-a", QUIET)
    first = attach().shell()
    first.run("n=1")
    first.begin("n=$((n + 1)); sleep 3; seq 1 300; echo m''issed $n")
    leave(first)
    time.sleep(4)

    second = attach()
    second.expect(rb"\r\n298\r\n299\r\n300\r\nmissed 2\r\n" + PROMPT)
    # The same shell, and it hears what is typed here.
    assert second.run("echo $((n + 1))") == "3\n"
    # Another one looks on: it sees what the first sees, and what it types goes nowhere.
    third = attach("--ro", "--no-history")
    third.expect(rb"lists all keys\r\n")
    third.send(b"echo in''truder\n")
    assert second.run("echo to b''oth") == "to both\n"
    third.expect(rb"^to both\r\n")
    leave(third)

    # A program in the foreground gets ^C, as from any terminal.
    second.run("stty isig")
    second.begin("sleep 1000; echo st''opped")
    time.sleep(1)
    second.send(b"\x03")
    assert "1000" not in second.end()
    second.send(b"poweroff -f\n")
    assert second.status() == 0


@pytest.mark.slow
def test_login(detach: Detach, attach: Attach, debian: Path, disk_dir: Path) -> None:
    """Debian's login prompt, its shell, a way out and back into it, and systemd's farewell."""
    disk = disk_dir / "disk.img"
    subprocess.run(["cp", debian / "disk.img", disk], check=True)
    detach(
        *("-k", debian / "vmlinuz", "-i", debian / "initramfs", "-c", "2", "-m", "768M", "-d", disk)
    )
    first = attach()
    first.login(b"ttyS0", timeout=LOGIN)
    assert first.run("whoami; tty") == "root\n/dev/ttyS0\n"
    first.run("cd /srv")
    leave(first)
    second = attach("--no-history")
    second.expect(rb"lists all keys\r\n")
    assert second.run("pwd") == "/srv\n"
    second.send(b"systemctl poweroff\n")
    assert second.status(timeout=LOGIN) == 0
