"""The tensor IR: graphs, primitives with all their rules, the numpy oracle, and passes.

Invariant: imports nothing else of this project, and beyond the standard library numpy alone.
"""

from . import prims
from .build import Builder, build, building, emit, inline, lit
from .check import GraphError, check
from .dtypes import DType, bf16, bool_, dtype, f16, f32, i32, u32
from .graph import Aval, Eqn, Graph, Lit, Src, Value, Var
from .interp import evaluate
from .prim import PRIMITIVES, Primitive
from .sharding import MeshShape, Spec
from .show import parse, show
from .spmd import ShardedGraph, evaluate_spmd

__all__ = [
    "PRIMITIVES",
    "Aval",
    "Builder",
    "DType",
    "Eqn",
    "Graph",
    "GraphError",
    "Lit",
    "MeshShape",
    "Primitive",
    "ShardedGraph",
    "Spec",
    "Src",
    "Value",
    "Var",
    "bf16",
    "bool_",
    "build",
    "building",
    "check",
    "dtype",
    "emit",
    "evaluate",
    "evaluate_spmd",
    "f16",
    "f32",
    "i32",
    "inline",
    "lit",
    "parse",
    "prims",
    "show",
    "u32",
]
