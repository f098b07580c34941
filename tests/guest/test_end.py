# SPDX-License-Identifier: BSD-2-Clause
"""How a guest's end comes out: exit statuses, restarts, and what is left of the terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from guest import BOOT, QUIET, Guest, job, slow

POWEROFF, HOST, USAGE, REBOOT, PANIC, QUIT = 0, 1, 2, 3, 4, 6

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.mark.parametrize("linux", ["linux-13", "linux-12-i386", slow("linux-12")])
def test_poweroff(vm: Callable[..., Guest], linux: str) -> None:
    guest = vm("-c", "2", linux=linux).shell()
    guest.send(b"poweroff\n")
    assert guest.status() == POWEROFF


@pytest.mark.parametrize("linux", ["linux-12", "linux-12-i386", slow("linux-13")])
def test_reboot(vm: Callable[..., Guest], linux: str) -> None:
    """The same process boots the guest again, from the beginning."""
    guest = vm("-c", "2", linux=linux).shell()
    boot_id = guest.run("cat /proc/sys/kernel/random/boot_id")
    guest.send(b"reboot -f\n")
    guest.shell()
    assert guest.run("cat /proc/sys/kernel/random/boot_id") != boot_id
    assert guest.run("cat /sys/devices/system/cpu/online").strip() == "0-1"
    guest.send(b"poweroff -f\n")
    assert guest.status() == POWEROFF


@pytest.mark.slow
@pytest.mark.parametrize("linux", ["linux-12", "linux-12-i386"])
def test_reboots_from_user_space_are_no_loop(vm: Callable[..., Guest], linux: str) -> None:
    guest = vm("-c", "2", "-a", job("reboot -f"), linux=linux)
    for _ in range(8):
        guest.expect(rb"reboot: Restarting system", timeout=BOOT)


@pytest.mark.parametrize("words", ["panic=1 reboot=k,warm", "panic=-1 reboot=a,panic_cold"])
def test_boot_loop(bantam_run: Run, linux12: list[str], words: str) -> None:
    """No root, and words by which the panic looks like any reboot: five times is enough."""
    result = bantam_run(*linux12[:2], "-a", f"nowatchdog root=/dev/nowhere {words}", timeout=900)
    assert result.returncode == PANIC
    assert result.stdout.count(b"Kernel panic - not syncing: VFS: Unable to mount root") == 5
    assert result.stderr.count(b"got to user space") == 1


@pytest.mark.parametrize("cpus", ["1", slow("3")])
def test_poweroff_without_acpi(vm: Callable[..., Guest], cpus: str) -> None:
    guest = vm("-c", cpus, "-a", "acpi=off").shell()
    guest.send(b"poweroff -f\n")
    guest.expect(rb"System halted")
    assert guest.status() == POWEROFF


@pytest.mark.parametrize("linux", ["linux-13", slow("linux-12-i386")])
def test_halt(vm: Callable[..., Guest], linux: str) -> None:
    guest = vm("-c", "2", linux=linux).shell()
    guest.send(b"halt -f\n")
    guest.expect(rb"System halted")
    assert guest.status() == POWEROFF


@pytest.mark.parametrize("how", ["acpi", "kbd", "pci"])
def test_reboot_exit(vm: Callable[..., Guest], how: str) -> None:
    """By the ACPI reset register, the keyboard controller and port 0xCF9."""
    guest = vm("--on-reboot", "exit", "-a", f"reboot={how}").shell()
    guest.send(b"reboot -f\n")
    assert guest.status() == REBOOT


def test_reboot_by_triple_fault(vm: Callable[..., Guest]) -> None:
    guest = vm("-a", "reboot=triple").shell()
    guest.send(b"reboot -f\n")
    assert guest.status() == PANIC


@pytest.mark.slow
def test_many_reboots_leak_nothing(vm: Callable[..., Guest]) -> None:
    guest = vm("-c", "2", "-m", "256M", "-a", job("reboot -f"))
    files, threads = [], []
    for _ in range(12):
        guest.expect(rb"reboot: Restarting system", timeout=BOOT)
        # between two boots some of them may be gone already
        files.append(len(os.listdir(f"/proc/{guest.pid}/fd")))
        threads.append(len(os.listdir(f"/proc/{guest.pid}/task")))
    assert max(files[6:]) <= max(files[:6]), files
    assert max(threads[6:]) <= max(threads[:6]), threads


def test_panic_told_by_pvpanic(vm: Callable[..., Guest]) -> None:
    guest = vm("-a", "panic=0").shell()
    assert "pvpanic_mmio" in guest.run("lsmod")
    guest.send(b"echo c >/proc/sysrq-trigger\n")
    guest.expect(rb"Kernel panic")
    assert guest.status() == PANIC


def test_panic_without_pvpanic(vm: Callable[..., Guest]) -> None:
    """The default words make the kernel reboot, and say that it is for a panic."""
    guest = vm("-c", "2").shell()
    guest.run("rmmod pvpanic-mmio")
    guest.send(b"echo c >/proc/sysrq-trigger\n")
    guest.expect(rb"Kernel panic")
    assert guest.status() == PANIC


@pytest.mark.parametrize("words", ["panic=1", "reboot=k panic=1"])
def test_panic_with_words_of_the_user(vm: Callable[..., Guest], words: str) -> None:
    """However long a panic waits and however the kernel reboots: it is told from a reboot."""
    guest = vm("-c", "2", "--on-reboot", "exit", "-a", words).shell()
    guest.run("rmmod pvpanic-mmio")
    guest.send(b"echo c >/proc/sysrq-trigger\n")
    guest.expect(rb"Kernel panic")
    assert guest.status() == PANIC


def test_reboot_with_words_of_the_user(vm: Callable[..., Guest]) -> None:
    guest = vm("--on-reboot", "exit", "-a", "reboot=k panic=1").shell()
    guest.send(b"reboot -f\n")
    assert guest.status() == REBOOT


def test_rescue_shell(vm: Callable[..., Guest], debian: Path) -> None:
    """Debian's own initramfs that does not find its root gives a shell, and does not reboot."""
    files = ("-k", str(debian / "vmlinuz"), "-i", str(debian / "initramfs"))
    guest = vm(*files, "-m", "512M", "-a", "root=/dev/nowhere rootdelay=1", linux=None)
    end = guest.expect(rb"\(initramfs\) |Rebooting automatically", timeout=2 * BOOT)
    assert end.group() == b"(initramfs) "
    guest.send(b"cat /proc/cmdline\n")
    guest.expect(rb'"panic=-1"')


