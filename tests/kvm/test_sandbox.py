# SPDX-License-Identifier: BSD-2-Clause
"""What a VM's process has given up by the time its guest runs."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inject import Thread
from test_control import up, verb
from tiny import HOST, OK, USAGE, Bantam, Running

DENIED = 9
NOBODY = pwd.getpwnam("nobody")
AT_FDCWD, O_PATH = -100, 0o10000000
CREATE_VM = 0xAE01

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def layers(bantam: Bantam) -> dict[str, bool]:
    """What this host gives, as the doctor says."""
    lines = bantam.command("doctor").stdout.decode().splitlines()
    found = [line.split(": ") for line in lines if " sandbox: " in line]
    return {parts[1]: parts[0].split()[0] == "ok" for parts in found}


@pytest.fixture
def whole(bantam: Bantam) -> None:
    missing = [name for name, there in layers(bantam).items() if not there]
    if missing:
        pytest.skip(f"this host has no {', '.join(missing)}")


def status(pid: int, tid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/task/{tid}/status").read_text()
    return {key: value.strip() for key, value in (line.split(":", 1) for line in text.splitlines())}


def tasks(pid: int) -> dict[int, str]:
    return {
        int(path.name): (path / "comm").read_text().strip()
        for path in Path(f"/proc/{pid}/task").iterdir()
    }


def has_tun() -> bool:
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError:
        return False
    return os.geteuid() == 0


@pytest.fixture
def guest(bantam: Bantam, tmp_path: Path) -> Iterator[Running]:
    """With a thread of each kind."""
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    devices = ["-d", str(tmp_path / "disk"), "-c", "2"]
    if has_tun():
        devices += ["--net", "tap"]
    with bantam.start("echo.long", "--name", "box", *devices) as running:
        running.expect(b"ready\n")
        up(bantam, "box")
        yield running


@pytest.mark.usefixtures("whole")
def test_every_task(guest: Running) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to look")
    found = tasks(guest.pid)
    assert {"bantam", "disks"} <= set(found.values())
    for tid in found:
        state = status(guest.pid, tid)
        assert (state["Seccomp"], state["NoNewPrivs"]) == ("2", "1"), found[tid]
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(state[kind], 16) == 0, (found[tid], kind)
        mounts = Path(f"/proc/{guest.pid}/task/{tid}/mountinfo").read_text().splitlines()
        assert len(mounts) == 1 and " - tmpfs " in mounts[0] and " ro," in mounts[0]
        assert os.listdir(f"/proc/{guest.pid}/task/{tid}/root") == []
        for kind in ("mnt", "net", "ipc", "uts", "user"):
            link = f"/proc/{{}}/ns/{kind}"
            theirs = os.readlink(link.format(f"{guest.pid}/task/{tid}"))
            assert theirs != os.readlink(link.format("self"))
    # Not dumpable: it is root's, whoever it was.
    assert os.stat(f"/proc/{guest.pid}/mem").st_uid == 0


def address(port: int, host: str = "127.0.0.1") -> bytes:
    return (2).to_bytes(2, "little") + port.to_bytes(2, "big") + socket.inet_aton(host) + bytes(8)


def attempts(pid: int) -> dict[str, tuple[int | bytes, ...]]:
    """Numbers are those of x86-64."""
    fds = {os.readlink(f"/proc/{pid}/fd/{fd}"): int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    kvm = fds.get("/dev/kvm", -1)
    files = ["/root/.ssh/id_rsa", "/etc/passwd", "/etc/shadow", "/proc/self/mem", "/dev/kvm"]
    files += ["/", "..", "../../../etc/passwd", f"/proc/{os.getpid()}/environ", "/dev/mem"]
    made: dict[str, tuple[int | bytes, ...]] = {}
    for path in files:
        made[f"open {path}"] = (257, AT_FDCWD, path.encode(), os.O_RDONLY | os.O_CLOEXEC, 0)
    for fd in range(24):
        made[f"openat {fd}"] = (257, fd, b"../../../../etc/passwd", os.O_RDONLY | os.O_CLOEXEC, 0)
    made |= {
        "open to write": (257, AT_FDCWD, b"/tmp/x", os.O_RDWR | os.O_CREAT, 0o600),
        "open, the old call": (2, b"/etc/passwd", 0, 0),
        "openat2": (437, AT_FDCWD, b"/etc/passwd", 0, 24),
        "open_by_handle_at": (304, AT_FDCWD, 0, 0),
        "creat": (85, b"/tmp/x", 0o600),
        "unlink": (87, b"/etc/passwd"),
        "unlinkat": (263, AT_FDCWD, b"/etc/passwd", 0),
        "rename": (82, b"/etc/passwd", 0),
        "renameat2": (316, AT_FDCWD, b"/etc/passwd", AT_FDCWD, 0, 0),
        "link": (86, b"/etc/passwd", 0),
        "symlink": (88, b"/etc/passwd", 0),
        "mkdir": (83, b"/tmp/x", 0o700),
        "mknod": (133, b"/tmp/x", 0o60600, 0x800),
        "chmod": (90, b"/etc/passwd", 0o666),
        "chown": (92, b"/etc/passwd", 0, 0),
        "truncate": (76, b"/etc/passwd", 0),
        "chdir": (80, b"/"),
        "fchdir": (81, 3),
        "chroot": (161, b"/"),
        "mount": (165, b"none", b"/", 0, 0, 0),
        "umount": (166, b"/", 2),
        "pivot_root": (155, b".", b"."),
        "open_tree": (428, AT_FDCWD, b"/", 1),
        "move_mount": (429, 3, 0, AT_FDCWD, 0, 0),
        "fsopen": (430, b"tmpfs", 0),
        "name_to_handle_at": (303, AT_FDCWD, b"/", 0, 0, 0),
        "socket inet": (41, 2, 1, 0),
        "socket inet6": (41, 10, 1, 0),
        "socket unix": (41, 1, 1, 0),
        "socket netlink": (41, 16, 3, 0),
        "socket packet": (41, 17, 3, 0),
        "socketpair": (53, 1, 1, 0, 0),
        "connect to loopback": (42, 3, address(22), 16),
        "connect outside": (42, 3, address(80, "192.0.2.1"), 16),
        "bind": (49, 3, address(8080, "0.0.0.0"), 16),
        "sendto an address": (44, 3, b"x", 1, 0, 1, 16),
        "execve": (59, b"/bin/sh", 0, 0),
        "execveat": (322, AT_FDCWD, b"/bin/sh", 0, 0, 0),
        "fork": (57,),
        "vfork": (58,),
        "clone, a process": (56, 17, 0, 0, 0, 0),
        "clone, a namespace": (56, 0x10000000 | 17, 0, 0, 0, 0),
        "clone3": (435, 0, 88),
        "unshare": (272, 0x10000000),
        "setns": (308, 3, 0),
        "ptrace": (101, 0x4206, os.getpid(), 0, 0),
        "process_vm_readv": (310, os.getpid(), 0, 0, 0, 0, 0),
        "process_vm_writev": (311, os.getpid(), 0, 0, 0, 0, 0),
        "pidfd_open": (434, os.getpid(), 0),
        "pidfd_getfd": (438, 3, 1, 0),
        "kill of another process": (62, os.getpid(), 0),
        "kill of all": (62, -1, 0),
        "tgkill of another process": (234, os.getpid(), os.getpid(), 0),
        "tkill": (200, os.getpid(), 0),
        "a signal by a file to another process": (72, 3, 8, os.getpid()),
        "which signal": (72, 3, 10, 9),
        "socket of SCTP": (41, 2, 1, 132),
        "a program for a socket": (54, 3, 1, 26, 0, 16),
        "rt_sigqueueinfo": (129, os.getpid(), 0, 0),
        "bpf": (321, 0, 0, 0),
        "perf_event_open": (298, 0, 0, -1, -1, 0),
        "userfaultfd": (323, 0),
        "keyctl": (250, 0, -3, 0),
        "add_key": (248, 0, 0, 0, 0, 0),
        "io_uring_setup": (425, 8, 0),
        "memfd_create": (319, b"x", 0),
        "memfd_secret": (447, 0),
        "mprotect, to be executed": (10, 0x10000, 4096, 5),
        "mmap, to be executed": (9, 0, 4096, 7, 0x22, -1, 0),
        "pkey_mprotect": (329, 0x10000, 4096, 5, 0),
        "personality": (135, 0xFFFFFFFF),
        "setuid": (105, 0),
        "setgid": (106, 0),
        "setgroups": (116, 0, 0),
        "capset": (126, 0, 0),
        "prctl, dumpable": (157, 4, 1, 0, 0, 0),
        "prctl, name of others' memory": (157, 35, 0, 0, 0, 0),
        "prlimit of another process": (302, os.getpid(), 7, 0, 0),
        "setrlimit": (160, 7, 0),
        "sethostname": (170, b"x", 1),
        "reboot": (169, 0, 0, 0, 0),
        "init_module": (175, 0, 0, 0),
        "kexec_load": (246, 0, 0, 0, 0),
        "swapon": (167, b"/x", 0),
        "acct": (163, 0),
        "settimeofday": (164, 0, 0),
        "adjtimex": (159, 0),
        "quotactl": (179, 0, 0, 0, 0),
        "syslog": (103, 3, 0, 0),
        "iopl": (172, 3),
        "ioperm": (173, 0x70, 2, 1),
        "modify_ldt": (154, 0, 0, 0),
        "shmget": (29, 0, 4096, 0o1600),
        "msgget": (68, 0, 0o1600),
        "fanotify_init": (300, 0, 0),
        "inotify_init": (253,),
        "ioctl, into the terminal's input": (16, 0, 0x5412, 0),
        "ioctl, an interface's flags": (16, 3, 0x8914, 0),
        "a new VM": (16, kvm, CREATE_VM, 0),
    }
    return made


def refused(result: int | None) -> bool:
    """No filter, or the file system says so. Nothing else is taken for a no."""
    return result is None or -result in (errno.EACCES, errno.EPERM, errno.ENOSYS, errno.ENOENT)


@as_root
@pytest.mark.skipif(platform.machine() != "x86_64", reason="for x86-64")
@pytest.mark.usefixtures("whole")
def test_attempts(bantam: Bantam, guest: Running) -> None:
    tried = attempts(guest.pid)
    assert len(tried) > 100
    for tid, name in tasks(guest.pid).items():
        if name.startswith(("kvm-", "vhost-")):
            continue
        main = tid == guest.pid
        got_through = []
        with Thread(guest.pid, tid) as thread:
            for what, call in tried.items():
                # The main thread makes one when the guest reboots; its memory is the process's.
                if main and what == "a new VM":
                    continue
                result = thread.call(*call)
                # A descriptor that is no directory is none that leads anywhere.
                harmless = what.startswith("openat ") and result in (-errno.ENOTDIR, -errno.EBADF)
                if not refused(result) and not harmless:
                    got_through.append((what, result))
        assert got_through == [], (name, tid)
    # It lives on, as if nothing had happened.
    guest.send(b"still here\n")
    guest.expect(b"still here")
    verb(bantam, "stop", "--force", "box")


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    try:
        while status(pid, pid)["State"][0] != "Z":
            assert time.monotonic() < deadline, "it is still there"
            time.sleep(0.01)
    except (FileNotFoundError, ProcessLookupError):
        pass


def helper_of(pid: int, other: int = 0) -> int:
    """The process of its user network, once it serves, other than one that is no more."""
    deadline = time.monotonic() + 20
    while True:
        keepers = [child for child in children(pid) if comm(child) == "bantam-keeper"]
        found = [child for keeper in keepers for child in children(keeper) if child != other]
        if found and status(found[0], found[0])["CapEff"].strip("0") == "":
            return found[0]
        assert time.monotonic() < deadline, "no helper"
        time.sleep(0.01)


@as_root
@pytest.mark.skipif(platform.machine() != "x86_64", reason="for x86-64")
@pytest.mark.usefixtures("whole")
def test_network_helper(bantam: Bantam) -> None:
    """It has the host's network, its rings, and nothing else; a denial costs packets."""
    with bantam.start("echo.long", "--name", "box", "--net", "user") as running:
        running.expect(b"ready\n")
        up(bantam, "box")
        pid = helper_of(running.pid)
        assert comm(pid) == "bantam-net" and list(tasks(pid)) == [pid]
        state = status(pid, pid)
        assert (state["Seccomp"], state["NoNewPrivs"]) == ("2", "1")
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(state[kind], 16) == 0, kind
        assert os.listdir(f"/proc/{pid}/root") == []
        assert os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net")
        assert os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
        assert os.stat(f"/proc/{pid}/mem").st_uid == 0
        may = ("socket inet", "connect", "sendto", "a program for a socket")
        got_through = []
        with Thread(pid, pid) as thread:
            for what, call in attempts(pid).items():
                result = None if what.startswith(may) else thread.call(*call)
                if not refused(result):
                    got_through.append((what, result))
            # Without O_NONBLOCK, the VM's next signal could wait for this process.
            assert refused(thread.call(72, 6, 4, os.O_RDWR))
            assert got_through == []
            thread.before.rip -= 2
            thread.before.rax, thread.before.orig_rax = 101, 0xFFFFFFFFFFFFFFFF
        helper_of(running.pid, pid)
        running.send(b"still here\n")
        running.expect(b"still here")
        verb(bantam, "stop", "--force", "box")
    assert "the sandbox denied ptrace(0x" in running.stderr()
    assert "to the net-helper thread" in running.stderr()
    assert "status 9" in running.stderr()


