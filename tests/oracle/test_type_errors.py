"""Operands that do not fit: the message names the types at odds and the user's line.

Invariant: every primitive that can be misused has a case here.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ir
from ir import PRIMITIVES, Aval, bool_, emit, f16, f32, i32
from ir.dtypes import DTYPES
from ir.passes.grad import vjp_graph
from ir.prim import Primitive
from ir.prims.elementwise import Elementwise

from ..strategies import samples


def aval(text: str) -> Aval:
    """The type that prints as `text`: "f32[2, 3]"."""
    name, dims = re.fullmatch(r"(\w+)\[(.*)\]", text).groups()
    return Aval(tuple(int(n) for n in dims.split(",") if n.strip()), ir.dtype(name))


OVER = {"axes": ("i",), "sizes": (4,)}
EXCHANGE = OVER | {"split": 0, "concat": 0}
SLIDE = {"axes": (0,), "sizes": (2,), "strides": (1,), "dilations": (1,)}
CONV = {"spec": "nch,och->noh", "spatial": "h", "strides": (1,), "low": (0,), "high": (0,)}
CONV |= {"x_steps": (1,), "w_steps": (1,)}
CASES: tuple[tuple[str, tuple[str, ...], dict, str], ...] = (
    # primitive, operand types, params, what the message says besides naming these types
    ("add", ("f32[3]", "f32[4]"), {}, "incompatible shapes"),
    ("add", ("f32[3]", "i32[3]"), {}, r"astype\('float32'\)"),
    ("add", ("bool[3]", "bool[3]"), {}, "does not accept dtype bool"),
    ("and_", ("f32[3]", "f32[3]"), {}, "does not accept dtype float32"),
    ("shl", ("f32[3]", "f32[3]"), {}, "shifts u32 values"),
    ("shr", ("i32[3]", "i32[3]"), {}, "shifts u32 values"),
    ("exp", ("i32[3]",), {}, "does not accept dtype int32"),
    ("add", ("f32[3]",), {}, "takes 2 operands"),
    ("exp", ("f32[3]", "f32[3]"), {}, "takes 1 operands"),
    ("select", ("f32[3]", "f32[3]", "f32[3]"), {}, "bool condition"),
    ("select", ("bool[1]", "f32[3]", "f32[3]"), {}, "incompatible shapes"),
    ("bitcast", ("f16[3]",), {"dtype": f16}, "4 bytes"),
    ("bitcast", ("bool[3]",), {"dtype": i32}, "4 bytes"),
    ("broadcast", ("f32[3]",), {"shape": (2, 4), "dims": (1,)}, "cannot broadcast"),
    ("broadcast", ("f32[3]",), {"shape": (3,), "dims": (1,)}, "cannot broadcast"),
    ("reshape", ("f32[2, 3]",), {"shape": (4, 2)}, "6 elements"),
    ("transpose", ("f32[2, 3]",), {"perm": (0, 0)}, "permutation"),
    ("slice", ("f32[5]",), {"start": (2,), "limit": (6,), "stride": (1,)}, "out of bounds"),
    ("slice", ("f32[5]",), {"start": (2,), "limit": (4,), "stride": (0,)}, "out of bounds"),
    ("slice", ("f32[5]",), {"start": (), "limit": (), "stride": ()}, "each axis"),
    ("pad", ("f32[2]",), {"low": (-1,), "high": (0,), "interior": (0,), "value": 0}, "negative"),
    ("pad", ("f32[2]",), {"low": (), "high": (0,), "interior": (0,), "value": 0}, "each axis"),
    ("concat", ("f32[2, 3]", "f32[2, 4]"), {"axis": 0}, "cannot concatenate"),
    ("concat", ("f32[2]", "i32[2]"), {"axis": 0}, "cannot concatenate"),
    ("concat", ("f32[]", "f32[]"), {"axis": 0}, "no axis 0"),
    ("concat", ("f32[2, 3]", "f32[2, 3]"), {"axis": -1}, "no axis -1"),
    ("rev", ("f32[2]",), {"axes": (1,)}, "no such axis"),
    ("windows", ("f32[5]",), SLIDE | {"axes": (1,)}, "along axes"),
    ("windows", ("f32[5]",), SLIDE | {"sizes": (0,)}, "sizes"),
    ("conv", ("f32[1, 2, 5]", "f32[3, 4, 2]"), CONV, "two sizes"),
    ("conv", ("f32[1, 2, 5]", "f16[3, 2, 2]"), CONV, "one number dtype"),
    ("conv", ("bool[1, 2, 5]", "bool[3, 2, 2]"), CONV, "one number dtype"),
    ("conv", ("f32[2, 5]", "f32[3, 2, 2]"), CONV, "ranks"),
    ("iota", (), {"shape": (), "dtype": i32, "axis": 0}, r"i32\[\] along axis 0"),
    ("iota", (), {"shape": (3,), "dtype": bool_, "axis": 0}, r"bool\[3\]"),
    ("sum", ("f32[2, 3]",), {"axes": (2,)}, "no such axes"),
    ("sum", ("f32[2, 3]",), {"axes": (1, 0)}, "no such axes"),
    ("reduce_max", ("bool[3]",), {"axes": (0,)}, "astype"),
    ("dot", ("f32[2, 3]", "f32[4, 5]"), {"spec": "ij,jk->ik"}, "contracting dimensions"),
    ("dot", ("f32[2, 3]", "f16[3, 5]"), {"spec": "ij,jk->ik"}, "one float dtype"),
    ("dot", ("i32[2, 3]", "i32[3, 5]"), {"spec": "ij,jk->ik"}, "one float dtype"),
    ("dot", ("f32[2, 3]", "f32[3]"), {"spec": "ij,jk->ik"}, "ranks"),
    ("dot", ("f32[2, 3]", "f32[3, 5]"), {"spec": "ij,jk->k"}, "one operand alone"),
    ("dot", ("f32[2, 2]", "f32[2, 5]"), {"spec": "ii,ik->k"}, "repeated"),
    ("dot", ("f32[2, 3]", "f32[3, 5]"), {"spec": "ij,jk->ikz"}, "nowhere"),
    ("take", ("f32[3]", "f32[2]"), {}, "integer indices"),
    ("take", ("f32[0, 3]", "i32[2]"), {}, "no rows"),
    ("take", ("f32[]", "i32[2]"), {}, "no rows"),
    ("take", ("f32[2, 3]", "i32[3, 2]"), {"batch": 1}, "first 1 axes"),
    ("scatter", ("f32[3]", "f32[2]", "f32[2]"), {"combine": "add"}, "integer indices"),
    ("scatter", ("f32[3, 2]", "i32[2]", "f32[3, 2]"), {"combine": "add"}, "at odds"),
    ("scatter", ("f32[3]", "i32[2]", "i32[2]"), {"combine": "add"}, "at odds"),
    ("scatter", ("bool[3]", "i32[2]", "bool[2]"), {"combine": "max"}, "astype"),
    ("scatter", ("f32[3]", "i32[2]", "f32[2]"), {"combine": "sub"}, "add, mul, min, max"),
    ("scatter", ("f32[2, 3]", "i32[1, 2]", "f32[1, 2]"), {"combine": "add", "batch": 1}, "first 1"),
    (
        "runs",
        ("f32[2]", "i32[2]", "i32[3]", "f32[4]"),
        {"combine": "add", "longest": 4},
        "two ends",
    ),
    ("runs", ("f32[2]", "i32[2]", "i32[2]", "i32[4]"), {"combine": "add", "longest": 4}, "at odds"),
    ("sort", ("f32[3]",), {}, "i32 keys"),
    ("sort", ("i32[]",), {}, "i32 keys"),
    ("dynamic_slice", ("f32[5]", "i32[]"), {"sizes": (6,)}, "does not fit"),
    ("dynamic_slice", ("f32[5]", "f32[]"), {"sizes": (2,)}, "integer scalar"),
    ("dynamic_slice", ("f32[5, 4]", "i32[]"), {"sizes": (2,)}, "each axis"),
    ("dynamic_update", ("f32[5]", "i32[2]", "i32[]"), {}, "dtypes differ"),
    ("dynamic_update", ("f32[5]", "f32[6]", "i32[]"), {}, "does not fit"),
    ("all_gather", ("f32[3]",), OVER | {"axis": 2, "tiled": False}, "along axis 2"),
    ("all_gather", ("f32[3]",), OVER | {"axis": 1, "tiled": True}, "along axis 1"),
    ("reduce_scatter", ("f32[3]",), OVER | {"axis": 0, "tiled": False}, "equal to 4"),
    ("reduce_scatter", ("f32[6]",), OVER | {"axis": 0, "tiled": True}, "divisible by 4"),
    ("ppermute", ("f32[3]",), OVER | {"perm": ((0, 1), (0, 2))}, "sources"),
    ("ppermute", ("f32[3]",), OVER | {"perm": ((0, 4),)}, "destinations"),
    ("all_to_all", ("f32[3]",), EXCHANGE | {"tiled": False}, "equal to 4"),
    ("all_to_all", ("f32[6]",), EXCHANGE | {"tiled": True}, "divisible by 4"),
    ("softmax", ("i32[3]",), {}, "float dtype"),
    ("softmax", ("f32[3, 0]",), {}, "last axis with elements"),
    ("rms_norm", ("f32[2, 3]", "f32[2]"), {"eps": 1e-5}, "weight of its last axis"),
    ("rms_norm", ("f32[2, 3]", "f16[3]"), {"eps": 1e-5}, "one float dtype"),
    ("layer_norm", ("f32[2, 3]", "f32[3]", "f32[2]"), {"eps": 1e-5}, "weight and bias"),
    ("rope", ("f32[1, 3, 2, 5]", "f32[3, 2]", "f32[3, 2]"), {}, "tables"),
    ("rope", ("f32[1, 3, 2, 4]", "f32[4, 2]", "f32[4, 2]"), {}, "tables"),
    ("cross_entropy", ("f32[3, 5]", "f32[3]"), {}, "integer labels"),
    ("cross_entropy", ("f32[3, 5]", "i32[5]"), {}, "integer labels"),
)
CASES += (
    (
        "cached_attention",
        ("f32[1, 1, 4, 2]", "f32[1, 5, 3, 2]", "f32[1, 5, 3, 2]", "i32[1]", "i32[]"),
        {"scale": 1.0},
        "multiple of K",
    ),
    (
        "attention_with_cache",
        ("f32[1, 1, 4, 2]", *("f32[1, 1, 2, 2]",) * 2, "f32[2, 1, 5, 1, 2]", "i32[1]", "i32[]"),
        {"scale": 1.0},
        "a cache",
    ),
)
QKV = ("f32[1, 3, 4, 2]", "f32[1, 5, 2, 2]", "f32[1, 5, 2, 2]")
ROWS = ("f32[1, 3, 4, 2]", "f32[1, 4, 3]", "f32[1, 4, 3]")


def _with(operands: tuple[str, ...], place: int, text: str) -> tuple[str, ...]:
    return (*operands[:place], text, *operands[place + 1 :])


def _attention_cases():
    wrong = {0: "f32[1, 3, 3, 2]", 1: "f32[1, 5, 2, 4]", 2: "f32[1, 4, 2, 2]"}
    for name in ("attention", "attention_dq", "attention_dkv"):
        operands = QKV if name == "attention" else QKV + ROWS
        for place, text in wrong.items():
            named = _with(operands, place, text)
            yield name, named, {"causal": True, "scale": 1.0}, "multiple of K"
        segments = *operands, "i32[1, 3]", "i32[1, 4]"
        yield name, segments, {"causal": True, "scale": 1.0}, r"i32\[1, 5\], got .*i32\[1, 4\]"
    for name in ("attention_dq", "attention_dkv"):
        for place, text in {3: "f32[1, 3, 4, 1]", 4: "f32[1, 3, 4]", 5: "f32[1, 4, 5]"}.items():
            named = _with(QKV + ROWS, place, text)
            yield name, named, {"causal": True, "scale": 1.0}, re.escape(text)


def _graph_cases():
    """Operands that are not what the graph among the params takes."""
    for name, says in {
        "remat": "of a graph of",
        "custom_jvp": "of a graph of",
        "custom_vjp": "of a graph of",
        "cond": "a branch of cond takes",
        "shard_map": "shard_map of a graph of",
        "scan": "body takes",
        "while_loop": "step takes",
    }.items():
        sample = samples(name)[4]
        operands = _with(tuple(map(str, sample.avals)), 1, "f32[2, 77]")
        yield name, operands, dict(sample.params), says


# What users know these as, and the faults that lie between several operands.
CALLED = {
    "rev": "flip",
    "reduce_scatter": "psum_scatter",
    "concat": "concatenate",
    "dynamic_update": "",
    "attention_dq": "attention",
    "attention_dkv": "attention",
}
AT_ODDS = ("incompatible shapes", "contracting dimensions", "leading axes", "cannot concatenate")
AT_ODDS += ("one float dtype", "weight and bias", "tables")
ALL = (*CASES, *_attention_cases(), *_graph_cases())
ANYTHING = {
    "cast",
    "checkpoint_name",
    "debug_callback",
    "inspect_sharding",
    "key_use",
    "optimization_barrier",
}
ANYTHING |= {"psum", "psums", "pmax", "pmin", "axis_index", "sharding_constraint"}


@pytest.mark.parametrize(("name", "operands", "params", "says"), ALL)
def test_misuse_is_told_with_types_and_line(name, operands, params, says):
    avals = tuple(map(aval, operands))
    with pytest.raises(TypeError, match=says) as caught:
        ir.build(lambda *xs: emit(PRIMITIVES[name], *xs, **params), *avals)
    told = str(caught.value)
    assert CALLED.get(name, name) in told
    named = [o in told for o in operands]
    assert any(named) or not operands
    assert all(named) or says not in AT_ODDS
    assert re.search(rf"at {re.escape(__file__)}:\d+: .*emit\(PRIMITIVES\[name\]", told)


def test_every_primitive_has_a_case():
    covered = {case[0] for case in ALL}
    shared = {n for n, p in PRIMITIVES.items() if type(p).typeof is Elementwise.typeof}
    inherited = {"reduce_min"} | shared
    assert set(PRIMITIVES) - covered - inherited == ANYTHING


@pytest.mark.parametrize("name", [n for n, p in PRIMITIVES.items() if isinstance(p, Elementwise)])
def test_elementwise_rejects_unequal_shapes_and_dtypes_it_does_not_take(name):
    arity = PRIMITIVES[name].arity
    good = samples(name)[3].avals  # of shape (7,)
    params = samples(name)[3].params
    if arity > 1:
        with pytest.raises(TypeError, match=r"incompatible shapes: .*\[8\]"):
            PRIMITIVES[name].typeof(*good[:-1], Aval((8,), good[-1].dtype), **params)
    for dtype in DTYPES.values():
        operands = (Aval((7,), dtype),) * arity
        if {s.avals for s in samples(name) if s.avals[0].dtype is dtype} or name in (
            "select",
            "bitcast",
        ):
            continue
        with pytest.raises(TypeError, match=rf"{name} .*{re.escape(str(operands[0]))}"):
            PRIMITIVES[name].typeof(*operands, **params)


def test_the_line_is_the_innermost_line_outside_of_the_library():
    def model(x, w):
        hidden = emit(PRIMITIVES["tanh"], x)
        return emit(PRIMITIVES["mul"], hidden, w)  # the line at fault

    with pytest.raises(TypeError, match="incompatible shapes") as caught:
        ir.build(model, Aval((2,), f32), Aval((3,), f32))
    lines = Path(__file__).read_text().splitlines()
    at = next(i for i, line in enumerate(lines, 1) if "# the line at fault" in line)
    assert f"{__file__}:{at}: return emit(" in str(caught.value)


def test_operator_sugar_checks_as_well():
    with pytest.raises(TypeError, match=r"add got incompatible shapes: f32\[2\] and f32\[3\]"):
        ir.build(lambda x, y: x + y, Aval((2,), f32), Aval((3,), f32))


def test_a_primitive_without_a_derivative_is_named_with_the_users_line_once():
    class opaque(Primitive):
        name, kind = "opaque", "elementwise"

        def typeof(self, x):
            return x

    graph = ir.build(lambda x: emit(opaque(), x), Aval((2,), f32))
    with pytest.raises(TypeError, match=r"opaque has no derivative.*stop_gradient") as caught:
        vjp_graph(graph, (0,))
    assert str(caught.value).count(__file__) == 1


@pytest.mark.parametrize("spec", ["complex64", "float128", "U3", object])
def test_dtypes_of_which_devices_know_nothing_are_refused(spec):
    with pytest.raises(TypeError, match="not supported on WebGPU devices; use one of float32"):
        ir.dtype(spec)


def test_an_argument_of_another_shape_is_refused_by_the_oracle():
    graph = ir.build(lambda x: x + 1, Aval((2,), f32))
    with pytest.raises(TypeError, match=r"expected an array of type f32\[2\], got shape \(3,\)"):
        ir.evaluate(graph, [1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="takes 1 arguments, got 2"):
        ir.evaluate(graph, [1.0, 2.0], 3.0)
