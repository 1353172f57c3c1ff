"""Installing Mesa's lavapipe: where a machine has no adapter, or only an old lavapipe.

Invariant: nothing of the system is replaced. As root on Debian and its descendants `install()`
installs the distribution's package; as a plain user it unpacks the same packages into the user's
cache folder. `renew()` unpacks a newer lavapipe, from the distribution's backports, beside the
system's, and keeps it only if the caller's check of it passes. Called by `picotron doctor`
alone. Standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from .lavapipe import (
    ICD,
    LIBRARY,
    cache_folder,
    cure,
    driver_folder,
    newer_folder,
    preload,
    version_of,
)

PACKAGE = "mesa-vulkan-drivers"
PACKAGES = (PACKAGE, "libvulkan1")


class InstallError(RuntimeError):
    """No software driver could be installed; the message says why and what to do instead."""


def install() -> str:
    """Install lavapipe for this machine (root) or this user; returns what was done, in words.

    Raises InstallError where there is no apt-get, no network or no such package.
    """
    if sys.platform != "linux" or not shutil.which("apt-get"):
        raise InstallError(f"cannot install an adapter here: {cure()}")
    if os.geteuid() == 0:
        return _install_for_machine()
    return _install_for_user(driver_folder())


def _install_for_machine() -> str:
    apt = ["apt-get", "--yes", "-o", "DPkg::Lock::Timeout=120"]
    command = [*apt, "install", "--no-install-recommends", *PACKAGES]
    if not _succeeds(command):
        _run([*apt, "update"])
        _run(command)
    return f"installed {PACKAGE} with apt-get"


def _install_for_user(folder: Path) -> str:
    with _workplace() as text:
        work = Path(text)
        for archive in _download(work):
            _run(["dpkg", "-x", str(archive), str(work / "root")])
        _assemble(work / "root", work / "new")
        _put(work / "new", folder)
    return f"unpacked {PACKAGE} into {folder}"


def _workplace() -> tempfile.TemporaryDirectory:
    """A folder beside the final ones, so that moving there is a rename."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="vulkan-", dir=cache_folder())


def _put(new: Path, final: Path) -> None:
    _write_manifest(new, final)
    shutil.rmtree(final, ignore_errors=True)
    new.rename(final)


def _download(work: Path) -> list[Path]:
    """The packages this system lacks, fetched without root by apt's download-only mode."""
    archives = work / "archives"
    lists = work / "lists"
    for folder in (archives / "partial", lists / "partial"):
        folder.mkdir(parents=True)
    apt = ["apt-get", "--yes", "-o", "Debug::NoLocking=1", "-o", f"Dir::Cache::Archives={archives}"]
    fetch = ["install", "--download-only", "--no-install-recommends", *PACKAGES]
    if not _succeeds([*apt, *fetch]):
        # The machine's package lists are missing or stale and not ours to refresh.
        apt += ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={work}"]
        _run([*apt, "update"])
        _run([*apt, *fetch])
    found = sorted(archives.glob("*.deb"))
    if not found:
        raise InstallError(
            f"{PACKAGE} is installed but offers no adapter; as root: "
            f"`apt-get install --reinstall {' '.join(PACKAGES)}`"
        )
    return found


def _assemble(root: Path, new: Path, own: bool = False) -> None:
    """From the unpacked tree keep the libraries lavapipe needs, and its manifest."""
    flat = root / "flat"
    flat.mkdir()
    for path in root.rglob("*.so*"):
        if path.is_file() and not (flat / path.name).exists():
            (flat / path.name).symlink_to(path.resolve())
    manifests = sorted(root.glob("usr/share/vulkan/icd.d/lvp_icd*.json"))
    if not manifests or not (flat / LIBRARY).exists():
        raise InstallError(f"this system's {PACKAGE} holds no lavapipe")
    try:
        used = preload((flat, driver_folder() / "lib"), own)
    except OSError as error:
        raise InstallError(f"the downloaded driver does not load here: {error}") from error
    (new / "lib").mkdir(parents=True)
    for name in used | {LIBRARY}:
        if (flat / name).exists():
            shutil.copy2(flat / name, new / "lib" / name)
    shutil.copy2(manifests[0], new / ICD)


def _write_manifest(new: Path, final: Path) -> None:
    """Let the manifest in `new` name the library as it will lie in `final`."""
    manifest = json.loads((new / ICD).read_text())
    manifest["ICD"]["library_path"] = str(final / "lib" / LIBRARY)
    (new / ICD).write_text(json.dumps(manifest, indent=2) + "\n")


# --- a newer one than the system's ----------------------------------------------------------------


def renew(driver: str, check: Callable[[Mapping[str, str]], str | None]) -> str:
    """Unpack a newer lavapipe than `driver`, as the adapter names it; says what was done.

    `check` gets the environment in which a process uses the new driver and says what is wrong with
    it, or None. Raises InstallError where none can be had or it fails the check.
    """
    with _workplace() as text:
        return _renew(Path(text), version_of(driver), check)


def _renew(work: Path, old: tuple[int, ...], check: Callable) -> str:
    archive = _download_newer(work)
    new = version_of(archive.name)
    if new <= old:
        return f"Mesa {_dotted(old)} stays: the package source has {_dotted(new)}"
    _run(["dpkg", "-x", str(archive), str(work / "root")])
    _assemble(work / "root", work / "new", own=True)
    _write_manifest(work / "new", work / "new")
    libraries = (work / "new/lib", driver_folder() / "lib")
    environment = {
        "VK_ICD_FILENAMES": str(work / "new" / ICD),
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
    }
    if problem := check(environment):
        raise InstallError(f"lavapipe of Mesa {_dotted(new)} is not used: {problem}")
    _put(work / "new", newer_folder())
    return f"unpacked lavapipe of Mesa {_dotted(new)} into {newer_folder()}"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _download_newer(work: Path) -> Path:
    """The package of Debian's backports, fetched without root and without its dependencies, which
    the system's or the unpacked older driver has brought along."""
    name = _codename()
    if name is None or not shutil.which("apt-get"):
        raise InstallError("only Debian's backports are looked through for a newer lavapipe")
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {name}"]
    source = next(iter(_call(targets).stdout.split()), None)
    if source is None:
        raise InstallError(f"no package source of this machine serves {name}")
    for folder in ("archives/partial", "lists/partial"):
        (work / folder).mkdir(parents=True)
    (work / "sources.list").write_text(f"deb {source} {name}-backports main\n")
    options = {
        "Dir::Etc::SourceList": work / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": work / "lists",
        "Dir::Cache": work,
        "Debug::NoLocking": 1,
    }
    apt = ["apt-get", "--yes", *(f"-o{key}={value}" for key, value in options.items())]
    _run([*apt, "update"])
    _run([*apt, "download", PACKAGE], work)
    return next(iter(work.glob("*.deb")))


def _codename() -> str | None:
    """Debian's name for this release; None on other systems."""
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return None
    facts = dict(line.split("=", 1) for line in lines if "=" in line)
    return facts.get("VERSION_CODENAME") if facts.get("ID") == "debian" else None


# --- commands -------------------------------------------------------------------------------------


def _succeeds(command: list[str]) -> bool:
    return _call(command).returncode == 0


def _run(command: list[str], folder: Path | None = None) -> None:
    done = _call(command, folder)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise InstallError(f"`{' '.join(command)}` failed: {last[0]}")


def _call(command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    return subprocess.run(
        command, env=env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
