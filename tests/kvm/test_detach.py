# SPDX-License-Identifier: BSD-2-Clause
"""`bantam run --detach`, `bantam logs`, and starts without a terminal or a service manager."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_control import listed, until, up, verb
from tiny import HOST, LIMIT, OK, USAGE, Bantam, may_look

END = b"\x04"
NO_VM = 7


@pytest.fixture(autouse=True)
def no_survivors(bantam: Bantam) -> Iterator[None]:
    """A detached VM outlives a test that fails, unless somebody ends it."""
    yield
    for name in listed(bantam):
        bantam.command("stop", "--force", name)


def detach(bantam: Bantam, name: str = "echo.long", *options: str, **popen: object) -> str:
    run = bantam.run(name, "--detach", *options, **popen)
    assert (run.returncode, run.stderr) == (OK, b"")
    return run.stdout.decode().removesuffix("\n")


def log_file(name: str) -> Path:
    return Path(os.environ["XDG_RUNTIME_DIR"]) / "bantam" / f"{name}.log"


def gone(pid: int) -> bool:
    """A zombie counts as there."""
    return not Path(f"/proc/{pid}").exists()


def test_life(bantam: Bantam) -> None:
    """Started, used by its console, ended, and its messages read after that."""
    assert detach(bantam, "echo.long", "--name", "web") == "web"
    status = listed(bantam)["web"]
    assert status["state"] == "running"
    pid = status["pid"]
    assert os.getsid(pid) == pid != os.getsid(0)
    run = bantam.command("console", "web", input=b"hello" + END)
    assert (run.returncode, run.stdout) == (OK, b"ready\nhello" + END)
    until(lambda: gone(pid) or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z", "ended")
    assert verb(bantam, "logs", "web") == "bantam: web: the guest powered off\n"
    assert verb(bantam, "logs", "--follow", "web") == "bantam: web: the guest powered off\n"
    assert log_file("web").stat().st_mode & 0o777 == 0o600
    # The next VM of that name has messages of its own.
    with bantam.start("echo.long", "--name", "web") as guest:
        up(bantam, "web")
        assert verb(bantam, "logs", "web") == ""
        assert not log_file("web").exists()
        guest.send(END)
        assert guest.status() == OK
    assert bantam.command("logs", "web").returncode == NO_VM


def test_messages_of_the_start(bantam: Bantam) -> None:
    """What the caller was told is in the VM's log, too."""
    run = bantam.run("echo.long", "--detach", "--name", "web", "-v")
    told = run.stderr.decode()
    assert (run.returncode, run.stdout) == (OK, b"web\n"), told
    assert "bantam: web: debug: " in told
    assert verb(bantam, "logs", "web").startswith(told)


def test_made_up_name(bantam: Bantam) -> None:
    name = detach(bantam)
    assert name.startswith("vm")
    assert listed(bantam)[name]["pid"]


def test_a_name_that_cannot_be_printed(bantam: Bantam) -> None:
    """Then there is no VM, either."""
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            bantam.argv("echo.long", "--detach", "--name", "web"),
            stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=LIMIT,
            check=False,
        )  # fmt: skip
    assert (run.returncode, run.stderr) == (
        HOST, b"bantam: standard output cannot be written\n",
    )  # fmt: skip
    assert listed(bantam) == {}


def test_nothing_of_the_callers_is_kept(bantam: Bantam) -> None:
    """A CI job ends when all its pipes are closed."""
    read, write = os.pipe()
    read_err, write_err = os.pipe()
    extra = os.dup(write)
    try:
        with subprocess.Popen(
            bantam.argv("echo.long", "-D", "--name", "web"),
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=write_err,
            pass_fds=(extra,),
        ) as process:
            for fd in (write, write_err, extra):
                os.close(fd)
            assert process.wait(LIMIT) == OK
        assert os.read(read, 100) == b"web\n"
        assert os.read(read, 1) == b"" == os.read(read_err, 1)
    finally:
        os.close(read)
        os.close(read_err)
    pid = listed(bantam)["web"]["pid"]
    may_look(pid)
    links = {int(fd.name): os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    assert links[0] == links[1] == "/dev/null"
    assert links[2] == str(log_file("web"))
    assert extra not in links or "pipe" not in links[extra]


def test_descriptor_that_an_option_names(bantam: Bantam, tmp_path: Path) -> None:
    """It is there for as long as it takes to open it."""
    path = tmp_path / "disk"
    path.write_bytes(bytes(4096))
    fd = os.open(path, os.O_RDWR)
    try:
        detach(bantam, "echo.long", "-d", f"/dev/fd/{fd}", "--name", "web", pass_fds=(fd,))
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        (["-d", "/no/such/file"], USAGE, "No such file"),
        (["--kvm", "/dev/null"], HOST, "/dev/null"),
        (["--dry-run"], USAGE, "--dry-run starts no VM"),
        (["--no-such-option"], USAGE, "--no-such-option"),
    ],
)
def test_what_went_wrong(
    bantam: Bantam, options: list[str], status: int, text: str
) -> None:
    run = bantam.run("echo.long", "--detach", "--name", "web", *options)
    assert (run.returncode, run.stdout) == (status, b"")
    assert text in run.stderr.decode()
    assert listed(bantam) == {}


def test_name_that_is_taken(bantam: Bantam) -> None:
    detach(bantam, "echo.long", "--name", "web")
    run = bantam.run("echo.long", "--detach", "--name", "web")
    assert run.returncode == USAGE and b"is running" in run.stderr
    assert listed(bantam)["web"]["state"] == "running"
    assert log_file("web").exists()


