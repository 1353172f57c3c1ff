"""These suites run when they are asked for by path: `python -m pytest tests/conformance`.

Invariant: without such a path nothing here is collected, and with it a suite whose library is not
installed says so instead of failing.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from . import programs, results

HERE = Path(__file__).resolve().parent
NEEDS = {
    "test_array_api.py": ("array_api_strict",),
    "test_import_swap.py": ("jax",),
    "test_opinfo.py": ("torch", "expecttest"),
    "test_segments.py": ("torch",),
    "test_transformers.py": ("torch", "transformers"),
    "test_transformers_generate.py": ("torch", "transformers"),
    "test_transformers_export.py": ("torch", "transformers"),
    "test_transformers_training.py": ("torch", "transformers"),
}
BY_MODULE = "import swap"  # the suite whose programs are in modules, recorded one by one
_sections = pytest.StashKey[dict]()


def pytest_addoption(parser):
    group = parser.getgroup("conformance")
    group.addoption("--device", action="store_true", help="a sample of each suite on the adapter")
    group.addoption("--record", action="store_true", help="write tests/conformance/results.json")
    group.addoption(
        "--peer",
        action="store_true",
        help="run JAX in the place of tracer: what fails then is a fault of the suite",
    )


def pytest_ignore_collect(collection_path, config):
    if not collection_path.name.startswith("test_"):
        return None
    base = config.invocation_params.dir
    asked = [Path(base, str(a).split("::")[0]).resolve() for a in config.invocation_params.args]
    return None if any(a == HERE or HERE in a.parents for a in asked) else True


def pytest_collection_modifyitems(config, items):
    for item in items:
        for package in NEEDS.get(item.path.name, ()) if item.path.parent == HERE else ():
            if importlib.util.find_spec(package) is None:
                reason = f"{package} is not installed; pip install -e '.[conformance]' brings it"
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def section(request):
    """`section(suite)` is the dict {name: (checks run, failure or None)} of this run."""
    stash = request.config.stash.setdefault(_sections, {})
    return lambda suite: stash.setdefault(suite, {})


@pytest.fixture(scope="session")
def on_device(request) -> bool:
    return request.config.getoption("--device", default=False)


@pytest.fixture(scope="session")
def library(request, on_device):
    """What is tested: tracer on its oracle or on the device, or JAX itself under --peer."""
    if request.config.getoption("--peer", default=False):
        yield pytest.importorskip("jax")
        return
    import tracer

    tracer.use_backend("device" if on_device else "oracle")
    yield tracer
    tracer.use_backend(None)


def pytest_terminal_summary(terminalreporter, config):
    for suite, found in config.stash.get(_sections, {}).items():
        for check, one in results.summary(found).items():
            text = results.report(f"{suite}: {check}", one["run"], one["failures"])
            terminalreporter.write_line(text)


def pytest_sessionfinish(session):
    config = session.config
    if not config.getoption("--record", default=False):
        return
    partial = config.option.keyword or any("::" in str(a) for a in config.invocation_params.args)
    if config.getoption("--device") or config.getoption("--peer"):
        raise pytest.UsageError("--record takes a run on the default backend")
    for suite, found in config.stash.get(_sections, {}).items():
        if suite == BY_MODULE:
            _check_whole(found)
            results.save(suite, results.with_modules(results.load().get(suite, {}), found))
        elif partial:
            raise pytest.UsageError(f"--record takes a complete run of {suite}: no -k and no ::")
        else:
            results.save(suite, results.summary(found))


def _check_whole(found: dict[str, dict]) -> None:
    """A module is recorded only if all of its programs ran."""
    everything = {p.name for p in programs.everything()}
    ran = {results.module_of(name) for name in found}
    missing = {n for n in everything if results.module_of(n) in ran} - set(found)
    if missing:
        raise pytest.UsageError(f"--record takes whole modules; {min(missing)} did not run")
