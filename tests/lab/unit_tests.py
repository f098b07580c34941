# SPDX-License-Identifier: BSD-2-Clause
"""Runs tests of kvm-unit-tests: unit_tests.py BANTAM DIRECTORY [NAME...]

The directory has unittests.cfg and the .flat files that it names. Each section is a test: smp, -m
and -append become options of ours; -cpu and what else is QEMU's alone is left out, so the CPU is
the host's. The tests ask QEMU's fw_cfg for the number of CPUs and the memory's size unless an
environment tells them, which is the one module of a Multiboot kernel; it also says that QEMU's
test device is not there.

Prints PASS, FAIL, SKIP or TIMEOUT and the test's name for each, what a failed one said, and a
line with their numbers. Exit status 1 where one has failed.
"""

from __future__ import annotations

import collections
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

# The port by which a test ends, and the statuses that come of its exit codes 0 and 77
EXIT_PORT = "0xf4"
PASSED, SKIPPED = 0 << 1 | 1, 77 << 1 | 1
DEFAULT_MIB = 128
# Seconds. An emulated host takes so much longer than what the tests' authors have.
LIMIT, SLOWER = 90, 4


class Test(NamedTuple):
    name: str
    file: str
    cpus: int
    mib: int
    append: str
    limit: int


def value_of(words: list[str], *options: str) -> str:
    """What follows the last of these options, "" for none."""
    found = ""
    for word, following in zip(words, words[1:]):
        if word in options:
            found = following
    return found


def mib(text: str) -> int:
    match = re.fullmatch(r"(\d+)([mMgG]?)", text)
    if not match:
        return DEFAULT_MIB
    return int(match[1]) * (1024 if match[2] in "gG" and match[2] else 1)


def parse(text: str) -> list[Test]:
    """The sections of unittests.cfg that are for 64-bit kernels."""
    tests = []
    for name, body in re.findall(r"^\[(.+)\]\n((?:(?!\[).*\n?)*)", text, re.MULTILINE):
        pairs = re.findall(r"^(\w+) *= *(.*?) *(?:#.*)?$", body, re.MULTILINE)
        keys = collections.defaultdict(str, pairs)
        words = shlex.split(keys["extra_params"] or keys["qemu_params"])
        append = keys["test_args"].strip("'\"") or value_of(words, "-append", "--append")
        if not keys["file"] or keys["arch"] == "i386" or "nodefault" in keys["groups"]:
            continue
        cpus = int(keys["smp"]) if keys["smp"].isdigit() else 1
        limit = int(keys["timeout"]) if keys["timeout"].isdigit() else LIMIT
        size = mib(value_of(words, "-m"))
        tests.append(Test(name, keys["file"], cpus, size, append, limit * SLOWER))
    return tests


def run(bantam: str, directory: Path, test: Test, scratch: Path) -> tuple[str, str]:
    """How it ended, and what was printed."""
    environment = scratch / "environment"
    environment.write_text(f"NR_CPUS={test.cpus}\nMEMSIZE={test.mib}\nTEST_DEVICE=0\n")
    if not (directory / test.file).exists():
        return "SKIP", f"no {test.file}"
    argv = [bantam, "run", "-k", str(directory / test.file), "-i", str(environment)]
    argv += ["-c", str(test.cpus), "-m", f"{test.mib}M", "-a", test.append]
    argv += ["--boot", "multiboot", "--exit-port", EXIT_PORT, "--on-reboot", "exit"]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=test.limit, check=False,
        )
    except subprocess.TimeoutExpired as expired:
        return "TIMEOUT", (expired.stdout or b"").decode(errors="replace")
    said = done.stdout.decode(errors="replace")
    ended = {PASSED: "PASS", SKIPPED: "SKIP"}.get(done.returncode, "FAIL")
    if ended == "PASS" and "the guest ended with status" not in said:
        ended = "FAIL"  # 1 is also what Bantam says of a host that failed
    return ended, f"{said}status {done.returncode}\n"


def main() -> int:
    bantam, directory, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    tests = parse((directory / "unittests.cfg").read_text())
    unknown = set(names) - {test.name for test in tests}
    if unknown:
        print(f"no test is called {' or '.join(sorted(unknown))}")
        return 2
    count: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as scratch:
        for test in tests:
            if names and test.name not in names:
                continue
            ended, said = run(bantam, directory, test, Path(scratch))
            count[ended] += 1
            print(ended, test.name, flush=True)
            if ended in ("FAIL", "TIMEOUT"):
                print("".join(f"  | {line}\n" for line in said.splitlines()[-20:]), end="")
    print(", ".join(f"{number} {what}" for what, number in sorted(count.items())))
    return 1 if count["FAIL"] or count["TIMEOUT"] else 0


if __name__ == "__main__":
    sys.exit(main())
