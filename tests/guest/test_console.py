# SPDX-License-Identifier: BSD-2-Clause
"""The serial console as a person, a pipe or a script meets it."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from guest import BOOT, COMMAND, END, ESCAPE, PROMPT, QUIET, Guest, job, slow

POWEROFF, QUIT = 0, 6

# Limit for 100 KB through the port, which is some exits to bantam for each byte. On a busy machine
# the lab makes little more than a thousand of them a second.
FLOW = 300

Run = Callable[..., subprocess.CompletedProcess[bytes]]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# ---- what comes out -------------------------------------------------------------------------


def test_text_byte_for_byte(vm: Callable[..., Guest]) -> None:
    guest = vm().shell()
    guest.run("seq 1 2500 >/tmp/text")
    assert guest.run("cat /tmp/text", timeout=FLOW) == "".join(f"{i}\n" for i in range(1, 2501))


def test_binary_byte_for_byte(vm: Callable[..., Guest]) -> None:
    """All byte values, 32 KiB of them, past a tty that changes none."""
    guest = vm().shell()
    guest.run("head -c 32768 /dev/urandom >/tmp/blob")
    want = guest.run("sha256sum </tmp/blob").split()[0]
    guest.send(b"stty -opost; echo be''gin; cat /tmp/blob; echo e''nd; stty opost\n")
    guest.expect(rb"begin\n(.{32768})end\n", timeout=FLOW)
    assert sha256(guest.child.match[1]) == want


def test_base64_of_a_blob(vm: Callable[..., Guest]) -> None:
    guest = vm("-c", "2").shell()
    guest.run("head -c 50000 /dev/urandom >/tmp/blob")
    want = guest.run("sha256sum </tmp/blob").split()[0]
    text = guest.run("base64 /tmp/blob", timeout=FLOW)
    if sha256(base64.b64decode(text)) != want:
        # was it the way here, or the guest's arithmetic?
        again = guest.run("base64 /tmp/blob", timeout=FLOW)
        sums = guest.run("for i in 1 2 3; do sha256sum </tmp/blob; done").split()[::2]
        places = [i for i, (one, two) in enumerate(zip(text, again)) if one != two]
        got = [sha256(base64.b64decode(each)) for each in (text, again)]
        pytest.fail(f"{want}, then {sums} in the guest; {got} here; differ at {places[:20]}")


def test_reader_that_stops(bantam: str, linux12: list[str]) -> None:
    """A guest whose output nobody takes goes on to its end, and is not stored without bound."""
    # more than a pipe holds
    words = f"{QUIET} " + job("head -c 200000 /dev/zero | tr '\\0' x")
    with subprocess.Popen(
        [bantam, "run", *linux12, "-m", "256M", "-a", words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.wait(timeout=BOOT + FLOW) == POWEROFF
        finally:
            process.kill()


# ---- what goes in ---------------------------------------------------------------------------


def pasted_text(size: int) -> bytes:
    """Lines that a tty in its usual mode takes: shorter than its 4096 bytes."""
    rng = random.Random(1)
    return base64.encodebytes(rng.randbytes(size))[:size].rsplit(b"\n", 1)[0] + b"\n"


@pytest.mark.parametrize("cpus", [slow("1"), "2"])
def test_paste_lines(vm: Callable[..., Guest], cpus: str) -> None:
    """100 KB of text at once, into a tty in canonical mode."""
    text = pasted_text(100_000)
    guest = vm("-c", cpus).shell()
    guest.send(b"echo re''ady; cat >/tmp/pasted\n")
    guest.expect(rb"ready\r\n")
    writer = guest.paste(text + b"\x04")
    guest.child.expect_exact(PROMPT, timeout=FLOW)
    writer.join(END)
    assert guest.run("wc -c </tmp/pasted").strip() == str(len(text))
    assert guest.run("sha256sum </tmp/pasted").split()[0] == sha256(text)


@pytest.mark.slow
def test_paste_echoed(vm: Callable[..., Guest]) -> None:
    """The same with the guest's tty echoing each byte, both directions at once."""
    text = pasted_text(100_000)
    guest = vm().shell()
    guest.send(b"stty echo; echo re''ady; cat >/tmp/pasted\n")
    guest.expect(rb"ready\r\n")
    writer = guest.paste(text + b"\x04")
    guest.child.expect_exact(PROMPT, timeout=FLOW)
    writer.join(END)
    echoed = guest.child.before.replace(b"\r\n", b"\n")
    guest.send(b"stty -echo\n")
    guest.child.expect_exact(PROMPT)
    assert guest.run("sha256sum </tmp/pasted").split()[0] == sha256(text)
    assert echoed == text


