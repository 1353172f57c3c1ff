"""`picotron doctor`: can this machine train, and if it cannot, which one command cures it.

Invariant: every line that fails names exactly one cure, and the exit code is zero only if a
training run could start. Nothing is changed on the machine unless `fix` is set.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from codegen.profile import LAVAPIPE, WEBGPU_DEFAULT
from picotron.terminal import table_width
from runtime import lavapipe, mesa
from runtime.store import default_store

if TYPE_CHECKING:
    from runtime.device import AdapterInfo

DISTRIBUTION = "picotron-webgpu"
OK, WARN, FAIL = "ok", "warning", "failed"
_COLOUR = {OK: "green", WARN: "yellow", FAIL: "bold red"}
_NEEDED = (
    ("max-storage-buffers-per-shader-stage", WEBGPU_DEFAULT.storage_buffers, "storage buffers"),
    ("max-storage-buffer-binding-size", WEBGPU_DEFAULT.binding_bytes, "bytes per binding"),
    ("max-compute-invocations-per-workgroup", WEBGPU_DEFAULT.invocations, "invocations"),
    ("max-compute-workgroup-storage-size", WEBGPU_DEFAULT.workgroup_bytes, "workgroup bytes"),
    ("max-compute-workgroups-per-dimension", WEBGPU_DEFAULT.groups_per_dim, "workgroups"),
)
_USEFUL = {
    "shader-f16": "half-precision training",
    "subgroup": "faster reductions",
    "timestamp-query": "per-kernel times in `picotron bench`",
    "shader-float32-atomic": "faster embedding gradients",
}
_LOW_DISK = 1 << 30
_NO_DISK = 100 << 20
_CHECK_SECONDS = 900


@dataclass(frozen=True)
class Check:
    """One line of the report; `cure` is a command or an instruction, empty where all is well."""

    name: str
    state: str
    found: str
    cure: str = ""


def run(
    fix: bool = False,
    adapter: str | None = None,
    newer_driver: bool = False,
    renew: bool | None = None,
) -> int:
    """Print the report; returns the exit code: 0 if training could start, 1 if not.

    `adapter` selects one as `--adapter` does: part of its name, a backend, or an index. With
    `fix`, a machine that offers no adapter, or only OpenGL in software, gets a software Vulkan
    driver, and the report is made again. With `newer_driver`, one whose adapter is lavapipe gets
    the newest that its package source offers, beside the system's and after a check. So does, with
    `renew` (by default `fix`), one whose lavapipe is too old for the fast kernels; failing that is
    no failure of the report.
    """
    console = Console(width=table_width())
    checks = check_host()
    if not any(check.name == "packages" and check.state == FAIL for check in checks):
        infos = _adapters()
        if fix and all(info.software and info.backend == "OpenGL" for info in infos):
            code = _install_driver(console, adapter)
            if code == 0 or not infos:
                return code
        if newer_driver or (fix if renew is None else renew):
            code = _renew(console, infos, adapter, required=newer_driver)
            if code is not None:
                return code
        checks += check_adapters(infos, adapter)
    _print(console, checks)
    return int(any(check.state == FAIL for check in checks))


def _install_driver(console: Console, adapter: str | None) -> int:
    console.print("no Vulkan adapter found: installing a software one (about 60 MB to fetch) ...")
    try:
        console.print(mesa.install())
    except mesa.InstallError as error:
        console.print(f"[bold red]failed[/] {escape(str(error))}")
        return 1
    return _report_anew(adapter, renew=True)


def _renew(
    console: Console, infos: Sequence[AdapterInfo], adapter: str | None, required: bool
) -> int | None:
    """The exit code of the report with a newer lavapipe than this machine's.

    `required`, whatever lavapipe there is gives way, and that none is to be had is a failure. Else
    one does that is too old for the fast kernels; it serves on where none is, without a code.
    """
    failure = 1 if required else None
    old = _lavapipe(infos) if required else _old_lavapipe(infos)
    if old is None:
        if required:
            console.print("the adapter here is not Mesa's lavapipe: there is no driver to renew")
        return failure
    console.print(
        f"looking for a newer lavapipe than {old.driver}; to check it takes about a minute ..."
    )
    try:
        console.print(mesa.renew(old.driver, _check_driver))
    except mesa.InstallError as error:
        lead = "[bold red]failed[/]" if required else f"{escape(old.driver)} stays:"
        console.print(f"{lead} {escape(str(error))}")
        return failure
    return _report_anew(adapter)


def _lavapipe(infos: Sequence[AdapterInfo]) -> AdapterInfo | None:
    return next((i for i in infos if "Mesa" in i.driver and i.backend == "Vulkan"), None)


def _old_lavapipe(infos: Sequence[AdapterInfo]) -> AdapterInfo | None:
    """The adapter, if this machine has no better one and it is a lavapipe of old."""
    from runtime.adapter import choose, is_old_lavapipe

    best = choose(infos)[0] if infos else None
    old = best is not None and best.backend == "Vulkan" and is_old_lavapipe(best)
    return best if old and not lavapipe.system_wanted() else None


def _check_driver(environment: Mapping[str, str]) -> str | None:
    """What is wrong with the driver that `environment` selects; None if it computes as numpy."""
    command = [sys.executable, "-W", "ignore", "-m", "picotron.selfcheck"]
    try:
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True,
            timeout=_CHECK_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"its check took more than {_CHECK_SECONDS} seconds"
    last = (done.stdout or done.stderr).strip().splitlines()[-1:]
    return None if done.returncode == 0 else (last or ["its check failed"])[0]


def _report_anew(adapter: str | None, renew: bool = False) -> int:
    """The report of a new process: this one has loaded what Vulkan libraries there were before."""
    call = f"run(False, {adapter!r}, renew={renew})"
    again = f"import sys; from picotron.doctor import run; sys.exit({call})"
    return subprocess.run([sys.executable, "-c", again], check=False).returncode


def _print(console: Console, checks: Sequence[Check]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        text = escape(check.found)
        if check.cure:
            text += f"\n[bold]cure:[/] {escape(check.cure)}"
        table.add_row(f"[{_COLOUR[check.state]}]{check.state}[/]", check.name, text)
    console.print(table)
    failed = sum(check.state == FAIL for check in checks)
    console.print(f"[bold red]{failed} failed[/]" if failed else "[green]ready to train[/]")


def check_host() -> list[Check]:
    """Everything but the adapter: interpreter, packages, cache folder, disk space."""
    cache = platformdirs.user_cache_path("picotron")
    return [
        _own_version(Path(__file__).resolve().parent.parent),
        _check_python(sys.version_info[:3]),
        _check_packages(_requirements(), metadata.version),
        _check_writable(cache),
        _check_programs(),
        _check_disk(Path.cwd()),
    ]


def _own_version(source: Path) -> Check:
    """The version, and of a checkout the commit: what a report of a problem has to say first."""
    try:
        found = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        found = "not installed"  # `packages` says what to do
    if (source / ".git").exists() and shutil.which("git"):
        words = ["git", "-C", str(source), "describe", "--always", "--dirty"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        found += f", commit {done.stdout.strip()}" if done.returncode == 0 else ""
    return Check("picotron", OK, found)


def _check_python(version: tuple[int, ...]) -> Check:
    found = f"{'.'.join(map(str, version))}, {platform.system()} {platform.machine()}"
    if version >= (3, 11):
        return Check("python", OK, found)
    return Check("python", FAIL, found, "install Python 3.11 or newer and run ./setup")


def _requirements() -> list[str] | None:
    """What the installed distribution asks for; None if run from a checkout without ./setup."""
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return None


def _check_packages(requires: Iterable[str] | None, version_of: Callable[[str], str]) -> Check:
    if requires is None:
        return Check("packages", WARN, f"{DISTRIBUTION} itself is not installed", "run ./setup")
    wanted = [_name_of(text) for text in requires if "extra ==" not in text]
    missing, present = [], []
    for name in wanted:
        try:
            present.append(f"{name} {version_of(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("packages", FAIL, f"missing: {', '.join(missing)}", "run ./setup")
    return Check("packages", OK, ", ".join(present))


def _name_of(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement)[0]


def _check_writable(folder: Path) -> Check:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return Check("cache folder", OK, str(folder))
    except OSError as error:
        found = f"{folder}: {error.strerror or error}"
        return Check("cache folder", FAIL, found, "set XDG_CACHE_HOME to a folder you may write to")


def _check_programs() -> Check:
    store = default_store()
    if store is None:
        return Check("compiled programs", OK, "not kept (PICOTRON_CACHE=off)")
    entries = store.entries()
    size = sum(nbytes for _, nbytes, _ in entries) / 2**20
    found = f"{len(entries)} entries, {size:.1f} of {store.limit >> 20} MiB, in {store.folder}"
    return Check("compiled programs", OK, f"{found}; `picotron doctor --clear-cache` drops them")


def clear_programs() -> str:
    """Empty the cache of compiled programs; says what was there."""
    store = default_store()
    if store is None:
        return "nothing is kept: PICOTRON_CACHE is off"
    return f"dropped {store.clear()} entries in {store.folder}"


def _check_disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free in {folder}"
    if free >= _LOW_DISK:
        return Check("disk", OK, found)
    state = WARN if free >= _NO_DISK else FAIL
    return Check("disk", state, found, "free some space: checkpoints are written below this folder")


def _adapters() -> list[AdapterInfo]:
    from runtime.device import adapters

    return adapters()


def check_adapters(infos: Sequence[AdapterInfo], override: str | None = None) -> list[Check]:
    """The adapters, the one that would be used and why, and what it lacks, if anything."""
    from runtime.device import NoAdapterError, choose
    from runtime.settings import settings

    if not infos:
        return [Check("adapter", FAIL, "none found", lavapipe.cure())]
    listed = "\n".join(f"[{info.index}] {info}, {info.driver}" for info in infos)
    lines = [Check("adapters", OK, listed)]
    try:
        chosen, why = choose(infos, override or settings().adapter)
    except NoAdapterError as error:
        return [*lines, Check("adapter", FAIL, str(error), "name one of these with --adapter")]
    lines += [Check("adapter", OK, f"{chosen}: {why}"), *judge(chosen)]
    if any(line.state == FAIL for line in lines):
        return lines
    return [*lines, _check_device(chosen)]


def _check_device(info: AdapterInfo) -> Check:
    """Opens the adapter, which runs a first kernel on it."""
    from runtime.device import Device

    begin = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the report has its own line for a software adapter
            profile = Device(info).profile
    except Exception as error:  # the report must name whatever a broken driver comes up with
        cure = "update this adapter's driver, or choose another one with --adapter"
        return Check("device", FAIL, f"does not run a kernel: {error}", cure)
    lanes = f"subgroups of {profile.subgroup}" if profile.subgroup else "no usable subgroups"
    seconds = time.perf_counter() - begin
    return Check("device", OK, f"opened and ran a kernel in {seconds:.2f} s; {lanes}")


def judge(info: AdapterInfo) -> list[Check]:
    """Limits and features of the chosen adapter against what generated kernels rely on."""
    checks = [_check_limits(info.limits), _check_features(info.features)]
    if info.software:
        checks.append(_check_software(info))
    return checks


def _check_limits(limits: Mapping[str, int]) -> Check:
    short, found = [], []
    for key, needed, what in _NEEDED:
        have = limits.get(key, 0)
        found.append(f"{have:,} {what}")
        if have < needed:
            short.append(f"{have:,} {what}, needs {needed:,}")
    if short:
        cure = "choose another adapter with --adapter, or update its driver"
        return Check("limits", FAIL, "; ".join(short), cure)
    return Check("limits", OK, ", ".join(found))


def _check_features(features: Collection[str]) -> Check:
    absent = [f"{name} ({use})" for name, use in _USEFUL.items() if name not in features]
    if absent:
        cure = "none needed: everything runs without; a newer driver may offer them"
        return Check("features", WARN, f"without {', '.join(absent)}", cure)
    return Check("features", OK, ", ".join(_USEFUL))


def _check_software(info: AdapterInfo) -> Check:
    found = f"{info.name} is a software adapter: expect the speed of a CPU"
    if "llvmpipe" in info.name.lower():
        found += (
            "\nllvmpipe silently ends a shader invocation after 65,535 loop iterations and goes on"
            " with a wrong value; kernels for it are compiled to stay below"
            f" {LAVAPIPE.loop_limit:,}, long reductions being split"
        )
    return Check("software", WARN, found, _gpu_cure())


def _gpu_cure() -> str:
    """What stands between this machine and its GPU, as far as can be seen from Linux."""
    nodes = sorted(Path("/dev/dri").glob("renderD*"))
    closed = [node for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if closed:
        return f"{closed[0]} is closed to you: `sudo usermod -aG render $USER`, then log in again"
    if Path("/proc/driver/nvidia/version").exists():
        return (
            "an NVIDIA GPU is present but not its Vulkan driver: install libnvidia-gl, or start"
            " the container with NVIDIA_DRIVER_CAPABILITIES=all"
        )
    return "if this machine has a GPU, install its Vulkan driver"
