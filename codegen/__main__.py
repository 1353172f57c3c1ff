"""`python -m codegen dump | kernels | diff`: look inside a compile, without a device.

Invariant: exit code 0 is success, 1 that `diff` found differences, 2 a request that cannot be met,
said in one sentence on stderr.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import diff, dump
from .compile import CompileError
from .profile import PROFILES, WEBGPU_DEFAULT
from .table import kernels_table
from .target import REFERENCE, UsageError, choose, load

EXAMPLES = """
examples:
  python -m codegen dump                               the kernels of the reference train step
  python -m codegen dump --stage fuse --kernel matmul  the groups that one kernel computes
  python -m codegen dump --out before && ... && python -m codegen dump --out after
  python -m codegen diff before after                  what a change did to the generated code
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        return options.run(options)
    except (UsageError, CompileError) as error:
        print(f"python -m codegen: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m codegen",
        description="Look inside a compile; no device is needed.",
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    stages = "\n".join(f"  {name:<9} {text}" for name, text in dump.STAGES.items())
    add = commands.add_parser("dump", help="print or write a stage", formatter_class=raw)
    add.epilog = f"stages:\n{stages}"
    _add_target(add)
    add.add_argument("--stage", help="which stage to print (default: wgsl); see below")
    add.add_argument("--kernel", help="only this kernel, for the stages fuse, plan and wgsl")
    add.add_argument("--out", type=Path, help="write one file a kernel, plan.txt and program.json")
    add.set_defaults(run=_dump)
    add = commands.add_parser("kernels", help="a table of the kernels and their costs")
    _add_target(add)
    add.set_defaults(run=_kernels)
    add = commands.add_parser("diff", help="compare two dumps; exit code 1 if they differ")
    add.add_argument("old", type=Path, help="a folder that `dump --out` wrote, or a program.json")
    add.add_argument("new", type=Path)
    add.set_defaults(run=_diff)
    return parser


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target",
        nargs="?",
        default=REFERENCE,
        metavar="MODULE:FUNCTION",
        help="a function of no arguments that returns (function, example arguments); "
        f"default {REFERENCE}",
    )
    parser.add_argument(
        "--profile",
        default=WEBGPU_DEFAULT.name,
        help=f"limits to compile for: {', '.join(PROFILES)} (default: {WEBGPU_DEFAULT.name})",
    )
    parser.add_argument(
        "--donate",
        metavar="N,...",
        help="positions of arguments whose memory results may take over "
        "(default: none; 0 for the reference step)",
    )


def _compiled(options: argparse.Namespace):
    profile = PROFILES[choose("profile", options.profile, PROFILES)]
    target = load(options.target, _positions(options.donate))
    return target, dump.compiled(target, profile)


def _positions(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(n) for n in text.split(",") if n.strip())
    except ValueError:
        raise UsageError(f"--donate takes positions such as 0,1, not {text!r}") from None


def _dump(options: argparse.Namespace) -> int:
    stage = choose("stage", options.stage or "wgsl", dump.STAGES)
    target, done = _compiled(options)
    if options.out is None or options.kernel is not None:
        text = dump.stage_text(stage, target, done, options.kernel)
        if options.out is None:
            print(text, end="")
            return 0
    try:
        files = dump.write(options.out, target, done, options.stage)
    except OSError as error:
        raise UsageError(f"cannot write to {options.out}: {error.strerror}") from None
    print(f"{len(files)} files in {options.out}")
    return 0


def _kernels(options: argparse.Namespace) -> int:
    _, done = _compiled(options)
    print(kernels_table(done.program), end="")
    return 0


def _diff(options: argparse.Namespace) -> int:
    report = diff.diff(diff.read(options.old), diff.read(options.new))
    print(report or "no difference", end="" if report else "\n")
    return 1 if report else 0


if __name__ == "__main__":
    sys.exit(main())
