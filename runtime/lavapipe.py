"""Mesa's software Vulkan driver, lavapipe, where `runtime/mesa.py` has unpacked one.

Invariant: a GPU's driver, or any driver the user chose through `VK_ICD_FILENAMES` or
`VK_DRIVER_FILES`, is never hidden. An unpacked lavapipe comes after them; the system's own lavapipe
gives way only to a newer one that has passed its check, and not where `PICOTRON_DRIVER=system`.

`activate()` makes an unpacked driver usable in the current process. It must run BEFORE `wgpu` is
first asked for an adapter, in every process: `runtime/driver.py` calls it on the line before
`import wgpu`. Standard library only, so it also runs half-installed.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

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


def driver_folder() -> Path:
    """Where the unpacked driver of this user and this kind of processor lives."""
    return cache_folder() / f"vulkan-{platform.machine()}"


def newer_folder() -> Path:
    """Where a lavapipe lives that is newer than the system's."""
    return cache_folder() / f"vulkan-newer-{platform.machine()}"


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "picotron")


def version_of(text: str) -> tuple[int, ...]:
    """The release in a package's or driver's own words, such as `Mesa 25.0.7-2`; () if none."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else ()


def activate() -> bool:
    """Offer the best unpacked driver to this process; True if it is now on offer.

    False, and nothing changed, where there is none that the system lacks, the user chose drivers
    by environment variable, or the libraries do not load. Costs microseconds where there is
    nothing to do. May be called again.
    """
    if sys.platform != "linux":
        return False
    return (not system_wanted() and _offer(newer_folder())) or _offer(driver_folder())


def system_wanted() -> bool:
    """Whether `PICOTRON_DRIVER=system` asks for the distribution's lavapipe, not a newer one."""
    return os.environ.get("PICOTRON_DRIVER") == "system"


def _offer(folder: Path) -> bool:
    icd = folder / ICD
    if not icd.is_file():
        return False
    chosen = [os.environ[name] for name in _CHOSEN_BY_USER if os.environ.get(name)]
    ours = str(icd) in os.pathsep.join(chosen).split(os.pathsep)
    newer = folder == newer_folder()
    if (chosen and not ours) or (not chosen and not newer and _system_has_lavapipe()):
        return False
    try:
        preload((folder / "lib", driver_folder() / "lib"), own=newer)
    except OSError:
        return False
    if not ours:
        others = [path for path in system_icds() if not (newer and _is_lavapipe(path))]
        os.environ["VK_ICD_FILENAMES"] = os.pathsep.join([*map(str, others), str(icd)])
    return True


def preload(folders: Sequence[Path], own: bool = False) -> set[str]:
    """Load lavapipe and the Vulkan loader, from the system where it has them, else from
    `folders`; returns the names that came from there. With `own`, lavapipe is the first folder's.

    Later loads by the same name, such as wgpu's own, then find them without any search path.
    Raises OSError if a library is missing or does not fit this system.
    """
    used: set[str] = set()
    _load(LOADER, folders, used)
    _load(str(folders[0] / LIBRARY) if own else LIBRARY, folders, used)
    return used


def _load(name: str, folders: Sequence[Path], used: set[str]) -> None:
    target = name
    while True:
        try:
            ctypes.CDLL(target)
            return
        except OSError as error:
            missing = str(error).partition(":")[0]
            places = (folder / Path(missing).name for folder in folders)
            here = next((path for path in places if path.is_file()), None)
            if here is None or here.name in used or target == str(here):
                raise
        used.add(here.name)
        if missing == name:
            target = str(here)
        else:
            _load(str(here), folders, used)


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
    if not any(map(_is_lavapipe, system_icds())):
        return False
    try:
        ctypes.CDLL(LOADER)
    except OSError:
        return False
    return True


def _is_lavapipe(manifest: Path) -> bool:
    return "lvp" in manifest.name


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
