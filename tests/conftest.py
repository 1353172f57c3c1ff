"""Options of the whole test run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, Phase, settings

FEW_PROGRAMS = 12
# Of ours, that a process of the test run holds: machine code of a CPU driver takes 2 MiB a kernel,
# and no program of one test file is of use to the next hundred files.
PROGRAMS_KEPT = 128
os.environ.setdefault("PICOTRON_CACHE", "off")  # what a test compiles is not for other processes
# The kernels of GPUs are long, and a newer lavapipe compiles those three to ten times as slowly;
# `./setup` has checked the newer one with the kernels that it gets.
os.environ.setdefault("PICOTRON_DRIVER", "system")


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the golden files and tests/golden/kernels.lock from what is generated now",
    )
    parser.addoption(
        "--programs",
        type=int,
        default=0,
        metavar="N",
        help="try each property of tests/random on N new programs instead of a few fixed ones",
    )


def pytest_configure(config):
    count = config.getoption("--programs")
    settings.register_profile(
        "programs",
        max_examples=count or FEW_PROGRAMS,
        derandomize=not count,
        database=None,
        deadline=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(autouse=True, scope="session")
def few_programs():
    """The cache of compiled programs, shorter than a user's."""
    from tracer import backend

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "EXECUTABLES_KEPT", PROGRAMS_KEPT)
        yield


@contextmanager
def _running_on(name: str) -> Iterator[str]:
    from tracer import use_backend

    use_backend(name)
    yield name
    use_backend(None)


@pytest.fixture
def oracle() -> Iterator[str]:
    """Functions run in numpy."""
    with _running_on("oracle") as name:
        yield name


@pytest.fixture(params=["oracle", "device"])
def backend(request) -> Iterator[str]:
    """Functions run in numpy, and the test once more on the device."""
    with _running_on(request.param) as name:
        yield name


@pytest.fixture
def update_golden(request) -> bool:
    """Whether golden files are to be rewritten rather than compared."""
    return request.config.getoption("--update-golden")
