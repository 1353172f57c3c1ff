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

from ir.sharding import ShardingTypeError

from . import diff, dump, sharded
from .compile import CompileError
from .profile import PROFILES, WEBGPU_DEFAULT
from .table import kernels_table
from .target import REFERENCE, UsageError, choose, load

EXAMPLES = """
examples:
  python -m codegen dump                               the kernels of the reference train step
  python -m codegen dump --stage fuse --kernel matmul  the groups that one kernel computes
  python -m codegen dump --kernel 'attention*'         all kernels whose names begin so
  python -m codegen dump --out before && ... && python -m codegen dump --out after
  python -m codegen dump --stage shard --mesh dp=2,tp=2    what one of four devices does
  python -m codegen collectives --mesh dp=2,cp=2,tp=2 --sp  and what it tells the others
  python -m codegen diff before after                  what a change did to the generated code
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        return options.run(options)
    except (UsageError, CompileError, ShardingTypeError, ValueError) as error:
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
    every = {**dump.STAGES, **sharded.STAGES}
    stages = "\n".join(f"  {name:<9} {text}" for name, text in every.items())
    add = commands.add_parser("dump", help="print or write a stage", formatter_class=raw)
    add.epilog = f"stages:\n{stages}"
    _add_target(add)
    add.add_argument("--stage", help="which stage to print (default: wgsl); see below")
    add.add_argument(
        "--kernel",
        help="only kernels of this name, beginning or pattern (*), for fuse, plan and wgsl",
    )
    add.add_argument("--out", type=Path, help="write one file a kernel, plan.txt and program.json")
    add.set_defaults(run=_dump)
    _add_mesh(add)
    add = commands.add_parser("collectives", help="what the devices of a mesh tell each other")
    _add_target(add)
    _add_mesh(add, required=True)
    add.set_defaults(run=_collectives)
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


def _add_mesh(parser: argparse.ArgumentParser, required: bool = False) -> None:
    add = parser.add_argument_group("a mesh of devices").add_argument
    add("--mesh", metavar="AXIS=N,...", required=required, help="sizes, such as dp=2,tp=2")
    add("--sp", action="store_true", help="cut positions along tp where layers work row by row")
    add("--fsdp", action="store_true", help="cut weights along the data axes at rest")
    add("--zero1", action="store_true", help="cut the optimizer's moments along the data axes")
    add("--context", default="gather", help="attention on cp: gather (default), ring or ulysses")
    add("--zigzag", action="store_true", help="early and late positions for each member of cp")
    add("--without", default="", metavar="PASS,...", help="passes over messages to leave out")


def _asked(options: argparse.Namespace) -> sharded.Asked:
    cuts = tuple(n for n in ("sp", "fsdp", "zero1") if getattr(options, n))
    without = tuple(filter(None, options.without.split(",")))
    sizes = sharded.mesh_sizes(options.mesh)
    return sharded.Asked(sizes, cuts, options.context, options.zigzag, without)


def _collectives(options: argparse.Namespace) -> int:
    asked = _asked(options)
    print(sharded.collectives_text(sharded.load(options.target, asked), asked.without), end="")
    return 0


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
    if options.mesh is not None:
        return _dump_sharded(options)
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


def _dump_sharded(options: argparse.Namespace) -> int:
    name = choose("stage", options.stage or "shard", sharded.STAGES)
    asked = _asked(options)
    done = sharded.load(options.target, asked)
    print(dump.graph_text(sharded.stage(done, name, asked.without)), end="")
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