def test_panic_restart(vm: Callable[..., Guest]) -> None:
    guest = vm("--on-panic", "restart").shell()
    guest.send(b"echo c >/proc/sysrq-trigger\n")
    guest.expect(rb"Kernel panic")
    guest.shell()
    guest.send(b"poweroff -f\n")
    assert guest.status() == POWEROFF


def test_poweroff_restart(vm: Callable[..., Guest]) -> None:
    guest = vm("--on-poweroff", "restart").shell()
    guest.send(b"poweroff -f\n")
    guest.shell()
    guest.escape(b"x")
    assert guest.status() == QUIT


def cpu_time(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("event", ["reboot", "poweroff"])
def test_pause(vm: Callable[..., Guest], event: str) -> None:
    """A paused guest stays, using no CPU, until somebody quits."""
    guest = vm(f"--on-{event}", "pause").shell()
    guest.send(event.encode() + b" -f\n")
    guest.expect(rb"reboot: |Restarting|Power down|pause", timeout=BOOT)
    time.sleep(2)
    assert guest.child.isalive()
    spent = cpu_time(guest.pid)
    time.sleep(2)
    assert cpu_time(guest.pid) - spent < 0.2
    guest.escape(b"x")
    assert guest.status() == QUIT


@pytest.mark.parametrize("number", [signal.SIGTERM, slow(signal.SIGINT), slow(signal.SIGHUP)])
def test_signal(vm: Callable[..., Guest], number: signal.Signals) -> None:
    guest = vm("-c", "2").shell()
    os.kill(guest.pid, number)
    assert guest.status() == 128 + number


@pytest.mark.slow
def test_stopped_for_long(vm: Callable[..., Guest]) -> None:
    """A busy guest whose process stood still is told, and takes it for no lockup."""
    guest = vm("-c", "2", "-a", "softlockup_panic=1 watchdog_thresh=4").shell()
    guest.run("for i in 0 1; do (while :; do :; done) & done")
    for _ in range(2):
        os.kill(guest.pid, signal.SIGSTOP)
        time.sleep(20)  # a soft lockup is twice the threshold
        os.kill(guest.pid, signal.SIGCONT)
        guest.run("sleep 5")
    assert guest.run("dmesg | grep -e 'soft lockup -' -e 'self-detected' -e 'stalls on'") == ""
    guest.send(b"poweroff -f\n")
    assert guest.status() == POWEROFF


def test_job_without_terminal(bantam_run: Run, linux12: list[str]) -> None:
    result = bantam_run(*linux12, "-a", f"{QUIET} " + job("echo marker $((6 * 7))"))
    assert result.returncode == POWEROFF, result.stderr
    assert b"marker 42" in result.stdout


def test_init_dies(bantam_run: Run, linux12: list[str]) -> None:
    """A guest whose first process ends has panicked."""
    result = bantam_run(*linux12, "-a", "rdinit=/bin/nothing init=/bin/nothing")
    assert result.returncode == PANIC
    assert b"Kernel panic" in result.stdout


def test_refused(bantam_run: Run, linux12: list[str]) -> None:
    assert bantam_run("--no-such-option").returncode == USAGE
    assert bantam_run("-k", "/etc/passwd").returncode == USAGE
    assert bantam_run(*linux12, "-c", "100000").returncode == USAGE
    # what is no KVM device is the host's failure
    assert bantam_run(*linux12, "--kvm", "/dev/null").returncode == HOST
