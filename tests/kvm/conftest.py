# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures of the tests with tiny guests. `make kvm` sets what they take from the environment:

BANTAM            the binary
BANTAM_ASAN       the same under AddressSanitizer and UndefinedBehaviorSanitizer
BANTAM_STATIC     the static build; not set where there are no archives for it
BANTAM_GUESTS     the directory with the guests
BANTAM_MALFORMED  the program that makes malformed kernels
BANTAM_DUMP_KERNEL  the program that loads a kernel and writes down what it finds in memory
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tiny import Bantam


def pytest_sessionstart() -> None:
    """A shell starts its background jobs with these ignored, and children would inherit that."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        pytest.skip(f"{name} is not set: run the tests by `make kvm`")
    return value


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the tests unpack does not push what the user has unpacked out of his cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def runtime(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The VMs of tests are not among those that the user sees."""
    os.environ["XDG_RUNTIME_DIR"] = str(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def kvm() -> None:
    """For tests that run a guest."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        pytest.skip(f"/dev/kvm: {error.strerror}")


@pytest.fixture
def command(tmp_path: Path) -> Bantam:
    """The binary, for tests that run no guest."""
    return Bantam(variable("BANTAM"), Path(variable("BANTAM_GUESTS")), tmp_path)


@pytest.fixture
def bantam(kvm: None, command: Bantam) -> Bantam:
    return command


@pytest.fixture
def bantam_asan(kvm: None, tmp_path: Path) -> Bantam:
    return Bantam(variable("BANTAM_ASAN"), Path(variable("BANTAM_GUESTS")), tmp_path)


@pytest.fixture(scope="session")
def malformed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The maker of malformed files, and a directory for them."""
    return variable("BANTAM_MALFORMED"), tmp_path_factory.mktemp("malformed")
