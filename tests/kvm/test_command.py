# SPDX-License-Identifier: BSD-2-Clause
"""The command line: verbs, usage errors, what can be had without KVM."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tiny import HOST, OK, USAGE, Bantam

VERBS = ["run", "pack", "doctor", "version", "help"]
NO_KVM = ["--kvm", "/nonexistent/kvm"]


def test_version(command: Bantam) -> None:
    result = command.command("version")
    assert re.fullmatch(rb"bantam \d+\.\d+\.\d+\n", result.stdout)
    assert (result.returncode, result.stderr) == (OK, b"")


def test_help(command: Bantam) -> None:
    result = command.command("help")
    assert (result.returncode, result.stderr) == (OK, b"")
    for verb in VERBS:
        assert re.search(rf"^ +{verb}\b", result.stdout.decode(), re.MULTILINE)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb(command: Bantam, verb: str) -> None:
    result = command.command("help", verb)
    assert result.returncode == OK
    assert verb.encode() in result.stdout
    if verb in ("run", "pack", "doctor"):
        assert command.command(verb, "--help").stdout == result.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(command: Bantam, shell: str) -> None:
    result = command.command("completion", shell)
    assert result.returncode == OK
    assert b"on-reboot" in result.stdout


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("", "run"),
        ("rnu", "run"),
        ("help nothing", "nothing"),
        ("completion", "shell"),
        ("run --memroy 1G", "--memory"),
        ("run -m", "-m"),
        ("run -m lots k", "lots"),
        ("run -m 1M k", "16M"),
        ("run -c 0 k", "0"),
        ("run -c 255 k", "254"),
        ("run --mode long k", "--flat"),
        ("run --mode virtual --flat f", "virtual"),
        ("run --flat f -i initrd", "initrd"),
        ("run --on-panic dance k", "dance"),
        ("run --serial telnet k", "telnet"),
        ("run --serial stdio --serial stdio k", "stdio"),
        ("run --name a/b k", "a/b"),
        ("run --cpu host,-nonesuch k", "nonesuch"),
        ("run one two", "two"),
        ("doctor --memory 1G", "--memory"),
        ("run /nonexistent/kernel", "/nonexistent/kernel"),
        ("run --flat /nonexistent/flat", "/nonexistent/flat"),
        ("run --flat / --mode real", "/"),
    ],
)
def test_usage(command: Bantam, line: str, part: str) -> None:
    """Exit status 2, and one line that names what is wrong; all of the help if nothing is said."""
    result = command.command(*line.split())
    assert result.returncode == USAGE
    assert result.stdout == b""
    assert part in result.stderr.decode()
    if line:
        assert re.fullmatch(r"bantam: [^\n]+\n", result.stderr.decode())


@pytest.mark.parametrize("mode", ["real", "protected", "long"])
def test_dry_run(command: Bantam, mode: str) -> None:
    """Shows the machine, and needs no KVM for it."""
    result = command.run(f"hello.{mode}", *NO_KVM, "--dry-run", "-m", "4G", "-c", "3")
    text = result.stdout.decode()
    assert (result.returncode, result.stderr) == (OK, b"")
    assert re.search(r"vCPUs +3\b", text)
    assert re.search(r"0x0-0xbfffffff", text)
    assert re.search(r"0x100000000-0x13fffffff", text)
    assert re.search(rf"entry +{'0x1000' if mode == 'real' else '0x100000'} in {mode} mode", text)
    assert re.search(r"0x03f8-0x03ff +com1", text)
    assert re.search(r"0xe0000000-0xe00fffff", text)


def test_addresses_of_patterns(command: Bantam) -> None:
    """An interface that the kernel numbers is another one each time, unless the VM has a name."""

    def address(*words: str) -> bytes:
        result = command.run("hello.long", *NO_KVM, "--dry-run", *words)
        found = re.search(rb"02(:[0-9a-f]{2}){5}", result.stdout)
        assert found, result
        return found.group()

    pattern, fixed = ("-n", "tap,ifname=x%d"), ("-n", "tap,ifname=x0")
    assert address(*pattern) != address(*pattern)
    assert address(*pattern, "--name", "a") == address(*pattern, "--name", "a")
    assert address(*fixed) == address(*fixed)


def test_dry_run_refuses_as_a_run_does(command: Bantam) -> None:
    result = command.run("hello.long", *NO_KVM, "--dry-run", "-m", "1T", "-c", "255")
    assert result.returncode == USAGE


def test_no_kvm(command: Bantam) -> None:
    result = command.run("hello.long", *NO_KVM)
    assert result.returncode == HOST
    assert re.fullmatch(r"bantam: /nonexistent/kvm: [^\n]+\n", result.stderr.decode())


@pytest.mark.parametrize("device", ["/dev/null", "/dev"])
def test_not_kvm(command: Bantam, device: str) -> None:
    result = command.run("hello.long", "--kvm", device)
    assert result.returncode == HOST
    assert re.fullmatch(rf"bantam: {device}: [^\n]+\n", result.stderr.decode())


def test_doctor_without_kvm(command: Bantam) -> None:
    result = command.command("doctor", *NO_KVM)
    assert result.returncode == HOST
    assert b"/nonexistent/kvm" in result.stdout
    assert b"nested: this host is " in result.stdout
    assert b"sandbox: seccomp" in result.stdout
    assert b"This host cannot run guests." in result.stdout


@pytest.mark.parametrize("mode, hint", [(0o060, b"usermod -aG kvm"), (0o000, b"chmod 660")])
def test_doctor_denied(command: Bantam, tmp_path: Path, mode: int, hint: bytes) -> None:
    """What helps depends on who may open the device; the host's own host has no part in it."""
    device = tmp_path / "kvm"
    device.touch()
    device.chmod(mode)
    argv = [command.binary, "doctor", "--kvm", str(device)]
    if os.geteuid() == 0:
        argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--", *argv]
    result = subprocess.run(argv, capture_output=True, check=False)
    assert result.returncode == HOST
    assert b"kvm: permission denied; " in result.stdout and hint in result.stdout
    assert b"its own host has to" not in result.stdout