@as_root
@pytest.mark.skipif(platform.machine() != "x86_64", reason="for x86-64")
@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("fd", [4, 9])
def test_helper_hangs_up(bantam: Bantam, fd: int) -> None:
    """Neither keeper nor VM goes on looking at a socket that is at its end."""
    with bantam.start("echo.long", "--name", "box", "--net", "user") as running:
        running.expect(b"ready\n")
        up(bantam, "box")
        pid = helper_of(running.pid)
        # It may be ended before its call returns.
        with contextlib.suppress(AssertionError, OSError), Thread(pid, pid) as thread:
            thread.call(48, fd, 2)
        gone(pid)
        running.send(b"still here\n")
        running.expect(b"still here")
        verb(bantam, "stop", "--force", "box")
    assert running.stderr().count("its process is gone (it has hung up)") == 1


@as_root
@pytest.mark.parametrize("words", [[], ["--user", "nobody"]])
def test_keeper_killed(bantam: Bantam, words: list[str]) -> None:
    """The network's process goes with its keeper, also when it has become somebody else."""
    with bantam.start("echo.long", "--name", "box", "--net", "user", *words) as running:
        running.expect(b"ready\n")
        up(bantam, "box")
        pid = helper_of(running.pid)
        os.kill(int(status(pid, pid)["PPid"]), signal.SIGKILL)
        gone(pid)
        verb(bantam, "stop", "--force", "box")


