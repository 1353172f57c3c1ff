"""Why a recorded failure fails, for FEATURES.md: a decision, something missing, or a defect.

Invariant: every failure has a reason; what nothing here knows is called a defect, whatever its
message.
"""

from __future__ import annotations

import re

SHAPES = "the result's shape depends on values, and compiled shapes are fixed"
SPECIAL = "special functions outside of neural networks"
NOT_YET = "not there yet"
REFUSED = "JAX's own function does not take this sample"
DEFECT = {
    "raises": "a defect: it raises where JAX does not",
    "differs": "a defect: the values differ from JAX's",
    "text": "an error of another type or with another text than JAX's",
}

# Patterns of what was told, the first that is found counts. Kept short: `missing` and `argument`
# explain themselves.
DECISIONS: tuple[tuple[str, str], ...] = (
    (r"^unmapped: ", REFUSED),
    (r"shape depends? on|would make the result's shape|NonConcreteBoolean", SHAPES),
    (r"complex", "complex numbers: WGSL has none"),
    (r"float64|int64|uint64|64-bit", "64-bit types: WGSL has none"),
    (
        r"(float8|int8|int4|uint8|int16|uint16)",
        "a type that WGSL can neither store nor compute with",
    ),
    (r"missing: (make_mesh|sharding|shard_map|NamedSharding|P\b|devices)", "one device: no mesh"),
    (r"missing: .*(lgamma|digamma|gamma|bessel|zeta|betainc)", SPECIAL),
    (r"missing: linalg\.(eig|eigvals)$", "complex numbers: WGSL has none"),
    (r"^(missing|argument): ", NOT_YET),
    (r"^(error type|message): ", DEFECT["text"]),
    (r"^error: ", DEFECT["raises"]),
)


def told(failure: str) -> str:
    """A recorded failure without the checks that it passed through."""
    return re.sub(r"^((value|jit|gradient): )+", "", failure)


def reason(failure: str) -> str:
    """Why a recorded failure fails."""
    text = told(failure)
    found = (why for pattern, why in DECISIONS if re.search(pattern, text))
    return next(found, DEFECT["differs"])


def by_reason(failures: dict[str, str]) -> dict[str, dict[str, str]]:
    """{reason: {name: failure}}, the most frequent reason first."""
    grouped: dict[str, dict[str, str]] = {}
    for name, failure in failures.items():
        grouped.setdefault(reason(failure), {})[name] = failure
    return dict(sorted(grouped.items(), key=lambda item: (-len(item[1]), item[0])))