def test_doctor(bantam: Bantam) -> None:
    """Whatever this host is like, what is said and the exit status agree."""
    result = bantam.command("doctor")
    text = result.stdout.decode()
    assert result.stderr == b""
    assert re.search(r"ok +/dev/kvm opens", text)
    assert re.search(r"(ok|no) +kernel code: ", text)
    assert len(re.findall(r"^ +-- +nested: (this host|guests can)", text, re.MULTILINE)) == 1
    assert re.search(r"(ok|no) +speed of kernel code: \d+ million", text)
    good = "This host can boot Linux guests." in text
    assert good == (not re.search(r"^ +no ", text, re.MULTILINE))
    assert result.returncode == (OK if good else HOST)


def test_doctor_verbose(bantam: Bantam) -> None:
    text = bantam.command("doctor", "-v").stdout.decode()
    assert "KVM_CAP_IRQCHIP" in text


def test_name(bantam: Bantam) -> None:
    """It stands in front of messages."""
    result = bantam.run("triple.long", "--name", "web-1")
    assert b"web-1" in result.stderr


def test_verbose(bantam: Bantam) -> None:
    quiet, loud = (bantam.run("hello.long", *options) for options in ([], ["-vv"]))
    assert quiet.stderr == b""
    assert b"halted" in loud.stderr


def test_relative_and_odd_paths(bantam: Bantam, tmp_path: Path) -> None:
    """A name with an @ that is no address, and one with blanks."""
    for name in ("guest@home", "a guest"):
        path = tmp_path / name
        path.write_bytes(bantam.path("hello.real").read_bytes())
        result = bantam.command("run", "--flat", name, cwd=tmp_path)
        assert result.stdout == b"real mode: 2 + 2 = 4\n"
