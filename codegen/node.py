"""Hash-consed expression nodes and their leaves.

Invariant: nodes are immutable and interned, so structural equality is identity, and every u32/i32
node carries an inclusive range `lo..hi` that holds for its value.
"""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

from ir.dtypes import DType, bool_, i32, u32

LIMITS = {u32: (0, 2**32 - 1), i32: (-(2**31), 2**31 - 1)}
_MASK = 2**32 - 1


class Expr:
    """One interned node. `args` are Exprs; `value` is the static payload of the op.

    const: the number; sym: the name; load: the binding number; linear: the coefficients of `args`
    followed by the constant. `lo`/`hi` bound integer values and are None for other dtypes. `key` is
    a content hash that is equal in every process, for deterministic order.
    """

    __slots__ = ("args", "dtype", "hi", "key", "lo", "op", "value")

    def __repr__(self) -> str:
        if self.op in ("const", "sym"):
            return str(self.value)
        if self.op == "linear":
            terms = (f"{a}*{c}" for a, c in zip(self.args, self.value, strict=False))
            return f"({' + '.join(terms)} + {self.value[-1]})"
        head = f"load{self.value}" if self.op == "load" else self.op
        return f"{head}({', '.join(map(repr, self.args))})"


_nodes: dict[tuple, Expr] = {}
_integers: dict[tuple[int, DType], Expr] = {}
_salts: dict[str, int] = {}
_forgetters: list[Callable[[], None]] = []


def clear() -> None:
    """Forget all nodes but symbols, which modules may hold on to.

    Other Exprs made before must not be combined with those made after.
    """
    symbols = {key: x for key, x in _nodes.items() if x.op == "sym"}
    _nodes.clear()
    _nodes.update(symbols)
    _integers.clear()
    for forget in _forgetters:
        forget()


def on_clear(forget: Callable[[], None]) -> None:
    """Register the clearing of a memo table that holds nodes."""
    _forgetters.append(forget)


def node(
    op: str,
    args: tuple[Expr, ...],
    dtype: DType,
    value: object = None,
    lo: int | None = None,
    hi: int | None = None,
) -> Expr:
    """The unique node with these fields. Integer ranges default to all values of the dtype."""
    if op == "const":  # 0.0 and -0.0 are equal but not the same constant
        key: tuple = (op, repr(value), dtype)
    elif op == "sym":
        key = (op, value, dtype, lo, hi)
    else:
        key = (op, args, dtype, value)
    found = _nodes.get(key)
    return found if found is not None else _make(key, op, args, dtype, value, lo, hi)


def _make(key: tuple, op: str, args: tuple, dtype: DType, value: object, lo, hi) -> Expr:
    made = _nodes[key] = Expr()
    made.op, made.args, made.dtype, made.value = op, args, dtype, value
    if lo is None and dtype in LIMITS:
        lo, hi = LIMITS[dtype]
    made.lo, made.hi = lo, hi
    if type(value) is str:
        value = crc32(value.encode())
    content = 0 if value is None else value
    made.key = hash((_salt(op), _salt(dtype.name), content, *[a.key for a in args]))
    return made


def _salt(text: str) -> int:
    """A hash of a name that, unlike hash(), is equal in every process."""
    return _salts.get(text) or _salts.setdefault(text, crc32(text.encode()))


# --- leaves -------------------------------------------------------------------------------------


def wrapped(value: int, dtype: DType) -> int:
    """`value` modulo 2**32, as the dtype represents it."""
    value &= _MASK
    return value - 2**32 if dtype is i32 and value >= 2**31 else value


def integer(value: int, dtype: DType = u32) -> Expr:
    """The u32 or i32 constant `value`, wrapped into the dtype."""
    found = _integers.get((value, dtype))
    if found is None:
        wrap = wrapped(int(value), dtype)
        found = _integers[value, dtype] = node("const", (), dtype, wrap, wrap, wrap)
    return found


def truth(value: bool) -> Expr:
    return node("const", (), bool_, bool(value))


def sym(name: str, lo: int | None = None, hi: int | None = None, dtype: DType = u32) -> Expr:
    """A WGSL variable or other primary expression, with the inclusive range of its value."""
    return node("sym", (), dtype, name, lo, hi)


def pair(a: Expr | int, b: Expr | int) -> tuple[Expr, Expr]:
    """Both operands as Exprs of one integer dtype; plain ints take the dtype of the other."""
    if not isinstance(a, Expr):
        a = integer(a, b.dtype if isinstance(b, Expr) else u32)
    if not isinstance(b, Expr):
        b = integer(b, a.dtype)
    if a.dtype is not b.dtype:
        raise TypeError(f"integer operands differ in dtype: {a.dtype} and {b.dtype}; cast one")
    return a, b