def test_paste_binary(vm: Callable[..., Guest]) -> None:
    """100 KB of all byte values into a raw tty; the escape character doubled by its `a`."""
    blob = random.Random(2).randbytes(100_000)
    guest = vm().shell()
    guest.send(b"stty raw; echo re''ady; head -c 100000 >/tmp/blob; stty -raw -echo; echo\n")
    guest.expect(rb"ready\n")
    writer = guest.paste(blob.replace(ESCAPE, ESCAPE + b"a"))
    guest.child.expect_exact(PROMPT, timeout=FLOW)
    writer.join(END)
    assert guest.run("sha256sum </tmp/blob").split()[0] == sha256(blob)


def test_interrupt_key_is_the_guests(vm: Callable[..., Guest]) -> None:
    guest = vm().shell()
    guest.send(b"echo re''ady; sleep 1000\n")
    guest.expect(rb"ready\r\n")
    time.sleep(1)
    guest.send(b"\x03")
    guest.child.expect_exact(PROMPT, timeout=COMMAND)
    assert guest.run("echo $?").strip() == "130"


def test_other_keys_are_the_guests(vm: Callable[..., Guest]) -> None:
    """Stop, quit, flow control and end of file mean nothing to bantam."""
    keys = b"\x1a\x1c\x13\x11\x04\x16\x0f\x7f\x00"
    guest = vm().shell()
    guest.send(b"stty raw; echo re''ady; head -c 9 | xxd -p; stty -raw -echo\n")
    guest.expect(rb"ready\n")
    guest.send(keys)
    guest.expect(keys.hex().encode())


# ---- the escape keys ------------------------------------------------------------------------


def test_escape_quits(vm: Callable[..., Guest]) -> None:
    guest = vm("-c", "2").shell()
    guest.escape(b"x")
    assert guest.status() == QUIT


def test_escape_quits_early(vm: Callable[..., Guest]) -> None:
    """Before the guest has said anything, and without a kernel that listens."""
    guest = vm()
    time.sleep(0.5)
    guest.escape(b"x")
    assert guest.status() == QUIT


def test_escape_help(vm: Callable[..., Guest]) -> None:
    guest = vm().shell()
    guest.escape(b"?")
    guest.expect(rb"Ctrl-A x")
    guest.send(b"\n")
    guest.child.expect_exact(PROMPT)
    assert guest.run("echo still here").strip() == "still here"


def test_escape_itself(vm: Callable[..., Guest]) -> None:
    guest = vm().shell()
    guest.send(b"stty raw; echo re''ady; head -c 2 | xxd -p; stty -raw -echo\n")
    guest.expect(rb"ready\n")
    guest.escape(b"a")
    guest.send(b"z")
    guest.expect(rb"017a")


def test_break_is_sysrq(vm: Callable[..., Guest]) -> None:
    guest = vm().shell()
    guest.run("echo 1 >/proc/sys/kernel/sysrq")
    guest.escape(b"b")
    guest.send(b"h")
    guest.expect(rb"sysrq: HELP")
    # and the next key is an ordinary one again
    guest.send(b"\n")
    guest.child.expect_exact(PROMPT)
    assert guest.run("echo h").strip() == "h"


def test_reset_key(vm: Callable[..., Guest]) -> None:
    guest = vm().shell()
    boot_id = guest.run("cat /proc/sys/kernel/random/boot_id")
    guest.escape(b"r")
    guest.shell()
    assert guest.run("cat /proc/sys/kernel/random/boot_id") != boot_id


