"""Options of the whole test run."""

from __future__ import annotations

import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the golden files and tests/golden/kernels.lock from what is generated now",
    )


@pytest.fixture
def update_golden(request) -> bool:
    """Whether golden files are to be rewritten rather than compared."""
    return request.config.getoption("--update-golden")
