# SPDX-License-Identifier: BSD-2-Clause
"""The gdb stub with a tiny guest: gdb itself, and clients without its manners.

The guest (guests/debug.long.S) calls "count" for ever, which increments "counter". Where KVM is
emulated too poorly for Linux (`bantam doctor` says no), int3 and watchpoints are not tried.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

import bzimage
from rsp import RIP, Client, frame
from test_control import listed, until, up, verb
from test_kernel_ends import make_kernel
from tiny import LIMIT, OK, QUIT, USAGE, Bantam, Running

GUEST = "debug.long"


@pytest.fixture(scope="module")
def whole_kvm() -> bool:
    """Whether this KVM can be expected to know int3 and data breakpoints."""
    run = subprocess.run([os.environ["BANTAM"], "doctor"], capture_output=True, check=False)
    return run.returncode == OK


def symbols(bantam: Bantam) -> dict[str, int]:
    run = subprocess.run(
        ["nm", bantam.guests / f"{GUEST}.elf"], capture_output=True, text=True, check=True
    )
    return {name: int(value, 16) for value, _, name in map(str.split, run.stdout.splitlines())}


def start(bantam: Bantam, tmp_path: Path, *options: str, wait: bool = True) -> Running:
    where = f"unix:{tmp_path / 'gdb'}" + (",wait" if wait else "")
    return bantam.start(GUEST, "--name", "dbg", "--gdb", where, *options)


def connect(tmp_path: Path) -> Client:
    return Client(str(tmp_path / "gdb"))


def bare_gdb(*commands: str) -> list[str]:
    if not shutil.which("gdb"):
        pytest.skip("no gdb here")
    words = [word for command in commands for word in ("-ex", command)]
    return ["gdb", "-nx", "-batch", "-ex", "set pagination off", *words]


def gdb_argv(bantam: Bantam, *commands: str) -> list[str]:
    return bare_gdb(f"symbol-file {bantam.guests / GUEST}.elf", *commands)


def gdb(bantam: Bantam, tmp_path: Path, *commands: str) -> str:
    return output(gdb_argv(bantam, f"target remote {tmp_path / 'gdb'}", *commands))


def output(argv: list[str]) -> str:
    run = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2 * LIMIT,
        check=False,
    )
    assert run.returncode == OK, run.stdout
    return run.stdout


def rounds(guest: Running) -> bool:
    """The guest prints a dot now and then."""
    guest.seen = b""
    guest.expect(b".")
    return True


# ---- gdb itself ----


def test_break_and_step(bantam: Bantam, tmp_path: Path) -> None:
    with start(bantam, tmp_path) as guest:
        out = gdb(
            bantam,
            tmp_path,
            "p/x $rip",
            "hbreak count",
            "continue",
            "p *(long *)&counter",
            "continue",
            "p *(long *)&counter",
            "stepi",
            "stepi",
            "stepi",
            "p/x $rip",
            "p $rax",
            "x/i $rip",
            "info registers cr0 efer",
            "delete",
            "detach",
        )
        assert "$1 = 0x100000" in out
        assert out.count("Breakpoint 1, ") == 2
        assert "$2 = 0\n" in out and "$3 = 1\n" in out
        names = symbols(bantam)
        after = {"$4": names["counted"], "$5": 2}
        assert f"$4 = {after['$4']:#x}" in out and "$5 = 2\n" in out, out
        assert re.search(r"counted>?:\s+nop|nop", out)
        assert "[ PE ET NE PG ]" in out and "LME LMA" in out
        assert rounds(guest)


def test_registers_and_memory(bantam: Bantam, tmp_path: Path) -> None:
    with start(bantam, tmp_path) as guest:
        out = gdb(
            bantam,
            tmp_path,
            "hbreak counted",
            "continue",
            "set var *(long *)&counter = 0x100000",
            "set $r15 = 0x1122334455667788",
            "p/x $r15",
            "set $xmm3.v4_int32[1] = 77",
            "p $xmm3.v4_int32",
            "p $st0",
            "p $gs_base = 0x5000",
            "p/x $eflags",
            "continue",
            "p/x *(long *)&counter",
            "p/x $r15",
            "p $xmm3.v4_int32",
            "p/x $gs_base",
            "x/8xb &count",
            "delete",
            "detach",
        )
        assert out.count("0x1122334455667788") == 2
        assert out.count("{0, 77, 0, 0}") == 2
        assert "= 0x100001\n" in out and "= 0x5000\n" in out
        assert rounds(guest)


def test_threads(bantam: Bantam, tmp_path: Path) -> None:
    with start(bantam, tmp_path, "-c", "3") as guest:
        out = gdb(
            bantam,
            tmp_path,
            "info threads",
            "hbreak counted",
            "continue",
            "thread 2",
            "p $eax",
            "stepi",
            "stepi",
            "info threads",
            "delete",
            "detach",
        )
        assert '"vCPU 0"' in out and '"vCPU 2" (waiting for its start)' in out
        assert "Switching to thread 2" in out
        assert rounds(guest)


def test_interrupt(bantam: Bantam, tmp_path: Path) -> None:
    """^C, as a person types it."""
    with start(bantam, tmp_path, "-c", "2", wait=False) as guest:
        guest.expect(b"ready\n")
        up(bantam, "dbg")
        target = f"target remote {tmp_path / 'gdb'}"
        argv = gdb_argv(bantam, target, "shell sleep 1", "continue", "echo over\\n", "detach")
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        until(lambda: state(bantam) == "stopped", "it stops")
        until(lambda: state(bantam) == "running", "it goes on")
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=LIMIT)[0].decode()
        assert "received signal SIGINT" in out and "over" in out, out
        assert rounds(guest)


def test_software_breakpoint_and_watchpoint(
    bantam: Bantam, tmp_path: Path, whole_kvm: bool
) -> None:
    if not whole_kvm:
        pytest.skip("this KVM does not know int3")
    with start(bantam, tmp_path) as guest:
        out = gdb(
            bantam,
            tmp_path,
            "break count",
            "continue",
            "continue",
            "p *(long *)&counter",
            "delete",
            "watch *(long *)&counter",
            "continue",
            "continue",
            "delete",
            "rwatch *(long *)&counter",
            "continue",
            "delete",
            "awatch *(long *)&counter",
            "continue",
            "delete",
            "x/2xb &count",
            "detach",
        )
        assert out.count("Breakpoint 1, ") == 2
        assert "$1 = 1\n" in out
        assert out.count("Hardware watchpoint 2: ") == 3
        assert "Old value = 1\nNew value = 2\n" in out
        assert "Hardware read watchpoint 3: " in out
        assert "Hardware access (read/write) watchpoint 4: " in out
        assert "0xcc" not in out
        assert rounds(guest)


def test_offsets(bantam: Bantam, tmp_path: Path) -> None:
    """A flat program has no slide: gdb leaves its symbols where they are."""
    with start(bantam, tmp_path):
        names = symbols(bantam)
        out = gdb(bantam, tmp_path, "info address count", "monitor info", "monitor help")
        assert f"{names['count']:#x}" in out
        assert "VM dbg" in out and "a flat program" in out
        assert "monitor translate" in out


def test_monitor(bantam: Bantam, tmp_path: Path) -> None:
    """Each command of Documentation/debugging.md."""
    with start(bantam, tmp_path, "-c", "2"):
        with connect(tmp_path) as client:
            said = {line: client.monitor(line) for line in (
                "info", "exits", "regs", "msr 0xc0000080", "msr 0xfffffff0", "msr x", "bus",
                "translate 0x100123", "translate 0xffffffff81000000", "translate", "physical",
                "physical on", "physical off", "nonsense",
            )}  # fmt: skip
            assert "boot 1, 2 vCPUs, 16 MiB" in said["info"]
            assert "vCPU 0:" in said["exits"] and "vCPU 1:" in said["exits"]
            assert "rip 0000000000100000" in said["regs"] and "code at rip:" in said["regs"]
            assert said["msr 0xc0000080"] == "MSR 0xc0000080 is 0x500\n"
            assert "knows no MSR" in said["msr 0xfffffff0"] and "INDEX" in said["msr x"]
            assert re.search("^port 0x3f8-0x3ff com1$", said["bus"], re.MULTILINE)
            assert re.search("PMD at .*\n0x100123 is physical 0x100123", said["translate 0x100123"])
            assert "is not mapped" in said["translate 0xffffffff81000000"]
            assert "translate ADDR" in said["translate"]
            assert "virtual" in said["physical"] and "physical" in said["physical on"]
            assert "virtual" in said["physical off"]
            assert said["nonsense"] == client.monitor("help")
            # Addresses are what they are said to be, for the threads that have no paging, too
            client.monitor("physical on")
            code = client.read(0x100000, 16)
            client.monitor("physical off")
            assert client.read(0x100000, 16) == code
            assert client.ask(b"mffffffff81000000,1") == b"E0e"


def test_verb(bantam: Bantam, tmp_path: Path) -> None:
    if not shutil.which("gdb"):
        pytest.skip("no gdb here")
    with bantam.start(GUEST, "--name", "dbg") as guest:
        up(bantam, "dbg")
        guest.expect(b"ready\n")
        words = ["-ex", "hbreak count", "-ex", "continue", "-ex", "p/x $rip", "-ex", "detach"]
        elf = str(bantam.guests / f"{GUEST}.elf")
        for _ in range(2):
            out = verb(bantam, "gdb", "dbg", "--vmlinux", elf, "--", "-nx", "-batch", *words)
            assert f"= {symbols(bantam)['count']:#x}" in out, out
            assert rounds(guest)
        assert not list(Path(os.environ["XDG_RUNTIME_DIR"]).glob("bantam-gdb-*"))
        run = bantam.command("gdb", "dbg", "--", "-nx", "-batch", "-ex", "quit 7")
        assert run.returncode == 7
        run = bantam.command("gdb", "dbg", "--vmlinux", "/nowhere")
        assert run.returncode == USAGE and b"/nowhere" in run.stderr
        run = bantam.command("gdb", "dbg", env={**os.environ, "PATH": "/nowhere"})
        assert b"is it installed" in run.stderr
        assert rounds(guest)


def test_verb_while_another_is_there(bantam: Bantam, tmp_path: Path) -> None:
    with start(bantam, tmp_path, wait=False):
        up(bantam, "dbg")
        with connect(tmp_path) as client:
            client.ask(b"?")
            run = bantam.command("gdb", "dbg")
            assert b"another debugger" in run.stderr and run.returncode != OK
            with connect(tmp_path) as second:
                assert second.hung_up()
            assert client.ask(b"qC") == b"QC1"


# ---- a kernel that KASLR moves ----

LINKED = 0xFFFFFFFF81000000
KERNEL = """
.globl startup, start_kernel
startup: jmp startup
.data
word: .long 0x81000000
.section .init.text, "ax"
start_kernel: .byte 0x12, 0x34, 0x56, 0x78
"""
LAYOUT = f"""
ENTRY(entry)
entry = startup - {bzimage.MAP:#x};
SECTIONS {{
    . = {LINKED:#x};
    .text : AT({bzimage.PREF:#x}) {{ *(.text) }}
    . = {LINKED + 0x200000:#x};
    .data : AT({bzimage.PREF + 0x200000:#x}) {{ *(.data) }}
    . = {LINKED + 0x402000:#x};
    .init.text : AT({bzimage.PREF + 0x402000:#x}) {{ *(.init.text) }}
    /DISCARD/ : {{ *(.note*) }}
}}
"""


def make_vmlinux(tmp_path: Path) -> Path:
    for name, text in (("kernel.S", KERNEL), ("kernel.ld", LAYOUT)):
        (tmp_path / name).write_text(text)
    for argv in (["cc", "-c", "kernel.S"], ["ld", "-T", "kernel.ld", "-o", "vmlinux", "kernel.o"]):
        subprocess.run(argv, cwd=tmp_path, check=True)
    # The one relocation, of 32 bits, behind the lists of the other kinds
    relocations = struct.pack("<3I", 0, 0, 0x81200000)
    kernel = (tmp_path / "vmlinux").read_bytes() + relocations
    (tmp_path / "bzImage").write_bytes(bzimage.make_bzimage(kernel, "gzip"))
    return tmp_path / "vmlinux"


def moved(client: Client) -> int:
    return int(re.search("moved by (0x[0-9a-f]+)", client.monitor("info"))[1], 16)


def test_symbols_of_a_kernel_that_was_moved(bantam: Bantam, tmp_path: Path) -> None:
    """gdb asks by itself, moves all sections, and sees the image before it is mapped."""
    vmlinux = make_vmlinux(tmp_path)
    where = f"unix:{tmp_path / 'gdb'},wait"
    argv = ["-k", str(tmp_path / "bzImage"), "-m", "512M", "--name", "dbg", "--gdb", where]
    with Running([bantam.binary, "run", *argv], tmp_path) as guest:
        with connect(tmp_path) as client:
            slide = moved(client)
            line = f"symbol-file -o {slide:#x} vmlinux"
            assert line in client.monitor("info") and line in guest.stderr()
            # The same after each reset, as long as somebody knows it
            for boot in range(2, 5):
                client.monitor("reset")
                until(lambda: f"boot {boot}," in client.monitor("info"), "it begins anew")
                assert moved(client) == slide
        shown = ["p/x (long)&start_kernel", "x/4xb &start_kernel", "p/x (long)&word"]
        remote = f"target remote {tmp_path / 'gdb'}"
        for commands in (
            [f"symbol-file {vmlinux}", remote],
            [remote, f"symbol-file -o {slide:#x} {vmlinux}"],
        ):
            out = output(bare_gdb(*commands, *shown))
            assert f"$1 = {LINKED + 0x402000 + slide:#x}\n" in out, out
            assert "0x12\t0x34\t0x56\t0x78" in out
            assert f"$2 = {LINKED + 0x200000 + slide:#x}" in out


# ---- the control plane beside it ----


def state(bantam: Bantam) -> str:
    return listed(bantam)["dbg"]["state"]


def test_pause_beside_gdb(bantam: Bantam, tmp_path: Path) -> None:
    """The guest runs when neither has stopped it."""
    with start(bantam, tmp_path, wait=False) as guest:
        up(bantam, "dbg")
        guest.expect(b"ready\n")
        with connect(tmp_path) as client:
            client.ask(b"?")
            assert state(bantam) == "stopped"
            verb(bantam, "pause", "dbg")
            assert state(bantam) == "paused"
            client.go()
            # It would print without end: what is in the pipe is read, and no more comes.
            assert client.silent(0.3)
            while guest.read(0.1):
                pass
            verb(bantam, "resume", "dbg")
            assert rounds(guest) and state(bantam) == "running"
            verb(bantam, "pause", "dbg")
            client.interrupt()
            verb(bantam, "resume", "dbg")
            assert state(bantam) == "stopped"
            client.register(RIP)
            client.go()
            assert rounds(guest)
        assert rounds(guest)


def test_dump_of_one_that_gdb_has_stopped(bantam: Bantam, tmp_path: Path) -> None:
    with start(bantam, tmp_path) as guest:
        up(bantam, "dbg")
        with connect(tmp_path) as client:
            client.ask(b"?")
            verb(bantam, "dump", "dbg", str(tmp_path / "core"))
            assert state(bantam) == "stopped"
            client.go()
            assert rounds(guest)


def test_reset_keeps_breakpoints(bantam: Bantam, tmp_path: Path) -> None:
    with start(bantam, tmp_path) as guest:
        up(bantam, "dbg")
        counted = symbols(bantam)["counted"]
        with connect(tmp_path) as client:
            point = b"1,%x,1" % counted
            client.ok(b"Z" + point)
            client.go()
            client.stop()
            assert client.number(symbols(bantam)["counter"]) == 1
            client.go_past(point)
            assert client.number(symbols(bantam)["counter"]) == 2
            # By the monitor: it stands still before the first instruction
            assert "first instruction" in client.monitor("reset")
            until(lambda: client.register(RIP) == 0x100000, "it begins anew")
            client.go()
            client.stop()
            assert client.number(symbols(bantam)["counter"]) == 1
            assert client.register(RIP) == counted
            # By the guest's own or a person's: it runs
            client.go_past(point)
            client.ok(b"z" + point)
            client.go()
            guest.expect(b"ready\n")
            verb(bantam, "reset", "dbg")
            guest.expect(b"ready\n")
            client.interrupt()
        assert rounds(guest)


def test_end_is_told(bantam: Bantam, tmp_path: Path) -> None:
    with start(bantam, tmp_path) as guest:
        with connect(tmp_path) as client:
            client.ask(b"?")
            client.go()
            guest.expect(b"ready\n")
            guest.send(b"x")
            assert client.answer() == b"W00"
            assert client.hung_up()
        assert guest.status() == OK
        assert not (tmp_path / "gdb").exists()


def test_kill(bantam: Bantam, tmp_path: Path) -> None:
    with start(bantam, tmp_path) as guest:
        with connect(tmp_path) as client:
            client.ask(b"?")
            client.send(frame(b"k"))
            assert client.hung_up()
        assert guest.status() == QUIT


def test_crash_that_pauses(bantam: Bantam, tmp_path: Path) -> None:
    """A triple fault with --on-panic pause can be looked at."""
    where = f"unix:{tmp_path / 'gdb'},wait"
    options = ["--name", "dbg", "--gdb", where, "--on-panic", "pause"]
    with bantam.start("triple.long", *options) as guest:
        with connect(tmp_path) as client:
            client.ask(b"?")
            client.go()
            assert client.stop().startswith("T06")
            assert client.register(RIP) > 0
            client.go()
            assert client.silent(0.2)
            assert client.interrupt().startswith("T02")
        assert guest.terminate() == -signal.SIGTERM


# ---- clients without manners ----


def test_vanishes(bantam: Bantam, tmp_path: Path) -> None:
    """kill -9 of gdb, in each of its states: the guest runs on, and has no breakpoints."""
    names = symbols(bantam)
    with start(bantam, tmp_path, wait=False) as guest:
        guest.expect(b"ready\n")
        for stopped in (True, False):
            with connect(tmp_path) as client:
                client.ok(b"Z1,%x,1" % names["count"])
                client.go()
                client.stop()
                if not stopped:
                    client.ok(b"z1,%x,1" % names["count"])
                    client.go(b"s:1")
            assert rounds(guest)
        with connect(tmp_path) as client:
            client.send(b"$m1000,")
        assert rounds(guest)


def test_gdb_is_killed(bantam: Bantam, tmp_path: Path) -> None:
    with start(bantam, tmp_path) as guest:
        target = f"target remote {tmp_path / 'gdb'}"
        sign = tmp_path / "stopped"
        shell = f"shell touch {sign}; sleep 60"
        argv = gdb_argv(bantam, target, "hbreak count", "continue", shell)
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, start_new_session=True)
        until(sign.exists, "gdb has stopped the guest", 2 * LIMIT)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=LIMIT)
        assert rounds(guest)


def test_rubbish(bantam: Bantam, tmp_path: Path) -> None:
    rubbish = [
        b"\0" * 100_000,
        b"$" * 100_000,
        b"$" + b"a" * 100_000 + b"#00",
        b"-" * 10_000,
        b"\3" * 10_000,
        b"$g#00" * 1000,
        b"".join(frame(b"m0,ffffffff%x" % i) for i in range(200)),
        frame(b"vCont;s:1") * 100,
        frame(b"Z0,0,0") * 1000,
        frame(b"X100000,4:}"),
        b"GET / HTTP/1.1\r\n\r\n",
    ]
    with start(bantam, tmp_path, wait=False) as guest:
        guest.expect(b"ready\n")
        for data in rubbish:
            with connect(tmp_path) as client:
                try:
                    client.send(data)
                except OSError:
                    pass
            assert rounds(guest), data[:20]


def test_a_client_that_does_not_read(bantam: Bantam, tmp_path: Path) -> None:
    """It gets no more than it takes, and is sent away."""
    with start(bantam, tmp_path, wait=False) as guest:
        guest.expect(b"ready\n")
        with connect(tmp_path) as client:
            client.socket.settimeout(1)
            try:
                for _ in range(2000):
                    client.send(frame(b"qXfer:features:read:target.xml:0,3fff"))
            except (TimeoutError, BrokenPipeError, ConnectionResetError):
                pass
            # Others can reach the VM all the time.
            assert up(bantam, "dbg")["state"] == "running"
        assert rounds(guest)


def test_many_stops(bantam: Bantam, tmp_path: Path) -> None:
    names = symbols(bantam)
    with start(bantam, tmp_path, "-c", "4", wait=False) as guest:
        guest.expect(b"ready\n")
        with connect(tmp_path) as client:
            point = b"1,%x,1" % names["count"]
            client.ok(b"Z" + point)
            client.go()
            client.stop()
            before = client.number(names["counter"])
            for _ in range(100):
                assert "thread:1;" in client.go_past(point)
                assert client.register(RIP) == names["count"]
            assert client.number(names["counter"]) == before + 100
            client.ok(b"z" + point)
            for _ in range(20):
                client.go()
                time.sleep(0.005)
                assert client.interrupt().startswith("T02")
        assert rounds(guest)


def test_guests_own_traps(bantam: Bantam, tmp_path: Path, whole_kvm: bool) -> None:
    """int3 and single steps of the guest reach it, whatever of ours is in use."""
    if not whole_kvm:
        pytest.skip("this KVM does not know int3")
    names = symbols(bantam)
    with start(bantam, tmp_path, wait=False) as guest:
        guest.expect(b"ready\n")
        guest.send(b"i")
        with connect(tmp_path) as client:
            client.ask(b"?")
            points = [b"0,%x,1" % names["late_place"], b"1,%x,1" % names["counted"]]
            for point in points:
                client.ok(b"Z" + point)
            client.go()
            client.stop()
            for _ in range(40):
                client.go_past(points[client.register(RIP) == names["counted"]])
            assert client.read(names["late_place"], 1) == b"\x90"
        assert rounds(guest)
        guest.send(b"x")
        out = guest.rest()
        traps, steps, count = (
            int(re.search(rb"%s ([0-9a-f]{8})" % word, out)[1], 16)
            for word in (b"traps", b"steps", b"rounds")
        )
        assert traps == steps and 0 < traps <= count


def test_questions_to_one_that_never_comes_out(bantam: Bantam, tmp_path: Path) -> None:
    """What needs no vCPU waits for none: a kernel that spins would be waited for without end."""
    kernel = make_kernel(tmp_path / "kernel", b"\xeb\xfe")
    argv = ["-k", kernel, "-m", "16M", "--gdb", f"unix:{tmp_path / 'gdb'}"]
    with Running([bantam.binary, "run", "--name", "dbg", *argv], tmp_path):
        up(bantam, "dbg")
        with connect(tmp_path) as client:
            client.socket.settimeout(LIMIT)
            for question in (b"qOffsets", b"qfThreadInfo", b"qThreadExtraInfo,1", b"qAttached"):
                client.ask(question)
            assert client.ask(b"qXfer:threads:read::0,1000").startswith(b"l<")
            assert state(bantam) == "running"
        run = bantam.command("gdb", "dbg", "--", "-nx", "-batch", "-ex", "p/x $rip")
        assert b"= 0x100000" in run.stdout, run


# ---- options ----


@pytest.mark.parametrize(
    "where",
    ["", "unix:", "tcp:", "tcp:0", "tcp:65536", "tcp:host:1", "tcp:[::1:5", "file:x", "unix:/x,y"],
)
def test_bad_option(command: Bantam, where: str) -> None:
    run = command.run(GUEST, "--gdb", where)
    assert run.returncode == USAGE
    assert run.stderr.count(b"\n") == 1 and b"--gdb" in run.stderr, run.stderr


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_tcp(bantam: Bantam, tmp_path: Path) -> None:
    port = free_port()
    with bantam.start(GUEST, "--gdb", f"tcp:{port},wait") as guest:
        guest.wait_stderr("waits for gdb")
        assert "whoever" not in guest.stderr()
        out = subprocess.run(
            gdb_argv(bantam, f"target remote :{port}", "p/x $rip", "detach"),
            capture_output=True,
            text=True,
            timeout=2 * LIMIT,
            check=True,
        ).stdout
        assert "= 0x100000" in out
        assert rounds(guest)
        taken = bantam.run(GUEST, "--gdb", f"tcp:{port}")
        said = f"bantam: --gdb: TCP port 127.0.0.1:{port}: "
        assert taken.stderr.decode().startswith(said) and taken.returncode == USAGE
    with bantam.start(GUEST, "--gdb", f"tcp:0.0.0.0:{free_port()}") as guest:
        guest.wait_stderr("whoever reaches that address")


def test_socket_is_private(bantam: Bantam, tmp_path: Path) -> None:
    with start(bantam, tmp_path):
        until((tmp_path / "gdb").exists, "it listens")
        assert (tmp_path / "gdb").stat().st_mode & 0o777 == 0o600
        again = bantam.run(GUEST, "--gdb", f"unix:{tmp_path / 'gdb'}")
        assert b"another process listens there" in again.stderr
