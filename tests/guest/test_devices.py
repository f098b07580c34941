# SPDX-License-Identifier: BSD-2-Clause
"""The machine's devices, as a stock kernel's drivers find them."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from guest import Guest, slow


def irq_count(guest: Guest, name: str) -> int:
    line = guest.run(f"grep -w {name} /proc/interrupts").split()
    return sum(int(word) for word in line[1:] if word.isdigit())


def test_clock(vm: Callable[..., Guest]) -> None:
    """The RTC and the system clock set from it tell the host's time."""
    guest = vm("-c", "2").shell()
    assert abs(int(guest.run("date +%s")) - time.time()) < 5
    text = guest.run("cat /sys/class/rtc/rtc0/since_epoch")
    assert abs(int(text) - time.time()) < 5
    assert "rtc_cmos" in guest.run("cat /sys/class/rtc/rtc0/name")


def test_rtc_alarm(vm: Callable[..., Guest]) -> None:
    guest = vm().shell()
    before = irq_count(guest, "rtc0")
    guest.run("echo +2 >/sys/class/rtc/rtc0/wakealarm")
    assert guest.run("cat /sys/class/rtc/rtc0/wakealarm").strip().isdigit()
    guest.run("sleep 4")
    assert irq_count(guest, "rtc0") > before
    # the kernel takes an alarm off the list when it has gone off
    assert guest.run("cat /sys/class/rtc/rtc0/wakealarm").strip() == ""


def test_time_passes_as_outside(vm: Callable[..., Guest]) -> None:
    guest = vm().shell()
    start = time.monotonic()
    inside = float(guest.run("cat /proc/uptime").split()[0])
    guest.run("sleep 3")
    passed = float(guest.run("cat /proc/uptime").split()[0]) - inside
    outside = time.monotonic() - start
    assert 3 <= passed <= outside + 0.1


def test_power_button(vm: Callable[..., Guest]) -> None:
    guest = vm().shell()
    path = "/sys/firmware/acpi/interrupts/ff_pwr_btn"
    assert guest.run(f"cat {path}").split()[0] == "0"
    # no job of the shell's own: its end would interrupt the shell's read, which busybox takes
    # for the end of its input
    guest.run("modprobe evdev; (head -c 24 /dev/input/event0 | xxd -p >/tmp/key &); sleep 1")
    guest.escape(b"p")
    time.sleep(1)
    assert guest.run(f"cat {path}").split()[0] == "1"
    # EV_KEY (1), KEY_POWER (116), pressed (1)
    assert "010074000100" in guest.run("cat /tmp/key").replace("\n", "")


def test_host_bridge(vm: Callable[..., Guest]) -> None:
    guest = vm().shell()
    assert "0000:00:00.0" in guest.run("ls /sys/bus/pci/devices").split()
    assert guest.run("cat /sys/bus/pci/devices/0000:00:00.0/class").strip() == "0x060000"
    # configuration space by ECAM, and one bus only
    assert "MMCONFIG" in guest.run("dmesg | grep -i mmconfig").upper()
    assert guest.run("ls /sys/class/pci_bus").split() == ["0000:00"]


def test_serial_is_a_16550a(vm: Callable[..., Guest]) -> None:
    guest = vm("--serial", "stdio", "--serial", "null").shell()
    ports = guest.run("cat /proc/tty/driver/serial").splitlines()
    found = [line for line in ports if "uart:16550A" in line]
    assert [line.split(":")[0] for line in found] == ["0", "1"]
    # output is driven by interrupts, not by the kernel's fall-back timer
    before = irq_count(guest, "ttyS0")
    guest.run("seq 1 1000")
    assert irq_count(guest, "ttyS0") > before


def test_timers(vm: Callable[..., Guest]) -> None:
    """No CPU calibrates against a slow device: the TSC's rate is told, the deadline timer used."""
    guest = vm("-c", "2").shell()
    assert "kvm-clock" in guest.run("cat /sys/devices/system/clocksource/*/available_clocksource")
    assert "tsc_deadline_timer" in guest.run("cat /proc/cpuinfo")


@pytest.mark.parametrize("linux", ["linux-13", slow("linux-12")])
def test_clock_without_kvm(vm: Callable[..., Guest], linux: str) -> None:
    """A kernel without kvm-clock measures the TSC by ACPI's timer, or goes by that."""
    guest = vm("-a", "no-kvmclock", linux=linux).shell()
    clock = "/sys/devices/system/clocksource/clocksource0/"
    assert guest.run(f"cat {clock}current_clocksource").strip() in ("tsc", "acpi_pm")
    available = guest.run(f"cat {clock}available_clocksource").split()
    assert "acpi_pm" in available
    assert "refined-jiffies" not in available
    # five seconds by that clock against as many of the RTC's, which are the host's
    since = "cat /sys/class/rtc/rtc0/since_epoch"
    took = guest.run(f"a=$({since}); sleep 5; b=$({since}); echo $((b - a))")
    assert 4 <= int(took) <= 15


