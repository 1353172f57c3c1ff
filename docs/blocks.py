"""The code blocks of the documentation: run them, and keep the output they show up to date.

Invariant: a block marked `output` (```text output, ```wgsl output) is what the Python block before
it prints, long repetitions folded; all Python blocks of a file run in order in one namespace, and
between them, in the same folder, the commands of blocks marked `run` (```console run).

    python docs/blocks.py            write the outputs of README.md and docs/*.md anew
    python docs/blocks.py --check    say which ones are out of date, and exit with 1
"""

from __future__ import annotations

import contextlib
import io
import linecache
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LONGEST_PERIOD, _LEAST_REPEATS, _LEAST_LINES = 12, 3, 5


@dataclass(frozen=True)
class Block:
    """One fenced block. `title` is what follows the language; `span` is where the text stands."""

    page: Path
    language: str
    title: str
    text: str
    span: tuple[int, int]

    @property
    def is_output(self) -> bool:
        return self.title == "output"

    @property
    def where(self) -> str:
        line = self.page.read_text(encoding="utf-8")[: self.span[0]].count("\n") + 1
        return f"{self.page.relative_to(ROOT)}:{line}"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = _FENCE.finditer(text)
    return [Block(page, m[1], m[2].strip(), m[3], (m.start(3), m.end(3))) for m in found]


def run(page: Path) -> Iterator[tuple[Block, str]]:
    """(output block, what it should say) for each output block of a page, all code having run."""
    namespace: dict[str, Any] = {"__name__": page.stem}
    printed = ""
    for number, block in enumerate(blocks(page)):
        if block.language == "python":
            printed = execute(block, namespace, block.title or f"{page.stem}-{number}.py")
        elif block.title == "run":
            command(block)
        elif block.is_output:
            yield block, fold(printed) if block.language == "wgsl" else printed
    namespace.clear()  # functions and their globals hold each other, and with them device memory


def execute(block: Block, namespace: dict[str, Any], name: str) -> str:
    """Run a Python block as if it were a file called `name`; returns what it printed."""
    linecache.cache[name] = len(block.text), None, block.text.splitlines(keepends=True), name
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.text, name, "exec"), namespace)
    return printed.getvalue()


def command(block: Block) -> None:
    """Run the `$ picotron` lines of a block; raises RuntimeError if one fails or is silent."""
    from picotron import cli

    for line in re.findall(r"^\$ picotron (.+)$", block.text, re.MULTILINE):
        before, sys.stdin = sys.stdin, io.StringIO("How do you do?\n\n")  # for `chat`
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                code = cli.main(shlex.split(line))
        finally:
            sys.stdin = before
        if code or not printed.getvalue():
            raise RuntimeError(f"{block.where}: picotron {line} ended with {code}")


# --- folding ------------------------------------------------------------------------------------


def fold(wgsl: str) -> str:
    """Unrolled code with the repetitions of a group of lines replaced by one comment."""
    lines = wgsl.rstrip("\n").splitlines()
    alike = [re.sub(r" \+ \d+u|\d+|\.[xyzw]\b", "", line) for line in lines]
    kept: list[str] = []
    at = 0
    while at < len(lines):
        period, times = _repetition(alike, at)
        kept += lines[at : at + period]
        if times > 1:
            indent = re.match(r" *", lines[at])[0]
            kept.append(f"{indent}// ... and {times - 1} more like it")
        at += period * times
    return "\n".join(kept) + "\n"


def _repetition(alike: list[str], at: int) -> tuple[int, int]:
    """(lines of a group, how often it stands here): the longest repetition, or one line, once."""
    best = 1, 1
    if alike[at].strip() == "}":  # the end of something else, not the start of a group
        return best
    for period in range(1, _LONGEST_PERIOD + 1):
        group, times = alike[at : at + period], 1
        while alike[at + times * period : at + (times + 1) * period] == group:
            times += 1
        enough = times >= _LEAST_REPEATS and times * period >= _LEAST_LINES
        if enough and times * period > best[0] * best[1]:
            best = period, times
    return best


# --- the contents of the documentation ------------------------------------------------------------

ORDER = ("tutorial", "verbs", "trainer", "how-to", "reading-a-kernel")  # then by name
_CONTENTS = re.compile(r"(?<=<!-- contents -->\n).*?(?=<!-- end of contents -->)", re.DOTALL)


def contents() -> str:
    """A line for each page: its title, and the first sentence as what it is about."""
    pages = [page for page in PAGES if page.parent.name == "docs"]
    rank = {name: n for n, name in enumerate(ORDER)}
    pages.sort(key=lambda page: (rank.get(page.stem, len(ORDER)), page.stem))
    return "".join(f"* [{title}](docs/{page.name}): {about}\n" for page in pages
                   for title, about in [_opening(page)])  # fmt: skip


def _opening(page: Path) -> tuple[str, str]:
    text = page.read_text(encoding="utf-8")
    title, paragraph = re.match(r"# (.+)\n\n((?:.+\n)+)", text).groups()
    sentence = re.split(r"(?<=[.:]) ", " ".join(paragraph.split()), maxsplit=1)[0].rstrip(".:")
    return title, re.sub(r"\[(.+?)\]\(.+?\)", r"\1", sentence[0].lower() + sentence[1:])


def with_contents(text: str) -> str:
    """A page whose list of contents, if it has one, is that of today."""
    return _CONTENTS.sub(lambda _: contents(), text)


# --- keeping pages up to date -------------------------------------------------------------------


def refresh(page: Path) -> bool:
    """Write the outputs of a page anew; returns whether anything changed."""
    before = text = page.read_text(encoding="utf-8")
    for block, wanted in reversed(list(run(page))):
        text = text[: block.span[0]] + wanted + text[block.span[1] :]
    text = with_contents(text)
    if text != before:
        page.write_text(text, encoding="utf-8")
    return text != before


def main(arguments: list[str]) -> int:
    """Refresh or check all pages; returns the exit code."""
    sys.path.insert(0, str(ROOT))
    stale = False
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        os.makedirs("outputs")
        for page in PAGES:
            if "--check" in arguments:
                wrong = [block for block, wanted in run(page) if block.text != wanted]
                stale |= bool(wrong)
                print("\n".join(f"{block.where} is out of date" for block in wrong), end="")
            elif refresh(page):
                print(f"wrote {page.relative_to(ROOT)}")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
