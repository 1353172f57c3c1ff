"""`picotron doctor` on made-up adapters and hosts, and the software driver on a made-up system."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from codegen.profile import WEBGPU_DEFAULT
from picotron import doctor, selfcheck
from picotron.doctor import FAIL, OK, WARN, Check
from runtime import lavapipe, mesa
from runtime.adapter import AdapterInfo

ROOT = Path(__file__).resolve().parent.parent
LIMITS = {
    "max-storage-buffers-per-shader-stage": 8,
    "max-storage-buffer-binding-size": 128 << 20,
    "max-compute-invocations-per-workgroup": 256,
    "max-compute-workgroup-storage-size": 16 << 10,
    "max-compute-workgroups-per-dimension": 65535,
}
FEATURES = frozenset({"shader-f16", "subgroup", "timestamp-query", "shader-float32-atomic"})


def adapter(name: str = "Some GPU", backend: str = "Vulkan", **changes: object) -> AdapterInfo:
    software = "pipe" in name or "Swift" in name
    record = {
        "index": 0,
        "name": name,
        "vendor": "maker",
        "backend": backend,
        "kind": "cpu" if software else "discrete",
        "driver": "1.2",
        "software": software,
        "limits": LIMITS,
        "features": FEATURES,
    }
    return AdapterInfo(**(record | changes))


def states(checks: list[Check]) -> dict[str, str]:
    assert all(bool(check.cure) == (check.state != OK) for check in checks), checks
    return {check.name: check.state for check in checks}


def test_the_webgpu_defaults_suffice() -> None:
    assert states(doctor.judge(adapter())) == {"limits": OK, "features": OK}


@pytest.mark.parametrize("key", LIMITS)
def test_each_limit_below_need_fails_and_is_named(key: str) -> None:
    info = adapter(limits=LIMITS | {key: LIMITS[key] - 1})
    limits = doctor.judge(info)[0]
    assert states([limits]) == {"limits": FAIL}
    assert f"{LIMITS[key] - 1:,}" in limits.found and f"needs {LIMITS[key]:,}" in limits.found


def test_the_needs_are_the_default_profile() -> None:
    needed = {key: value for key, value, _ in doctor._NEEDED}
    assert needed == LIMITS
    assert needed["max-storage-buffer-binding-size"] == WEBGPU_DEFAULT.binding_bytes


def test_missing_features_only_warn() -> None:
    features = doctor.judge(adapter(features=FEATURES - {"shader-f16"}))[1]
    assert states([features]) == {"features": WARN}
    assert "shader-f16" in features.found and "subgroup" not in features.found


@pytest.mark.parametrize(("name", "capped"), [("llvmpipe (LLVM 15)", True), ("SwiftShader", False)])
def test_a_software_adapter_is_a_visible_warning(name: str, capped: bool) -> None:
    checks = doctor.judge(adapter(name))
    assert states(checks)["software"] == WARN
    assert ("65,535 loop iterations" in checks[-1].found) == capped
    assert ("60,000" in checks[-1].found) == capped


def test_no_adapter_fails_with_a_cure() -> None:
    assert states(doctor.check_adapters([])) == {"adapter": FAIL}


def test_an_override_that_matches_nothing_fails() -> None:
    checks = doctor.check_adapters([adapter()], "no such thing")
    assert states(checks) == {"adapters": OK, "adapter": FAIL}
    assert "no such thing" in checks[-1].found and "Some GPU" in checks[-1].found


def test_an_adapter_that_does_not_open_fails() -> None:
    checks = doctor.check_adapters([adapter()])  # a record without a driver behind it
    assert states(checks)["device"] == FAIL


def test_the_environment_variable_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime.settings import settings

    infos = [adapter(), adapter("llvmpipe", index=1)]
    monkeypatch.setenv("PICOTRON_ADAPTER", "llvmpipe")
    settings.cache_clear()
    try:
        chosen = next(c for c in doctor.check_adapters(infos) if c.name == "adapter")
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert chosen.found.startswith("llvmpipe")


def _version_of(name: str) -> str:
    if name in ("numpy", "ml_dtypes"):
        return "2.0"
    raise metadata.PackageNotFoundError(name)


@pytest.mark.parametrize(
    ("requires", "state", "text"),
    [
        (["numpy>=2.0", "ml_dtypes"], OK, "numpy 2.0, ml_dtypes 2.0"),
        (["numpy", "optree>=0.14", "rich"], FAIL, "missing: optree, rich"),
        (["numpy", 'ruff; extra == "dev"'], OK, "numpy 2.0"),
        (None, WARN, "not installed"),
    ],
)
def test_packages(requires: list[str] | None, state: str, text: str) -> None:
    check = doctor._check_packages(requires, _version_of)
    assert states([check]) == {"packages": state}
    assert text in check.found


def test_an_old_python_fails() -> None:
    assert states([doctor._check_python((3, 10, 4))]) == {"python": FAIL}
    assert states([doctor._check_python((3, 11, 0))]) == {"python": OK}


def test_a_cache_folder_that_cannot_be_made_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert states([doctor._check_writable(tmp_path / "file/cache")]) == {"cache folder": FAIL}
    assert states([doctor._check_writable(tmp_path / "new/cache")]) == {"cache folder": OK}


@pytest.mark.parametrize(("free", "state"), [(5 << 30, OK), (500 << 20, WARN), (10 << 20, FAIL)])
def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, state: str) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage(1 << 40, 0, free))
    assert states([doctor._check_disk(tmp_path)]) == {"disk": state}


@pytest.mark.device
def test_this_machine_can_train(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run() == 0
    out = capsys.readouterr().out
    assert "ready to train" in out and "opened and ran a kernel" in out


def test_no_adapter_means_a_failing_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_adapters", list)
    assert doctor.run() == 1
    out = capsys.readouterr().out
    assert "none found" in out and "cure:" in out and "1 failed" in out


def test_a_report_begins_with_the_version_and_the_commit_of_a_checkout(tmp_path):
    plain = doctor._own_version(tmp_path).found
    assert re.fullmatch(r"\d+\.\d+\.\d+", plain)
    commands = (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "one"])
    for words in commands:
        named = ["git", "-c", "user.name=n", "-c", "user.email=e@example.com", "-C", str(tmp_path)]
        subprocess.run([*named, *words], check=True)
    assert re.fullmatch(rf"{plain}, commit [0-9a-f]+", doctor._own_version(tmp_path).found)


@pytest.mark.parametrize("before", [[], [adapter("llvmpipe", "OpenGL")]])
def test_fix_installs_a_driver_and_reports_anew(
    monkeypatch: pytest.MonkeyPatch, before: list[AdapterInfo]
) -> None:
    done = []
    monkeypatch.setattr(doctor, "_adapters", lambda: before)
    monkeypatch.setattr(mesa, "install", lambda: done.append("install") or "installed it")
    monkeypatch.setattr(doctor, "_own_version", lambda source: Check("picotron", OK, "1"))
    monkeypatch.setattr(doctor.subprocess, "run", lambda command, check: _rerun(done, command))
    assert doctor.run(fix=True, adapter="0") == 0
    assert done[0] == "install"
    assert done[1][0] == sys.executable and "run(False, '0', renew=True)" in done[1][-1]


def _rerun(done: list, command: list[str]) -> subprocess.CompletedProcess:
    done.append(command)
    return subprocess.CompletedProcess(command, 0)


OLD = adapter("llvmpipe (LLVM 15.0.6)", driver="Mesa 22.3.6 (LLVM 15.0.6)")


def test_fix_takes_a_newer_lavapipe_and_reports_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    monkeypatch.delenv("PICOTRON_DRIVER", raising=False)
    monkeypatch.setattr(doctor, "_adapters", lambda: [OLD])
    monkeypatch.setattr(mesa, "renew", lambda driver, check: done.append(driver) or "unpacked it")
    monkeypatch.setattr(doctor, "_own_version", lambda source: Check("picotron", OK, "1"))
    monkeypatch.setattr(doctor.subprocess, "run", lambda command, check: _rerun(done, command))
    assert doctor.run(fix=True) == 0
    assert done[0] == OLD.driver and "run(False, None, renew=False)" in done[1][-1]


def test_where_no_newer_lavapipe_is_to_be_had_the_old_one_serves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(driver: str, check: object) -> str:
        raise mesa.InstallError("no network [here]")

    monkeypatch.delenv("PICOTRON_DRIVER", raising=False)
    monkeypatch.setattr(doctor, "_adapters", lambda: [OLD])
    monkeypatch.setattr(doctor, "check_adapters", lambda infos, adapter: [])
    monkeypatch.setattr(mesa, "renew", refuse)
    assert doctor.run(fix=True) == 0
    assert "stays: no network [here]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wanted", "infos"),
    [
        ("system", [OLD]),
        ("", [adapter("llvmpipe (LLVM 15.0.6)", driver="Mesa 25.0.7-2")]),
        ("", [OLD, adapter()]),
    ],
)
def test_what_needs_no_newer_lavapipe_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, wanted: str, infos: list[AdapterInfo]
) -> None:
    monkeypatch.setenv("PICOTRON_DRIVER", wanted)
    assert doctor._old_lavapipe(infos) is None


def test_fix_leaves_a_machine_with_an_adapter_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_adapters", lambda: [adapter()])
    monkeypatch.setattr(mesa, "install", lambda: pytest.fail("installed a driver"))
    assert doctor.run(fix=True) == 1  # the made-up adapter does not open


def test_a_failed_fix_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> str:
        raise mesa.InstallError("no network [here]")

    monkeypatch.setattr(doctor, "_adapters", list)
    monkeypatch.setattr(mesa, "install", refuse)
    assert doctor.run(fix=True) == 1
    assert "no network [here]" in capsys.readouterr().out


# -- the software driver ---------------------------------------------------------------------

linux = pytest.mark.skipif(sys.platform != "linux", reason="the driver is for Linux")
NEEDS = {
    "libvulkan.so.1": ["libc.so.6"],
    "libvulkan_lvp.so": ["libLLVM-15.so.1", "libdrm.so.2", "libc.so.6"],
    "libLLVM-15.so.1": ["libz3.so.4", "libc.so.6"],
    "libz3.so.4": ["libc.so.6"],
    "libdrm.so.2": ["libc.so.6"],
    "libvulkan_radeon.so": ["libc.so.6"],
    "libc.so.6": [],
}


class Linker:
    """dlopen by name: finds what the system has and what is loaded; absolute paths as files."""

    def __init__(self, system: set[str]) -> None:
        self.system, self.loaded = system, set()

    def __call__(self, target: str) -> None:
        name = os.path.basename(target)
        if not (os.path.isfile(target) or name in self.system | self.loaded):
            raise OSError(f"{target}: cannot open shared object file: No such file or directory")
        for need in NEEDS[name]:
            if need not in self.system | self.loaded:
                raise OSError(f"{need}: cannot open shared object file: No such file or directory")
        self.loaded.add(name)


@pytest.fixture
def linker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Linker:
    """A bare system: a C library, no drivers, an empty home and cache."""
    made = Linker({"libc.so.6"})
    monkeypatch.setattr(lavapipe.ctypes, "CDLL", made)
    for name in ("VK_ICD_FILENAMES", "VK_DRIVER_FILES", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, "")  # so that it is put back however the test leaves it
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "etc"))
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path / "usr/share"))
    monkeypatch.setattr(lavapipe, "_SYSTEM_MANIFESTS", str(tmp_path / "etc"))
    return made


def unpacked(names: set[str] = frozenset(NEEDS) - {"libc.so.6"}) -> Path:
    folder = lavapipe.driver_folder()
    (folder / "lib").mkdir(parents=True)
    for name in names:
        (folder / "lib" / name).touch()
    (folder / lavapipe.ICD).write_text("{}")
    return folder


def system_driver(tmp_path: Path, name: str) -> Path:
    path = tmp_path / "usr/share/vulkan/icd.d" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    return path


@linux
def test_nothing_unpacked_nothing_done(linker: Linker) -> None:
    assert not lavapipe.activate()
    assert not linker.loaded and "VK_ICD_FILENAMES" not in os.environ


@linux
def test_activate_loads_dependencies_first_and_names_the_driver(linker: Linker) -> None:
    folder = unpacked()
    assert lavapipe.activate()
    assert linker.loaded == set(NEEDS) - {"libc.so.6", "libvulkan_radeon.so"}
    assert os.environ["VK_ICD_FILENAMES"] == str(folder / lavapipe.ICD)


@linux
def test_activate_works_again_and_in_a_child_process(linker: Linker) -> None:
    unpacked()
    assert lavapipe.activate()
    inherited = os.environ["VK_ICD_FILENAMES"]
    linker.loaded.clear()
    assert lavapipe.activate()
    assert "libvulkan_lvp.so" in linker.loaded and os.environ["VK_ICD_FILENAMES"] == inherited


@linux
def test_drivers_of_the_system_come_first(linker: Linker, tmp_path: Path) -> None:
    nvidia = system_driver(tmp_path, "nvidia_icd.json")
    folder = unpacked()
    assert lavapipe.activate()
    assert os.environ["VK_ICD_FILENAMES"] == f"{nvidia}:{folder / lavapipe.ICD}"


@linux
def test_libraries_of_the_system_are_preferred(linker: Linker) -> None:
    linker.system |= {"libvulkan.so.1", "libLLVM-15.so.1", "libz3.so.4"}
    folder = unpacked()
    assert lavapipe.preload((folder / "lib",)) == {"libvulkan_lvp.so", "libdrm.so.2"}


@linux
def test_a_lavapipe_of_the_system_is_enough(linker: Linker, tmp_path: Path) -> None:
    linker.system.add("libvulkan.so.1")
    system_driver(tmp_path, "lvp_icd.x86_64.json")
    unpacked()
    assert not lavapipe.activate()
    assert "VK_ICD_FILENAMES" not in os.environ


@linux
@pytest.mark.parametrize("variable", ["VK_ICD_FILENAMES", "VK_DRIVER_FILES"])
def test_the_users_own_choice_stands(
    linker: Linker, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    unpacked()
    monkeypatch.setenv(variable, "/opt/own_icd.json")
    assert not lavapipe.activate()
    assert os.environ[variable] == "/opt/own_icd.json" and not linker.loaded


@linux
def test_a_driver_that_does_not_load_is_not_offered(linker: Linker) -> None:
    unpacked({"libvulkan.so.1", "libvulkan_lvp.so", "libdrm.so.2"})
    assert not lavapipe.activate()
    assert "VK_ICD_FILENAMES" not in os.environ


@linux
def test_the_driver_is_activated_before_wgpu_is_imported(tmp_path: Path) -> None:
    folder = tmp_path / "picotron" / lavapipe.driver_folder().name
    (folder / "lib").mkdir(parents=True)
    (folder / lavapipe.ICD).write_text("{}")
    program = """
