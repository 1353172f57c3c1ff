"""Records of the two heavy kernels: what is computed, in sizes alone.

Invariant: a record says nothing of buffers, epilogues or tiles; equal records get equal tilings on
equal profiles, so a record is also the key under which measured configurations may be kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from ir.graph import Eqn


@dataclass(frozen=True)
class Matmul:
    """out[b, m, n] = sum over k of A[b, m, k] * B[b, k, n], accumulated in f32.

    `a_axis` ("k" or "m") and `b_axis` ("k" or "n") name the axis along which four neighbours of the
    operand are contiguous in memory, so that one vec4 load fetches them.
    """

    batch: int
    m: int
    n: int
    k: int
    a_axis: str = "k"
    b_axis: str = "n"

    def __post_init__(self) -> None:
        _positive(self, ("batch", "m", "n", "k"))
        if self.a_axis not in ("k", "m") or self.b_axis not in ("k", "n"):
            raise ValueError(
                f"Matmul: a_axis must be 'k' or 'm' and b_axis 'k' or 'n', "
                f"not {self.a_axis!r} and {self.b_axis!r}."
            )

    @property
    def flops(self) -> int:
        """Multiplications and additions, padding not counted."""
        return 2 * self.batch * self.m * self.n * self.k


@dataclass(frozen=True)
class Attention:
    """Scaled dot-product attention over q [B, Sq, NH, D] and k, v [B, Sk, NKV, D].

    Query head h reads kv head h // group. With `causal`, key j is visible to query i exactly when
    j <= i + kv_len - q_len. With `segments`, queries and keys have numbers and see each other only
    where these are equal; if they are `ordered`, numbers never fall along a sequence. A query that
    sees no key yields zeros, and no gradient.
    """

    batch: int
    heads: int
    kv_heads: int
    q_len: int
    kv_len: int
    head_dim: int
    causal: bool
    scale: float
    segments: bool = False
    ordered: bool = False

    def __post_init__(self) -> None:
        _positive(self, ("batch", "heads", "kv_heads", "q_len", "kv_len", "head_dim"))
        if self.heads % self.kv_heads:
            raise ValueError(
                f"Attention: {self.heads} query heads do not share {self.kv_heads} kv heads; "
                f"make the first a multiple of the second."
            )
        if self.head_dim % 4:
            raise ValueError(
                f"Attention: head_dim {self.head_dim} is not a multiple of 4; "
                f"use the reference expansion instead of the kernel."
            )

    @staticmethod
    def of(eqn: Eqn) -> Attention:
        """Sizes of an attention equation, forward or backward."""
        b, s, n, d = eqn.ins[0].aval.shape
        _, t, kv, _ = eqn.ins[1].aval.shape
        segments = bool(eqn.prim.ids(eqn.ins))
        return Attention(b, n, kv, s, t, d, **{"segments": segments, **eqn.params})

    @property
    def group(self) -> int:
        """Query heads per kv head."""
        return self.heads // self.kv_heads

    @property
    def pairs(self) -> int:
        """Visible (query, key) pairs of one head, if all are of one segment."""
        if not self.causal:
            return self.q_len * self.kv_len
        first = self.kv_len - self.q_len + 1  # keys visible to query 0, if positive
        hidden = max(0, -first + 1)  # leading queries that see nothing
        low, count = max(first, 1), max(0, self.q_len - hidden)
        return count * (2 * low + count - 1) // 2

    @property
    def flops(self) -> int:
        """Forward: two products of head_dim per visible pair."""
        return 4 * self.batch * self.heads * self.pairs * self.head_dim


def _positive(record: object, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(record, name) < 1:
            kind = type(record).__name__
            raise ValueError(f"{kind}: {name} must be at least 1, not {getattr(record, name)}.")
