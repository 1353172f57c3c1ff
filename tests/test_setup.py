"""Installing: the metadata, the `setup` script against stand-in tools, the shipped text, CI."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]
TOP = sorted({name.partition(".")[0] for name in PACKAGES})
TEXT = ROOT / "picotron/data/pride_and_prejudice.txt"

posix = pytest.mark.skipif(sys.platform == "win32", reason="setup is a POSIX shell script")


def _modules() -> list[Path]:
    return [path for top in TOP for path in sorted((ROOT / top).rglob("*.py"))]


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.partition(".")[0])
    return names


OTHER_NAMES = {"cffi": {"_cffi_backend"}}  # modules of a package beside the one of its name


def _declared() -> set[str]:
    return {re.match(r"[\w-]+", text)[0].lower() for text in PROJECT["project"]["dependencies"]}


def test_every_package_is_listed() -> None:
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in _modules()}
    assert sorted(PACKAGES) == sorted(found)


def test_every_data_file_is_shipped() -> None:
    shipped = PROJECT["tool"]["setuptools"]["package-data"]
    for top in TOP:
        files = (path for path in (ROOT / top).rglob("*") if path.is_file())
        for path in (p for p in files if p.suffix not in (".py", ".pyc")):
            name = path.relative_to(ROOT / top).as_posix()
            assert any(fnmatch(name, glob) for glob in shipped.get(top, [])), path


def test_every_import_is_declared() -> None:
    groups = PROJECT["project"]["optional-dependencies"].values()
    extras = (text for group in groups for text in group)
    optional = {re.match(r"[\w-]+", text)[0].lower() for text in extras}
    beside = set().union(*OTHER_NAMES.values())
    known = {*sys.stdlib_module_names, *TOP, *_declared(), *optional, *beside}
    undeclared = {str(path): _imported(path) - known for path in _modules()}
    assert not {path: names for path, names in undeclared.items() if names}


def test_every_dependency_is_used() -> None:
    used = set().union(*map(_imported, _modules()))
    assert _declared() <= used


def test_the_command_exists() -> None:
    module, _, function = PROJECT["project"]["scripts"]["picotron"].partition(":")
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_shipped_text_is_clean_and_documented() -> None:
    raw = TEXT.read_bytes()
    text = raw.decode("ascii")
    paragraphs = text.rstrip("\n").split("\n\n")
    assert len(raw) <= 900_000
    assert not re.search(r"[\r\t_]|  |\n\n\n|[^\n]\n[^\n]", text)
    assert [p for p in paragraphs if p.startswith("Chapter ")] == [
        f"Chapter {i}" for i in range(1, 62)
    ]
    source = (TEXT.parent / "SOURCE.md").read_text()
    assert hashlib.sha256(raw).hexdigest() in source
    assert f"{len(raw):,} bytes" in source
    assert f"{len(paragraphs):,} paragraphs" in source
    assert f"{len(set(text))} distinct characters" in source


@posix
@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "busybox"])
def test_setup_is_plain_shell(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    command = [shell, "sh", "-n"] if shell == "busybox" else [shell, "-n"]
    subprocess.run([*command, ROOT / "setup"], check=True)
    assert len((ROOT / "setup").read_text().splitlines()) <= 80


@posix
def test_ci_runs_what_the_readme_says() -> None:
    script, readme = (ROOT / ".ci/run").read_text(), (ROOT / "README.md").read_text()
    for name in ("setup", ".ci/run"):
        assert os.access(ROOT / name, os.X_OK), name
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)
    for command in ("./setup --dev", ".venv/bin/python -m pytest"):
        assert re.search(rf"^step {re.escape(command)}", script, re.M), command
        assert command in readme, command
    assert "./setup &&" in readme


# The stand-in python answers version questions with the version it is told, makes an
# environment by copying itself, and notes what it is asked to install.
FAKE_PYTHON = r"""#!/bin/sh
case "$*" in
    *version_info*"< (3, 11)"*) exit "${FAKE_OLD:-0}" ;;
    --version) echo "Python 3.9.2" ;;
    "-c import ensurepip") exit 0 ;;
    "-m venv --clear .venv")
        mkdir -p .venv/bin
        cp "$0" .venv/bin/python
        printf '#!/bin/sh\necho "picotron $*" >>"%s"\n' "$LOG" >.venv/bin/picotron
        chmod +x .venv/bin/picotron
        echo venv >>"$LOG" ;;
    *"-m pip --version") ;;
    *"-m pip install"*)
        for last; do :; done
        echo "pip $last" >>"$LOG" ;;
    *) echo "unexpected: $*" >>"$LOG"; exit 1 ;;
