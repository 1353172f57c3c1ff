"""A software Vulkan driver (Mesa's lavapipe) for machines that offer no adapter at all.

Invariant: a driver of the machine, or one the user chose through `VK_ICD_FILENAMES` or
`VK_DRIVER_FILES`, is never hidden; what is installed here is only ever added after it.

`install()` runs once, from `picotron doctor --fix`: as root on Debian and its descendants it
installs the package; as a plain user it unpacks the same packages into the user's cache folder,
touching nothing else. `activate()` makes such an unpacked driver usable in the current process.
It must run BEFORE `wgpu` is first asked for an adapter, in every process: `runtime/driver.py`
calls it on the line before `import wgpu`. Standard library only, so it also runs half-installed.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = ("mesa-vulkan-drivers", "libvulkan1")
LOADER = "libvulkan.so.1"
LIBRARY = "libvulkan_lvp.so"
ICD = "lvp_icd.json"
_SYSTEM_MANIFESTS = "/etc"  # the loader searches here whatever the environment says
_CHOSEN_BY_USER = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")
_OTHER_SYSTEMS = (
    ("dnf", "dnf install mesa-vulkan-drivers"),
    ("pacman", "pacman -S vulkan-swrast"),
    ("apk", "apk add mesa-vulkan-swrast vulkan-loader"),
    ("zypper", "zypper install libvulkan_lvp libvulkan1"),
)


class InstallError(RuntimeError):
    """No software driver could be installed; the message says why and what to do instead."""


def driver_folder() -> Path:
    """Where the unpacked driver of this user and this kind of processor lives."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache, "picotron", f"vulkan-{platform.machine()}")


def activate() -> bool:
    """Offer the unpacked driver to this process; True if it is now on offer.

    False, and nothing changed, where `install()` unpacked none, the system has a lavapipe of
    its own, the user chose drivers by environment variable, or the libraries do not load.
    Costs microseconds where there is nothing to do. May be called again.
    """
    folder = driver_folder()
    icd = folder / ICD
    if sys.platform != "linux" or not icd.is_file():
        return False
    chosen = [os.environ[name] for name in _CHOSEN_BY_USER if os.environ.get(name)]
    ours = str(icd) in os.pathsep.join(chosen).split(os.pathsep)
    if (chosen and not ours) or (not chosen and _system_has_lavapipe()):
        return False
    try:
        preload(folder / "lib")
    except OSError:
        return False
    if not ours:
        os.environ["VK_ICD_FILENAMES"] = os.pathsep.join([*map(str, system_icds()), str(icd)])
    return True


def preload(libraries: Path) -> set[str]:
    """Load lavapipe and the Vulkan loader, from the system where it has them, else from
    `libraries`; returns the names that came from there.

    Later loads by the same name, such as wgpu's own, then find them without any search path.
    Raises OSError if a library is missing or does not fit this system.
    """
    used: set[str] = set()
    _load(LOADER, libraries, used)
    _load(LIBRARY, libraries, used)
    return used


def _load(name: str, libraries: Path, used: set[str]) -> None:
    target = name
    while True:
        try:
            ctypes.CDLL(target)
            return
        except OSError as error:
            missing = str(error).partition(":")[0]
            here = libraries / Path(missing).name
            if not here.is_file() or here.name in used:
                raise
        used.add(here.name)
        if missing == name:
            target = str(here)
        else:
            _load(str(here), libraries, used)


def system_icds() -> list[Path]:
    """The Vulkan driver manifests of this machine, in the loader's own order of search."""
    env = os.environ
    home = Path(os.path.expanduser("~"))
    folders = [
        env.get("XDG_CONFIG_HOME") or home / ".config",
        *(env.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep),
        _SYSTEM_MANIFESTS,
        env.get("XDG_DATA_HOME") or home / ".local/share",
        *(env.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(os.pathsep),
    ]
    found = (path for root in folders for path in sorted(Path(root, "vulkan/icd.d").glob("*.json")))
    return list(dict.fromkeys(found))


def _system_has_lavapipe() -> bool:
    if not any("lvp" in path.name for path in system_icds()):
        return False
    try:
        ctypes.CDLL(LOADER)
    except OSError:
        return False
    return True


def cure() -> str:
    """The command that gives this machine an adapter, for error messages."""
    if sys.platform != "linux":
        return "update the graphics driver of this machine"
    if shutil.which("apt-get"):
        return "run `picotron doctor --fix`, which installs a software adapter"
    for tool, command in _OTHER_SYSTEMS:
        if shutil.which(tool):
            return f"install the GPU's Vulkan driver, or a software one: `{command}`"
    return "install the GPU's Vulkan driver, or Mesa's software one (lavapipe)"


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
    return f"installed {PACKAGES[0]} with apt-get"


def _install_for_user(folder: Path) -> str:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vulkan-", dir=folder.parent) as text:
        work = Path(text)
        for archive in _download(work):
            _run(["dpkg", "-x", str(archive), str(work / "root")])
        _assemble(work / "root", work / "new", folder)
        shutil.rmtree(folder, ignore_errors=True)
        (work / "new").rename(folder)
    return f"unpacked {PACKAGES[0]} into {folder}"


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
            f"{PACKAGES[0]} is installed but offers no adapter; as root: "
            f"`apt-get install --reinstall {' '.join(PACKAGES)}`"
        )
    return found


def _assemble(root: Path, new: Path, final: Path) -> None:
    """From the unpacked tree keep the libraries lavapipe needs and a manifest naming `final`."""
    flat = root / "flat"
    flat.mkdir()
    for path in root.rglob("*.so*"):
        if path.is_file() and not (flat / path.name).exists():
            (flat / path.name).symlink_to(path.resolve())
    manifests = sorted(root.glob("usr/share/vulkan/icd.d/lvp_icd*.json"))
    if not manifests or not (flat / LIBRARY).exists():
        raise InstallError(f"this system's {PACKAGES[0]} holds no lavapipe")
    try:
        used = preload(flat)
    except OSError as error:
        raise InstallError(f"the downloaded driver does not load here: {error}") from error
    (new / "lib").mkdir(parents=True)
    for name in used | {LIBRARY}:
        shutil.copy2(flat / name, new / "lib" / name)
    manifest = json.loads(manifests[0].read_text())
    manifest["ICD"]["library_path"] = str(final / "lib" / LIBRARY)
    (new / ICD).write_text(json.dumps(manifest, indent=2) + "\n")


def _succeeds(command: list[str]) -> bool:
    return _call(command).returncode == 0


def _run(command: list[str]) -> None:
    done = _call(command)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise InstallError(f"`{' '.join(command)}` failed: {last[0]}")


def _call(command: list[str]) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    return subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