import sys
def note(event, args):
    if event in ("import", "ctypes.dlopen") and args[0] in ("wgpu", "libvulkan.so.1"):
        print(event, args[0])
sys.addaudithook(note)
import runtime.driver
"""
    env = {k: v for k, v in os.environ.items() if not k.startswith("VK_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=env | {"XDG_CACHE_HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[:2] == ["ctypes.dlopen libvulkan.so.1", "import wgpu"]


# Stand-ins for apt: the first install fails as with stale lists, the next one fetches an archive.
FAKE_APT = r"""#!/bin/sh
echo "apt-get $*" >>"$FAKE/log"
for word; do
    case $word in Dir::Cache::Archives=*) archives=${word#*=} ;; esac
done
case "$*" in
    *" update") [ -z "$OFFLINE" ] && : >"$FAKE/fresh" || { echo "E: no network" >&2; exit 100; } ;;
    *" install "*)
        [ -e "$FAKE/fresh" ] || { echo "E: 404" >&2; exit 100; }
        [ -z "$archives" ] || : >"$archives/mesa.deb" ;;
    *" indextargets "*|indextargets*) echo "http://packages.example/debian" ;;
    *" download "*) : >"mesa-vulkan-drivers_25.0.7-2_amd64.deb" ;;
esac
"""
FAKE_DPKG = '#!/bin/sh\nmkdir -p "$3" && cp -R "$FAKE/content/." "$3"\n'


@pytest.fixture
def apt(linker: Linker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    fake = tmp_path / "fake"
    libraries = fake / "content/usr/lib/x86_64-linux-gnu"
    manifests = fake / "content/usr/share/vulkan/icd.d"
    for folder in (libraries, manifests, fake / "bin"):
        folder.mkdir(parents=True)
    for name in NEEDS.keys() - {"libc.so.6", "libLLVM-15.so.1"}:
        (libraries / name).touch()
    (libraries / "libLLVM-15.so").write_text("the real file")
    (libraries / "libLLVM-15.so.1").symlink_to("libLLVM-15.so")
    manifest = {"ICD": {"library_path": "/usr/lib/libvulkan_lvp.so", "api_version": "1.1.230"}}
    (manifests / "lvp_icd.x86_64.json").write_text(json.dumps(manifest))
    (manifests / "radeon_icd.x86_64.json").write_text("{}")
    for name, text in {"apt-get": FAKE_APT, "dpkg": FAKE_DPKG}.items():
        (fake / "bin" / name).write_text(text)
        (fake / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(fake))
    monkeypatch.setenv("OFFLINE", "")
    monkeypatch.setattr(mesa.os, "geteuid", lambda: 1000)
    return fake


@linux
def test_a_plain_user_gets_the_driver_in_the_cache_folder(apt: Path) -> None:
    folder = lavapipe.driver_folder()
    assert str(folder) in mesa.install()
    kept = {path.name for path in (folder / "lib").iterdir()}
    assert kept == set(NEEDS) - {"libc.so.6", "libvulkan_radeon.so"}
    assert (folder / "lib/libLLVM-15.so.1").read_text() == "the real file"
    manifest = json.loads((folder / lavapipe.ICD).read_text())
    assert manifest["ICD"]["library_path"] == str(folder / "lib/libvulkan_lvp.so")
    assert list(folder.parent.iterdir()) == [folder]
    assert lavapipe.activate()
    verbs = [line.split()[-1] for line in (apt / "log").read_text().splitlines()]
    assert verbs == ["libvulkan1", "update", "libvulkan1"]


@linux
def test_installing_over_a_broken_driver_replaces_it(apt: Path, linker: Linker) -> None:
    folder = unpacked({"libvulkan.so.1"})
    assert not lavapipe.activate()
    mesa.install()
    assert lavapipe.activate()
    assert "libvulkan_lvp.so" in linker.loaded and (folder / "lib/libz3.so.4").exists()


@linux
def test_root_gets_the_package(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesa.os, "geteuid", lambda: 0)
    assert "apt-get" in mesa.install()
    log = (apt / "log").read_text().splitlines()
    assert len(log) == 3 and "mesa-vulkan-drivers" in log[0] and log[0] == log[2]
    assert not any("download-only" in line for line in log)
    assert not lavapipe.driver_folder().exists()


@linux
@pytest.mark.parametrize("user", [0, 1000])
def test_no_network_is_one_clear_error(
    apt: Path, monkeypatch: pytest.MonkeyPatch, user: int
) -> None:
    monkeypatch.setattr(mesa.os, "geteuid", lambda: user)
    monkeypatch.setenv("OFFLINE", "1")
    with pytest.raises(mesa.InstallError, match=r"apt-get .*update` failed: E: no network"):
        mesa.install()
    assert not lavapipe.driver_folder().exists()


@linux
def test_a_package_without_lavapipe_is_refused(apt: Path) -> None:
    (apt / "content/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so").unlink()
    with pytest.raises(mesa.InstallError, match="holds no lavapipe"):
        mesa.install()


@linux
def test_other_systems_are_told_their_own_command(
    linker: Linker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lavapipe.shutil, "which", lambda tool: tool if tool == "pacman" else None)
    with pytest.raises(mesa.InstallError, match="pacman -S vulkan-swrast"):
        mesa.install()
    monkeypatch.setattr(mesa.sys, "platform", "darwin")
    with pytest.raises(mesa.InstallError, match="graphics driver"):
        mesa.install()


def _renewed(monkeypatch: pytest.MonkeyPatch, driver: str, problem: str | None = None) -> str:
    monkeypatch.setattr(mesa, "_codename", lambda: "bookworm")
    return mesa.renew(driver, lambda environment: problem)


@linux
def test_a_newer_lavapipe_takes_the_place_of_the_systems(
    apt: Path, linker: Linker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    linker.system |= {"libvulkan.so.1", "libLLVM-15.so.1", "libz3.so.4", "libdrm.so.2"}
    system_driver(tmp_path, "lvp_icd.x86_64.json")
    nvidia = system_driver(tmp_path, "nvidia_icd.json")
    assert "25.0.7" in _renewed(monkeypatch, "Mesa 22.3.6 (LLVM 15.0.6)")
    folder = lavapipe.newer_folder()
    assert {path.name for path in (folder / "lib").iterdir()} == {"libvulkan_lvp.so"}
    manifest = json.loads((folder / lavapipe.ICD).read_text())
    assert manifest["ICD"]["library_path"] == str(folder / "lib/libvulkan_lvp.so")
    assert list(folder.parent.iterdir()) == [folder]
    monkeypatch.setenv("PICOTRON_DRIVER", "system")
    assert not lavapipe.activate()
    monkeypatch.delenv("PICOTRON_DRIVER")
    assert lavapipe.activate()
    assert os.environ["VK_ICD_FILENAMES"] == f"{nvidia}:{folder / lavapipe.ICD}"


@linux
def test_a_lavapipe_that_is_not_newer_is_not_unpacked(
    apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "25.0.8 stays" in _renewed(monkeypatch, "Mesa 25.0.8-1")
    assert not lavapipe.newer_folder().exists()


@linux
def test_a_newer_lavapipe_that_computes_wrongly_is_not_kept(
    apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(mesa.InstallError, match="is not used: a sort is off"):
        _renewed(monkeypatch, "Mesa 22.3.6", "a sort is off by 1")
    assert not lavapipe.newer_folder().exists()


@linux
def test_other_systems_have_no_newer_lavapipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesa, "_codename", lambda: None)
    with pytest.raises(mesa.InstallError, match="only Debian's backports"):
        mesa.renew("Mesa 22.3.6", lambda environment: None)


@pytest.mark.device
def test_the_drivers_check_finds_wrong_results(monkeypatch: pytest.MonkeyPatch) -> None:
    case = ("a sum", lambda x: x.sum(), (np.ones(70_000, np.float32),))
    monkeypatch.setattr(selfcheck, "cases", lambda: [case])
    assert selfcheck.first_difference() is None
    count = iter((1.0, 2.0))
    monkeypatch.setattr(selfcheck, "device_get", lambda x: np.full(3, next(count)))
    assert "a sum is off by 5" in selfcheck.first_difference()
