"""Rendering of the kernel templates.

Invariant: an undefined template variable is an error, never an empty string in the WGSL.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2

from codegen.grid import flat_id, folded, spare
from codegen.packing import with_helpers

_LOCALS = frozenset(
    "a acc b batch col col0 d delta_in dos e early end first group head i id j k k0 key_segment_in "
    "ks kv_head lane last lse_in mac main more n p part partial qs quad query_segment_in r row "
    "rolled row0 row_segment rows step sum sums t tile tops tx ty vs whole".split()
)
TEMPLATES = Path(__file__).with_name("templates")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.globals.update(plus=_plus, add=_add, flat_id=flat_id, folded=folded, spare=spare)
    return environment


def _plus(offset: int) -> str:
    return f" + {offset}u" if offset else ""


def _add(a: str, b: str) -> str:
    return a if b == "0u" else f"{a} + {b}"


def render(template: str, **variables: object) -> str:
    """WGSL of `templates/<template>.wgsl.j2`; a missing variable raises `UndefinedError`."""
    return with_helpers(_environment().get_template(f"{template}.wgsl.j2").render(**variables))


def is_taken(name: str) -> bool:
    """Whether a template may declare `name`, which then must not name a binding or function."""
    known = name in _LOCALS or name.endswith("_tile") or name.startswith(("a_", "b_"))
    return known or name[-1].isdigit()