esac
"""
FAKE_UV = r"""#!/bin/sh
for last; do :; done
case "$*" in
    venv*) "$FAKE_BIN/python3" -m venv --clear .venv ;;
    "pip install"*) [ -z "${FAKE_OFFLINE:-}" ] || exit 1; echo "uv $last" >>"$LOG" ;;
esac
"""


class Checkout:
    """A folder with `setup` and nothing else, and a PATH with only stand-ins on it."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.bin, self.log = folder / "a tree", folder / "bin", folder / "log"
        self.tree.mkdir()
        self.bin.mkdir()
        for name in ("setup", "pyproject.toml"):
            shutil.copy2(ROOT / name, self.tree)
        for tool in ("sh", "dirname", "cat", "cksum", "id", "mkdir", "cp", "chmod"):
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.tool("python3", FAKE_PYTHON)

    def tool(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def setup(self, *flags: str, **env: str) -> subprocess.CompletedProcess[str]:
        env |= {"PATH": str(self.bin), "LOG": str(self.log), "FAKE_BIN": str(self.bin)}
        command = [shutil.which("sh"), self.tree / "setup", *flags]
        return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True)

    def asked(self) -> list[str]:
        """What the stand-ins were asked to do since the last call."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


DOCTOR = "picotron doctor --fix"


@posix
def test_a_second_setup_changes_nothing(checkout: Checkout) -> None:
    assert checkout.setup().returncode == 0
    assert checkout.asked() == ["venv", "pip .", DOCTOR]
    again = checkout.setup()
    assert again.returncode == 0 and "up to date" in again.stderr
    assert checkout.asked() == [DOCTOR]


@posix
def test_dev_adds_the_test_tools_and_covers_plain_setup(checkout: Checkout) -> None:
    checkout.setup()
    checkout.asked()
    checkout.setup("--dev")
    assert checkout.asked() == ["pip .[dev]", DOCTOR]
    checkout.setup("--dev")
    checkout.setup()
    assert checkout.asked() == [DOCTOR, DOCTOR]


@posix
@pytest.mark.parametrize("change", ["metadata", "moved", "broken"])
def test_setup_repairs_what_is_stale(checkout: Checkout, change: str) -> None:
    checkout.setup()
    checkout.asked()
    if change == "metadata":
        with (checkout.tree / "pyproject.toml").open("a") as file:
            file.write("# another dependency\n")
    elif change == "moved":
        checkout.tree = checkout.tree.rename(checkout.tree.with_name("elsewhere"))
    else:
        (checkout.tree / ".venv/bin/python").unlink()
    assert checkout.setup().returncode == 0
    made = ["venv"] if change == "broken" else []
    assert checkout.asked() == [*made, "pip .", DOCTOR]


@posix
def test_setup_prefers_uv_and_survives_its_failure(checkout: Checkout) -> None:
    checkout.tool("uv", FAKE_UV)
    assert checkout.setup().returncode == 0
    assert checkout.asked() == ["venv", "uv .", DOCTOR]
    assert checkout.setup("--dev", FAKE_OFFLINE="1").returncode == 0
    assert checkout.asked() == ["pip .[dev]", DOCTOR]


@posix
def test_setup_without_a_recent_python_says_so(checkout: Checkout) -> None:
    done = checkout.setup(FAKE_OLD="1")
    assert done.returncode == 1
    assert "needs Python 3.11 or newer, found Python 3.9.2" in done.stderr
    assert "PYTHON=" in done.stderr
    assert checkout.asked() == [] and not (checkout.tree / ".venv").exists()


@posix
def test_a_failed_install_is_not_taken_for_done(checkout: Checkout) -> None:
    broken = FAKE_PYTHON.replace('echo "pip $last" >>"$LOG"', "exit 1")
    checkout.tool("python3", broken)
    assert checkout.setup().returncode != 0
    assert checkout.asked() == ["venv"]
    checkout.tool("python3", FAKE_PYTHON)
    shutil.copy2(checkout.bin / "python3", checkout.tree / ".venv/bin/python")
    assert checkout.setup().returncode == 0
    assert checkout.asked() == ["pip .", DOCTOR]


@posix
def test_setup_refuses_unknown_flags(checkout: Checkout) -> None:
    done = checkout.setup("--develop")
    assert done.returncode == 2 and "usage: ./setup [--dev]" in done.stderr
    assert checkout.asked() == []