# ---- the person's terminal ------------------------------------------------------------------


class Terminal:
    """A terminal with a login on it: settings that nobody may leave changed."""

    def __init__(self, argv: list[str]) -> None:
        self.controller, self.tty = os.openpty()
        self.before = termios.tcgetattr(self.tty)
        self.process = subprocess.Popen(
            argv, stdin=self.tty, stdout=self.tty, stderr=self.tty, start_new_session=True
        )
        self.seen = b""

    def wait_for(self, text: bytes, limit: float = BOOT) -> None:
        deadline = time.monotonic() + limit
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen[-2000:]
            self.seen += os.read(self.controller, 65536)

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.tty)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def is_restored(self) -> bool:
        return termios.tcgetattr(self.tty) == self.before

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.controller)
        os.close(self.tty)


@pytest.mark.parametrize(
    "end", ["quit", "TERM", "SEGV", *[slow(end) for end in ("poweroff", "INT", "HUP", "ABRT")]]
)
def test_terminal_restored(bantam: str, linux12: list[str], end: str) -> None:
    terminal = Terminal([bantam, "run", *linux12, "-a", QUIET])
    try:
        terminal.wait_for(PROMPT)
        assert terminal.is_raw()
        if end == "quit":
            os.write(terminal.controller, ESCAPE + b"x")
        elif end == "poweroff":
            os.write(terminal.controller, b"poweroff -f\n")
        else:
            terminal.process.send_signal(signal.Signals[f"SIG{end}"])
        terminal.process.wait(END)
        assert terminal.is_restored()
    finally:
        terminal.close()


def test_suspend_and_resume(bantam: str, linux12: list[str]) -> None:
    """Ctrl-A z under a shell with job control: a usable terminal; `fg` brings the guest back."""
    shell = pexpect.spawn("bash", ["--norc", "--noprofile"], timeout=COMMAND, env=dict(os.environ))
    try:
        shell.sendline(b"PS1='out''side> '; set +o history")
        shell.expect_exact(b"outside> ")
        shell.sendline(shlex.join([bantam, "run", *linux12, "-a", QUIET]).encode())
        shell.expect_exact(PROMPT, timeout=BOOT)
        for _ in range(2):
            shell.send(ESCAPE + b"z")
            shell.expect(rb"Stopped")
            shell.expect_exact(b"outside> ")
            shell.sendline(b"stty -a")
            shell.expect(rb"[ ;]icanon\b")
            shell.expect_exact(b"outside> ")
            shell.sendline(b"fg")
            shell.send(b"echo ba''ck\n")
            shell.expect(rb"back\r\n")
            shell.expect_exact(PROMPT)
        # stopped and continued from outside
        pid = int(subprocess.check_output(["pgrep", "-P", str(shell.pid)]))
        os.kill(pid, signal.SIGTSTP)
        shell.expect(rb"Stopped")
        shell.expect_exact(b"outside> ")
        shell.sendline(b"fg")
        shell.send(b"echo ag''ain\n")
        shell.expect(rb"again\r\n")
        shell.send(ESCAPE + b"x")
        shell.expect_exact(b"outside> ")
        shell.sendline(b"echo status $?")
        shell.expect(rb"status 6\r\n")
    finally:
        shell.close(force=True)


# ---- without a terminal ---------------------------------------------------------------------


@pytest.mark.parametrize("stdin", ["pipe", "closed", slow("empty file"), slow("null")])
def test_stdin_without_person(
    bantam: str, linux12: list[str], tmp_path: Path, stdin: str
) -> None:
    """None of them is a reason to stop, to spin, or to wait."""
    command = [bantam, "run", *linux12, "-a", f"{QUIET} " + job("sleep 2; echo do''ne")]
    if stdin == "closed":
        command = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
    file = tmp_path / "empty"
    file.touch()
    source = {"pipe": subprocess.PIPE, "empty file": file.open("rb")}.get(stdin, subprocess.DEVNULL)
    with subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE) as process:
        try:
            out, _ = process.communicate(timeout=BOOT)
        finally:
            process.kill()
    assert b"done" in out
    assert process.returncode == POWEROFF