def test_nowhere_to_be_reached(bantam: Bantam, tmp_path: Path) -> None:
    """Nobody would ever hear of it again."""
    path = tmp_path / "file"
    path.write_text("")
    run = bantam.run("echo.long", "-D", env={"XDG_RUNTIME_DIR": str(path)})
    assert run.returncode == HOST and b"reach" in run.stderr


def test_guest_sees_a_terminal(bantam: Bantam) -> None:
    """More than anybody reads does not hold it up: it ends although its console is not read."""
    detach(bantam, "flood.long", "--name", "web")
    until(lambda: listed(bantam) == {}, "all is printed")
    assert "powered off" in verb(bantam, "logs", "web")


def test_logs_are_followed(bantam: Bantam) -> None:
    """Of a detached VM and of another, until it ends."""
    for start in ("detached", "here"):
        if start == "detached":
            detach(bantam, "ends.protected", "--name", "web", "--on-reboot", "restart")
        else:
            guest = bantam.start("ends.protected", "--name", "web", stdin=subprocess.DEVNULL)
            up(bantam, "web")
        follower = subprocess.Popen(
            [bantam.binary, "logs", "--follow", "web"], stdout=subprocess.PIPE
        )
        verb(bantam, "reset", "web")
        line = b"bantam: web: the guest reboots\n"
        assert os.read(follower.stdout.fileno(), len(line)) == line
        assert line.decode() in verb(bantam, "logs", "web")
        verb(bantam, "stop", "--force", "web")
        assert follower.wait(LIMIT) == OK
        follower.stdout.close()
        if start == "here":
            guest.status()
            guest.__exit__()


def test_log_is_rotated(bantam: Bantam) -> None:
    """At 16 MiB; whoever follows it misses nothing."""
    detach(bantam, "ends.protected", "--name", "web", "--on-reboot", "restart")
    log, older = log_file("web"), log_file("web").with_suffix(".log.1")
    follower = subprocess.Popen(
        [bantam.binary, "logs", "--follow", "web"], stdout=subprocess.PIPE
    )
    # As if it had said all that before
    fill = b"x" * 1023 + b"\n"
    with log.open("ab") as file:
        file.write(16 * 1024 * fill)
    line = b"bantam: web: the guest reboots\n"
    verb(bantam, "reset", "web")
    until(lambda: line in log.read_bytes(), "it is told")
    assert log.stat().st_size < 1024 and older.stat().st_size >= 16 << 20
    whole = older.read_bytes() + log.read_bytes()
    assert whole.count(fill) == 16 * 1024 and whole.count(line) == 1
    assert verb(bantam, "logs", "web").encode() == whole
    seen = b""
    while not seen.endswith(line):
        seen += os.read(follower.stdout.fileno(), 65536)
    assert seen == whole
    verb(bantam, "stop", "--force", "web")
    assert follower.wait(LIMIT) == OK
    follower.stdout.close()
    # The next one has nothing of it.
    detach(bantam, "spin.long", "--name", "web")
    assert "x" not in verb(bantam, "logs", "web")
    assert older.stat().st_size == 0
    verb(bantam, "stop", "--force", "web")


# ---- a service manager --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_notify(bantam: Bantam, tmp_path: Path, kind: str) -> None:
    address = str(tmp_path / "notify") if kind == "path" else f"\0bantam-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(LIMIT)
        env = {**os.environ, "NOTIFY_SOCKET": address.replace("\0", "@")}
        with bantam.start("echo.long", env=env) as guest:
            assert manager.recv(100) == b"READY=1"
            guest.send(END)
            assert manager.recv(100) == b"STOPPING=1"
            assert guest.status() == OK


@pytest.mark.parametrize("address", ["", "@", "/", "/no/such/socket", "vsock:1:2", "x" * 200])
def test_nobody_to_notify(bantam: Bantam, address: str) -> None:
    run = bantam.run("hello.long", env={**os.environ, "NOTIFY_SOCKET": address})
    assert (run.returncode, run.stderr) == (OK, b"")


def test_not_ready_before_it_runs(bantam: Bantam, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        env = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        assert bantam.run("hello.long", "-d", "/no/such/file", env=env).returncode == USAGE
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(100)


# ---- little of a host ---------------------------------------------------------------------------


def test_cron(bantam: Bantam) -> None:
    """No terminal, next to no environment, a directory that is not one's own, input that ends."""
    run = bantam.run(
        "hello.long",
        env={"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"},
        cwd="/",
        start_new_session=True,
    )
    assert (run.returncode, run.stderr) == (OK, b"")


def test_container(bantam: Bantam) -> None:
    """Where it may not write to /run, root's VM runs, and is not reached."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and unshare")
    mount = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o ro none /run && exec "$@"', "sh"]
    popen = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": LIMIT}
    if subprocess.run([*mount, "true"], check=False, **popen).returncode:
        pytest.skip("may not mount")
    argv = bantam.argv("hello.long")
    run = subprocess.run([*mount, *argv], env={"PATH": os.environ["PATH"]}, check=False, **popen)
    assert (run.returncode, run.stderr) == (OK, b"")
    run = subprocess.run([*mount, *argv, "-D"], env={}, check=False, **popen)
    assert run.returncode == HOST and b"nobody could reach this VM" in run.stderr


def test_paused_at_its_end(bantam: Bantam) -> None:
    """Nobody is at a terminal who could press its keys."""
    detach(bantam, "ends.protected", "--on-panic=pause", "--name", "web")
    with subprocess.Popen([bantam.binary, "console", "web"], stdin=subprocess.PIPE) as console:
        console.stdin.write(b"v")
        console.stdin.flush()
        until(lambda: listed(bantam)["web"]["state"] == "paused", "it pauses")
        console.kill()
    log = verb(bantam, "logs", "web")
    assert "`bantam stop web` ends it" in log and "Ctrl-A" not in log