def test_alarm_wakes(vm: Callable[..., Guest]) -> None:
    """The RTC's alarm ends a sleep (S0 idle), in which its interrupt is masked."""
    guest = vm().shell()
    assert "freeze" in guest.run("cat /sys/power/state")
    guest.run("echo +4 > /sys/class/rtc/rtc0/wakealarm")
    guest.run("echo freeze > /sys/power/state", timeout=120)
    assert "PM: suspend exit" in guest.run("dmesg | tail -n 40")
    assert guest.run("cat /sys/class/rtc/rtc0/wakealarm").strip() == ""


def test_firmware_tables(vm: Callable[..., Guest]) -> None:
    """SMBIOS, memory types and processor objects, as Linux takes them."""
    uuid = "c0ffee00-1234-4abc-8def-0123456789ab"
    text = "io.systemd.credential:a=b,c"
    options = ("--uuid", uuid, "--smbios", "serial=S-42", "--smbios", f"oem={text}")
    guest = vm("-c", "3", *options).shell()
    found = guest.run("cd /sys/class/dmi/id; cat sys_vendor product_uuid product_serial; cd")
    assert found.split() == ["Bantam", uuid, "S-42"]
    assert text in guest.run("strings /sys/firmware/dmi/entries/11-0/raw")
    mtrrs = guest.run("cat /proc/mtrr")
    assert re.search(r"base=0x0*c0000000 .* size= *1024MB, .*: uncachable", mtrrs), mtrrs
    assert guest.run("ls -d /sys/bus/acpi/devices/ACPI0007:*").count("ACPI0007") == 3
    complaints = "mtrr|dmi|smbios|firmware bug|acpi.*(error|warning)|processor.*fail"
    said = guest.run(f"dmesg -l warn,err,crit | grep -iE '{complaints}'")
    assert not [line for line in said.splitlines() if line.startswith("[")], said


def test_identity_stays(vm: Callable[..., Guest]) -> None:
    """Without --uuid: the same in each run of a VM, another one for another VM."""
    uuids = []
    for name in ("a", "a", "b"):
        guest = vm("--name", name).shell()
        uuids.append(guest.run("cat /sys/class/dmi/id/product_uuid").strip())
        guest.close()
    assert uuids[0] == uuids[1] != uuids[2]


def test_topology(vm: Callable[..., Guest]) -> None:
    """As many cores as CPUs in one package, each with an APIC id of its own."""
    guest = vm("-c", "4").shell()
    info = guest.run("cat /proc/cpuinfo")
    assert re.findall(r"^apicid\s*: (\d+)", info, re.M) == ["0", "1", "2", "3"]
    assert re.findall(r"^cpu cores\s*: (\d+)", info, re.M) == ["4"] * 4
    assert set(re.findall(r"physical id\s*: (\d+)", info)) == {"0"}


def test_cpu_features(vm: Callable[..., Guest]) -> None:
    flags = vm("--cpu", "host,-sse4_2").shell().run("grep -m 1 flags /proc/cpuinfo").split()
    assert "sse2" in flags
    assert "sse4_2" not in flags


@pytest.mark.parametrize("cpus", [slow("1"), "8"])
def test_acpi_tables_compile(vm: Callable[..., Guest], tmp_path: Path, cpus: str) -> None:
    """Each table, taken apart by iasl, compiles again without a remark, to the same bytes."""
    iasl = shutil.which("iasl")
    if not iasl:
        pytest.skip("no iasl here")
    guest = vm("-c", cpus).shell()
    names = guest.run("cd /sys/firmware/acpi/tables; find . -type f; cd").split()
    assert {"./DSDT", "./FACP", "./APIC", "./MCFG"} <= set(names)
    for name in names:
        table = base64.b64decode(guest.run(f"base64 /sys/firmware/acpi/tables/{name}"))
        path = tmp_path / name[2:].lower()
        path.write_bytes(table)
        assert len(table) == int.from_bytes(table[4:8], "little")
        if not name.endswith("FACS"):
            assert sum(table) % 256 == 0, f"{name}: checksum"
        subprocess.run([iasl, "-d", str(path)], check=True, capture_output=True)
        result = subprocess.run(
            [iasl, f"{path}.dsl"],
            check=False,
            capture_output=True,
            text=True,
        )
        summary = result.stdout + result.stderr
        assert result.returncode == 0, summary
        assert re.search(r"\b0 Errors, 0 Warnings, 0 Remarks", summary), f"{name}: {summary}"