@as_root
@pytest.mark.skipif(platform.machine() != "x86_64", reason="for x86-64")
@pytest.mark.usefixtures("whole")
def test_denial(bantam: Bantam) -> None:
    """One line with the call's name, and a status of its own."""
    with bantam.start("echo.long", "--name", "box") as running:
        running.expect(b"ready\n")
        with Thread(running.pid, running.pid) as thread:
            thread.before.rip -= 2
            thread.before.rax, thread.before.orig_rax = 101, 0xFFFFFFFFFFFFFFFF
        assert running.status() == DENIED
        assert "the sandbox denied ptrace(0x" in running.stderr()
        assert "to the main thread; please report this line" in running.stderr()
    assert bantam.command("ps", "-q").stdout == b""


def test_signal_of_a_denial(bantam: Bantam) -> None:
    """One that a person sends tells of no system call."""
    with bantam.start("echo.long", "--name", "box") as running:
        running.expect(b"ready\n")
        running.process.send_signal(signal.SIGSYS)
        assert running.status() == 128 + signal.SIGSYS
        assert running.stderr() == ""


def test_off(bantam: Bantam) -> None:
    with bantam.start("echo.long", "--sandbox", "off") as running:
        running.expect(b"ready\n")
        ours = status(os.getpid(), os.getpid())["Seccomp"]
        assert status(running.pid, running.pid)["Seccomp"] == ours
        assert os.readlink(f"/proc/{running.pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")


