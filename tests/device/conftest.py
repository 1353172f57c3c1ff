"""Device tests need an adapter; everywhere else the reason is said and they are skipped."""

from __future__ import annotations

import pytest

import runtime


def pytest_collection_modifyitems(items):
    here = [i for i in items if "tests/device" in str(i.path).replace("\\", "/")]
    try:
        runtime.default_device()
    except runtime.NoAdapterError as error:
        for item in here:
            item.add_marker(pytest.mark.skip(reason=str(error)))
    for item in here:
        item.add_marker(pytest.mark.device)
