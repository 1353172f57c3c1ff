"""Products of few rows: which ones the matvec kernel takes, and how it lays them out.

Invariant: a layout is a pure function of (sizes, profile). Every element of B is read once by one
invocation, four neighbours at a time; several of its loads are independent, so that they are in
flight together. A is staged in workgroup memory, a chunk of k at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from ir.graph import Aval, Eqn
from ir.prims.contract import parse, roles

from .grid import ceil_div
from .profile import Profile

ROWS = 8  # rows of A that one read of B serves
ROWS_WITHOUT_SUBGROUPS = 2  # partial sums of more would fill the workgroup memory
COLUMNS = 16  # fewer results than that do not fill one workgroup
SECTOR = 32  # bytes that memory hands over at a time
STAGED = 16 << 10  # bytes of A in workgroup memory, at most
SUMS = 1 << 10  # bytes left for sums over rows
THREADS = 256
HELD_THREADS = 384
HELD_STEPS = 4  # of four loads of B and one of each row of A
HELD = 16  # vec4s of A that fit into registers beside B
HELD_SHARE = 0.85  # of the lanes' steps lie within k, at least
IN_FLIGHT = {False: 8, True: 5}  # steps written out; one loads a vec4, or four along k


@dataclass(frozen=True)
class MatvecConfig:
    """`lanes` invocations share each of `quads` groups of four columns of a workgroup.

    `along_k`: B is contiguous along k, so a load fetches four k of one column, and four of them
    make a step; otherwise a load fetches four columns of one k. A `chunk` of k is staged at a time
    and walked in `steps` steps, `unroll` of them written out. Where A is `held`, a step is four k
    of four columns, all steps are written out and a chunk is all of k.
    """

    quads: int
    lanes: int
    subgroup: int
    along_k: bool
    chunk: int
    unroll: int
    held: bool = False

    @property
    def template(self) -> str:
        return "matvec_held" if self.held else "matvec"

    @property
    def name(self) -> str:
        held = ", A held" if self.held else ""
        return f"{self.lanes} lanes for each of {self.quads}, {self.unroll} steps{held}"

    def memory(self, rows: int) -> int:
        """Bytes of workgroup memory, at most."""
        return self.staged_bytes(rows) + self.partial_bytes(rows) + SUMS

    def staged_bytes(self, rows: int) -> int:
        return 0 if self.held else 4 * rows * self.chunk

    @property
    def threads(self) -> int:
        return self.quads * self.lanes

    @property
    def columns(self) -> int:
        return 4 * self.quads

    @property
    def depth(self) -> int:
        """k that all lanes of a quad cover in one step."""
        return self.lanes * (4 if self.along_k or self.held else 1)

    @property
    def steps(self) -> int:
        return self.chunk // self.depth

    @property
    def shared(self) -> int:
        """Lanes of a quad in one subgroup, which add up by shuffles."""
        if not self.subgroup:
            return 1
        return min(self.lanes, self.subgroup if self.along_k else self.subgroup // self.quads)

    @property
    def hops(self) -> list[int]:
        """Distances of those shuffles."""
        first = 1 if self.along_k else self.quads
        return [first << n for n in range(self.shared.bit_length() - 1)]

    @property
    def parts(self) -> int:
        """Partial sums of a quad that meet in workgroup memory; 1: none do."""
        return self.lanes // self.shared

    def partial_bytes(self, rows: int) -> int:
        return 16 * self.parts * rows * self.quads if self.parts > 1 or self.held else 0

    @property
    def bundles(self) -> int:
        """Values of a sum over the whole workgroup that meet in workgroup memory."""
        return self.threads // max(1, self.subgroup)

    def sum_bytes(self, rows: int) -> int:
        """What a sum over the rows takes of it."""
        return 4 * rows * (self.parts * self.quads if self.held else 1 + self.bundles)

    @property
    def whole_hops(self) -> list[int]:
        """Distances of the shuffles that add up a subgroup."""
        return [1 << n for n in range(max(1, self.subgroup).bit_length() - 1)]


def few_rows(spec: str, x: Aval, y: Aval, profile: Profile) -> bool:
    """Whether a product is one of few rows, so that reading the larger operand is its whole cost.

    A software adapter serves them by its own kernel, in which a subgroup shares the rows.
    """
    if profile.kind == "cpu":
        return False
    size = _sizes(spec, x, y)
    batch, m, n, k = (prod(size[c] for c in letters) for letters in roles(spec))
    most = ROWS if profile.subgroup else ROWS_WITHOUT_SUBGROUPS
    return 0 < min(m, n) <= most and max(m, n) >= COLUMNS and batch * k > 0


def is_matvec(eqn: Eqn, profile: Profile) -> bool:
    """Whether the matvec kernel computes this contraction."""
    if eqn.prim.kind != "contract":
        return False
    x, y = eqn.ins
    return few_rows(eqn.params["spec"], x.aval, y.aval, profile)


@dataclass(frozen=True)
class Roles:
    """The letters of an einsum by role, `m` those of the few rows, which operand `vector` has."""

    vector: int
    batch: str
    m: str
    n: str
    k: str
    letters: tuple[str, str]  # of the vector and of the matrix
    out: str
    sizes: dict[str, int]

    def size(self, letters: str) -> int:
        return prod(self.sizes[c] for c in letters)

    @property
    def rows_lie_together(self) -> bool:
        """Whether the vector operand is a plain matrix of rows."""
        return not self.batch and self.letters[0] == self.m + self.k


def roles_of(eqn: Eqn) -> Roles:
    """Who is who in a matvec."""
    spec, (x, y) = eqn.params["spec"], eqn.ins
    a, b, out = parse(spec)
    sizes = _sizes(spec, x.aval, y.aval)
    batch, m, n, k = roles(spec)
    if prod(sizes[c] for c in m) > prod(sizes[c] for c in n):
        return Roles(1, batch, n, m, k, (b, a), out, sizes)
    return Roles(0, batch, m, n, k, (a, b), out, sizes)


def _sizes(spec: str, x: Aval, y: Aval) -> dict[str, int]:
    a, b, _ = parse(spec)
    return dict(zip(a, x.shape, strict=True)) | dict(zip(b, y.shape, strict=True))


# --- layout ---------------------------------------------------------------------------------------


def matvec_config(
    rows: int, columns: Sequence[int], k: int, batch: int, along_k: bool, profile: Profile,
    itemsize: int = 4, holdable: bool = False,
) -> MatvecConfig:  # fmt: skip
    """Layout of products of one A [rows, k] with matrices of so many `columns`: what the profile's
    table names, else the usual one.

    An element of the matrices takes `itemsize` bytes. `holdable`: what A is computed from lets each
    invocation compute its own share.
    """
    quads, lanes = _usual(columns, k, batch, along_k, profile, itemsize)
    held = holdable and _held(quads, rows, k, along_k, profile)
    usual = held or _staged(quads, lanes, IN_FLIGHT[along_k], rows, k, along_k, profile)
    key = matvec_key(rows, columns, k, batch, along_k)
    options = lambda: matvec_options(rows, k, along_k, profile, holdable)  # noqa: E731
    return profile.choices.pick(key, options, usual)


def matvec_key(rows: int, columns: Sequence[int], k: int, batch: int, along_k: bool) -> str:
    """What a table calls the choice for these products."""
    widths, layout = "+".join(map(str, columns)), "t" if along_k else "n"
    return f"matvec {f'{batch} of ' if batch > 1 else ''}{rows}x{widths}x{k} n{layout}"


def matvec_options(
    rows: int, k: int, along_k: bool, profile: Profile, holdable: bool = False
) -> dict[str, MatvecConfig]:
    """Every layout that fits, by name."""
    found = {}
    for threads in (64, 128, 256):
        for small in (8, 16, 32) if along_k else (8, 4, 2):
            lanes, quads = (small, threads // small) if along_k else (threads // small, small)
            fits = threads <= profile.invocations and not 0 < profile.subgroup < min(small, threads)
            for in_flight in (4, 6, 8, 12) if fits else ():
                config = _staged(quads, lanes, in_flight, rows, k, along_k, profile)
                if config.memory(rows) <= profile.workgroup_bytes:
                    found[config.name] = config
    for quads in (8, 4, 2) if holdable and not along_k else ():
        for config in _all_held(quads, rows, k, profile, profile.invocations):
            found[config.name] = config
    return found


def _held(quads: int, rows: int, k: int, along_k: bool, profile: Profile) -> MatvecConfig | None:
    """The layout with all of A and B under way at once, in the fewest steps; None where k is too
    long for that."""
    if along_k:
        return None
    found = _all_held(quads, rows, k, profile, min(HELD_THREADS, profile.invocations))
    return next((c for c in found if k >= HELD_SHARE * c.chunk), None)


def _all_held(quads: int, rows: int, k: int, profile: Profile, most: int) -> Iterator[MatvecConfig]:
    """One layout for each number of steps; lanes are whole subgroups."""
    shared = profile.subgroup // quads
    for steps in range(1, min(HELD_STEPS, HELD // rows) + 1) if shared else ():
        lanes = ceil_div(k, 4 * steps * shared) * shared
        chunk = 4 * lanes * steps
        config = MatvecConfig(quads, lanes, profile.subgroup, False, chunk, steps, held=True)
        each = rows * quads  # results, four by four: an invocation finishes one of them
        if each <= config.threads <= most and config.memory(rows) <= profile.workgroup_bytes:
            yield config


def _usual(
    columns: Sequence[int], k: int, batch: int, along_k: bool, profile: Profile, itemsize: int
) -> tuple[int, int]:
    """(quads, lanes): small workgroups where large ones would not fill the device, but never so
    small that a row of theirs is less than what memory hands over."""
    subgroup = profile.subgroup
    quads_in_all = batch * sum(ceil_div(n, 4) for n in columns)
    threads = min(THREADS, profile.invocations)
    if along_k:
        lanes = _lanes_along_k(k, max(8, min(32, subgroup or 32)))
        quads = max(1, threads // lanes)
        while quads > max(1, subgroup // lanes) and quads_in_all < quads * profile.units:
            quads //= 2
        return quads, lanes
    options = [q for q in (8, 4, 2) if 4 * q * itemsize >= SECTOR] if subgroup else [8]
    quads = next((q for q in options if quads_in_all >= q * profile.units), options[-1])
    lanes = threads // quads
    while lanes * quads > max(32, subgroup) and lanes * 8 > k:
        lanes //= 2
    return quads, lanes


def _staged(
    quads: int, lanes: int, in_flight: int, rows: int, k: int, along_k: bool, profile: Profile
) -> MatvecConfig:
    """The layout with as much of A staged at a time as there is room for."""
    subgroup = profile.subgroup
    if subgroup > quads * lanes or (subgroup and not along_k and subgroup < quads):
        subgroup = 0
    bare = MatvecConfig(quads, lanes, subgroup, along_k, 0, 1)
    room = min(STAGED, profile.workgroup_bytes - bare.partial_bytes(rows) - SUMS)
    step = bare.depth
    most = max(step, room // (4 * rows) // step * step)
    steps = ceil_div(ceil_div(k, ceil_div(k, most)), step)
    unroll = _unroll(steps, min(in_flight, most // step))
    rounds = min(ceil_div(steps, unroll), most // step // unroll)
    chunk = rounds * unroll * step
    return replace(bare, chunk=chunk, unroll=unroll)


def _lanes_along_k(k: int, most: int) -> int:
    """A power of two that leaves few lanes idle in the last step."""
    options = [n for n in (8, 16, 32) if n <= most and (n == 8 or 4 * n <= max(k, 32))]
    return max(options, key=lambda n: (round(k / (4 * n * ceil_div(k, 4 * n)), 1), n))


def _unroll(steps: int, most: int) -> int:
    """Steps written out: many, and few in vain in the last round."""
    if steps <= most:
        return steps
    return min(range(ceil_div(most, 2), most + 1), key=lambda u: (ceil_div(steps, u) * u, -u))