def test_log(bantam: Bantam) -> None:
    """Filters that deny nothing."""
    with bantam.start("echo.long", "--sandbox", "log", "-v") as running:
        running.expect(b"ready\n")
        assert "nothing is denied" in running.stderr()
        assert status(running.pid, running.pid)["Seccomp"] == "2"
        assert os.readlink(f"/proc/{running.pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")


@pytest.mark.usefixtures("whole")
def test_strict(bantam: Bantam) -> None:
    assert bantam.run("hello.long", "--sandbox", "strict").returncode == OK


@as_root
def test_without_namespaces(bantam: Bantam) -> None:
    """In a chroot nobody gets a user namespace; `on` makes do, strict does not."""
    enter = 'mount --rbind / /mnt && exec chroot /mnt "$@"'
    chroot = ["unshare", "--mount", "sh", "-c", enter, "sh"]
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"]
    if subprocess.run([*chroot, *drop, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no chroot here")
    for how, code in (("on", OK), ("strict", HOST)):
        argv = [*chroot, *drop, *bantam.argv("hello.long", "--sandbox", how)]
        run = subprocess.run(argv, check=False, capture_output=True)
        assert run.returncode == code, run.stderr
        assert b"namespaces" in run.stderr and run.stderr.count(b"\n") == 1, run.stderr


@as_root
@pytest.mark.parametrize("user", ["nobody", f"{NOBODY.pw_uid}:{NOBODY.pw_gid}"])
def test_user(bantam: Bantam, user: str) -> None:
    """Root is somebody else by the time the guest runs, and his socket goes in the end."""
    with bantam.start("echo.long", "--user", user, "--name", "box") as running:
        running.expect(b"ready\n")
        up(bantam, "box")
        for tid in tasks(running.pid):
            state = status(running.pid, tid)
            assert set(state["Uid"].split()) == {str(NOBODY.pw_uid)}
            assert set(state["Gid"].split()) == {str(NOBODY.pw_gid)}
            assert state["Groups"] == ""
        verb(bantam, "stop", "--force", "box")
    assert list(Path(os.environ["XDG_RUNTIME_DIR"], "bantam").glob("*.sock")) == []


def test_user_network_later(bantam: Bantam) -> None:
    """It needs the host's network, which is gone unless somebody has thought of that."""
    with bantam.start("echo.long", "--name", "box") as running:
        running.expect(b"ready\n")
        up(bantam, "box")
        run = bantam.command("net", "add", "box", "user")
        assert run.returncode != OK and b"nothing can be added" in run.stderr
        running.send(b"alive\n")
        running.expect(b"alive")


@pytest.mark.parametrize(
    "words, said",
    [
        (["--user", "no-such-user"], "there is no such user"),
        (["--user", "root"], "that is root"),
        (["--user", "0:1"], "that is root"),
        (["--user", "1000"], "numbers are of the form UID:GID"),
        (["--user", "1000:"], "numbers are of the form UID:GID"),
        (["--user", "1000:1000x"], "numbers are of the form UID:GID"),
        (["--user", "4294967295:1"], "numbers are of the form UID:GID"),
        (["--user", "1:18446744073709551617"], "numbers are of the form UID:GID"),
        (["--user", "nobody", "--sandbox", "off"], "goes with --sandbox on or strict"),
        (["--user", "nobody", "--sandbox", "log"], "goes with --sandbox on or strict"),
        (["--sandbox", "maybe"], "not one of on, strict, log, off"),
    ],
)
def test_usage(bantam: Bantam, words: list[str], said: str) -> None:
    if "root" in said and os.geteuid() != 0:
        pytest.skip("for root")
    run = bantam.run("hello.long", *words)
    assert run.returncode == USAGE and said in run.stderr.decode()


def test_sockets_go(bantam: Bantam, tmp_path: Path) -> None:
    """Those of serial ports, also when the VM is killed."""
    for kill in (False, True):
        path = tmp_path / "com2"
        with bantam.start("echo.long", "--serial", "stdio", "--serial", f"unix:{path}") as running:
            running.expect(b"ready\n")
            assert path.is_socket()
            running.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            running.process.wait()
        deadline = time.monotonic() + 10
        while path.exists():
            assert time.monotonic() < deadline, "the socket is still there"
            time.sleep(0.01)


@as_root
def test_ordinary_user(bantam: Bantam, tmp_path: Path) -> None:
    """The same layers without root."""
    other = ["setpriv", "--reuid", "61235", "--regid", "61235", "--clear-groups"]
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    os.chown(run_dir, 61235, 61235)
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.stat().st_mode & 0o005 != 0o005 and str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    kvm = tmp_path / "kvm"
    os.mknod(kvm, 0o20666, os.stat("/dev/kvm").st_rdev)
    kvm.chmod(0o666)
    argv = [*other, *bantam.argv("echo.long", "--name", "box", "--kvm", str(kvm), "-v")]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(run_dir)}
    if subprocess.run([*other, "test", "-x", bantam.binary], check=False).returncode:
        pytest.skip("the binary is out of that user's reach")
    # Of the numbers both have to be his.
    run = subprocess.run(
        [*argv, "--user", "61235:61236"], env=environment, check=False, capture_output=True,
        stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    assert run.returncode == USAGE and b"take another group" in run.stderr
    with Running(argv, bantam.scratch, env=environment) as running:
        running.expect(b"ready")
        deadline = time.monotonic() + 10
        while not (run_dir / "bantam" / "box.sock").is_socket():
            assert time.monotonic() < deadline
        state = status(running.pid, running.pid)
        assert state["Uid"].split() == ["61235"] * 4
        assert (state["Seccomp"], int(state["CapEff"], 16)) == ("2", 0)
        # Root reaches him, too.
        stop = subprocess.run(
            [bantam.binary, "stop", "--force", "box"], env=environment, check=False,
            capture_output=True,
        )
        assert stop.returncode == 8 or stop.returncode == OK, stop.stderr
    assert not (run_dir / "bantam" / "box.sock").exists()