def test_dialogue_through_pipes(bantam: str, linux12: list[str]) -> None:
    with subprocess.Popen(
        [bantam, "run", *linux12, "-a", QUIET], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout
        try:
            seen = b""
            while PROMPT not in seen:
                data = os.read(process.stdout.fileno(), 4096)
                assert data, seen
                seen += data
            # through a pipe Ctrl-A is a byte like any other: it goes to the guest
            process.stdin.write(b"stty -echo; echo an''swer; poweroff -f\n")
            process.stdin.close()
            rest = process.stdout.read()
            assert b"answer\r\n" in rest
            assert process.wait(END) == POWEROFF
        finally:
            process.kill()


def test_script_from_a_file(bantam: str, linux12: list[str], tmp_path: Path) -> None:
    """Typed ahead: it waits until the guest has a reader. The kernel empties the port's FIFO when
    it takes it over, so the first line may be lost."""
    script = tmp_path / "script"
    script.write_bytes(b"\n" * 200 + b"echo fr''om file\npoweroff -f\n")
    with script.open("rb") as stdin:
        result = subprocess.run(
            [bantam, "run", *linux12, "-a", QUIET],
            stdin=stdin,
            capture_output=True,
            timeout=BOOT,
            check=False,
        )
    assert b"from file\r\n" in result.stdout
    assert result.returncode == POWEROFF


# ---- more ports -----------------------------------------------------------------------------


def test_serial_file(vm: Callable[..., Guest], tmp_path: Path) -> None:
    paths = [tmp_path / f"port{number}" for number in (2, 3, 4)]
    options = [word for path in paths for word in ("--serial", f"file:{path}")]
    guest = vm("-c", "2", "--serial", "stdio", *options).shell()
    blob = "head -c 20000 /dev/zero | tr '\\0' x"
    for number in (1, 2, 3):
        guest.run(f"stty -F /dev/ttyS{number} raw")
        guest.run(f"(echo port {number}; {blob}) >/dev/ttyS{number}")
    guest.send(b"poweroff -f\n")
    assert guest.status() == POWEROFF
    for number, path in enumerate(paths, 1):
        assert path.read_bytes() == b"port %d\n" % number + b"x" * 20000


def test_serial_unix_and_pty(vm: Callable[..., Guest], tmp_path: Path) -> None:
    path = tmp_path / "port2"
    guest = vm("--serial", "stdio", "--serial", f"unix:{path}", "--serial", "pty")
    name = guest.expect(rb"(/dev/pts/\d+)", timeout=END)[1].decode()
    guest.shell()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(COMMAND)
        client.connect(str(path))
        port = os.open(name, os.O_RDWR | os.O_NOCTTY)
        try:
            for device, read, write in (
                ("ttyS1", lambda: client.recv(4096), client.sendall),
                ("ttyS2", lambda: os.read(port, 4096), lambda data: os.write(port, data)),
            ):
                guest.run(f"stty -F /dev/{device} raw -echo")
                guest.run(f"echo out of {device} >/dev/{device}")
                want = f"out of {device}\n".encode()
                got = b""
                while len(got) < len(want):
                    got += read()
                assert got == want
                guest.send(f"head -n 1 /dev/{device}\n".encode())
                time.sleep(1)
                write(f"into {device}\n".encode())
                guest.expect(re.escape(f"into {device}".encode()))
                guest.child.expect_exact(PROMPT)
        finally:
            os.close(port)


def test_port_to_nowhere(bantam_run: Run, linux12: list[str]) -> None:
    """It takes everything, and the guest does not mind."""
    result = bantam_run(*linux12, "--serial", "null", "-a", job("echo un''seen"))
    assert result.returncode == POWEROFF
    assert b"unseen" not in result.stdout
