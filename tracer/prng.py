"""Keys and random bits: Threefry-2x32 (Salmon, Moraes, Dror and Shaw, 2011), counter mode.

Invariant: bit i of a result depends only on the key and on i, whatever the shape's other elements;
keys, splits and bits equal those of JAX's default generator (partitionable threefry2x32).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ir.dtypes import u32

from . import elementwise as ew
from . import reuse, shaping
from .array import Array, Tracer, aval_of
from .bits import shift_left, shift_right
from .creation import as_shape
from .errors import located
from .operands import astype
from .staging import SCALARS, bind, filled, operand
from .tree_util import register_dataclass
from .typed import user_type
from .whole import one_program

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
GENERATOR = "threefry2x32"


@dataclass(frozen=True)
class KeyType:
    """The dtype of key arrays; it has no numpy twin."""

    name: str = "key<fry>"

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class Key:
    """An array of keys: `data` is u32[*shape, 2]. A pytree node with one leaf."""

    data: Any
    __array_priority__ = 100

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape[:-1])

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def dtype(self) -> KeyType:
        return KeyType()

    def __len__(self) -> int:
        if not self.shape:
            raise located(TypeError, "len() of unsized object: this is a single key")
        return self.shape[0]

    def __iter__(self) -> Iterator[Key]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Key:
        given = index if isinstance(index, tuple) else (index,)
        given = given if Ellipsis in [g for g in given if g is Ellipsis] else (*given, Ellipsis)
        if sum(g is not None and g is not Ellipsis for g in given) > self.ndim:
            raise located(IndexError, f"Too many indices: key array is {self.ndim}-dimensional")
        reuse.mark_part(self.data, given)
        return Key(self.data[(*given, slice(None))])

    def reshape(self, *shape: Any) -> Key:
        sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        known = prod(n for n in sizes if n != -1)
        full = tuple(self.size // known if n == -1 and known else n for n in sizes)
        return Key(shaping.reshape(self.data, (*full, 2)))

    def _refused(self, *_: Any) -> Any:
        raise located(TypeError, f"arithmetic does not accept dtype {self.dtype}; use random.bits")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _refused

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise located(
            TypeError, "a key array cannot be converted to numpy; use random.key_data(key)"
        )

    def __repr__(self) -> str:
        shown = self.data if isinstance(self.data, (Tracer, Array)) else type(self.data).__name__
        return f"Key({self.shape if hasattr(self.data, 'shape') else ''}, {self.dtype}, {shown})"


register_dataclass(Key)


# --- making keys ------------------------------------------------------------------------------


def key(seed: Any, *, impl: Any = None, dtype: Any = None) -> Key:
    """A typed key from an integer; of Python integers the lowest 32 bits count.

    `impl`, or the `dtype` of a key, names the one generator there is, "threefry2x32". Raises
    TypeError for seeds that are not scalar integers, ValueError for other generators.
    """
    _check_generator("key", impl, dtype)
    return Key(_seeded(seed))


def PRNGKey(seed: Any, *, impl: Any = None) -> Any:
    """A raw key, u32[2], from an integer."""
    _check_generator("PRNGKey", impl)
    return _seeded(seed)


def key_impl(keys: Any) -> str:
    """The name of the generator of keys."""
    _data(keys)
    return GENERATOR


def _check_generator(name: str, impl: Any, dtype: Any = None) -> None:
    if impl is not None and dtype is not None:
        raise located(ValueError, f"Cannot specify both `impl` and `dtype` arguments to {name}")
    if impl not in (None, GENERATOR) or dtype not in (None, KeyType()):
        asked = dtype if impl is None else impl
        text = f'unrecognized PRNG implementation "{asked}". Did you mean one of: "{GENERATOR}"?'
        raise located(ValueError, text)


def _seeded(seed: Any) -> Any:
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        if not -(2**63) <= int(seed) < 2**64:
            raise located(OverflowError, f"a seed has at most 64 bits, got {seed}")
        return operand(np.array([0, int(seed) & 0xFFFFFFFF], np.uint32))
    word = _word(seed, "a PRNG key seed")
    if aval_of(word).shape:
        raise located(
            TypeError,
            f"key accepts a scalar seed, but was given an array of shape {aval_of(word).shape}; "
            "use vmap for batching",
        )
    return shaping.stack([filled(0, u32), word])


def _word(x: Any, what: str) -> Any:
    x = operand(x, what)
    if not aval_of(x).dtype.is_integer:
        raise located(TypeError, f"{what} must be an integer, got {user_type(aval_of(x))}")
    return astype(x, u32)


def key_data(keys: Any) -> Any:
    """The u32[..., 2] behind typed or raw keys."""
    return _data(keys)


def clone(key: Any) -> Any:
    """The same key, as one that has not been used; its numbers are the same again."""
    data = operand(_data(key))
    same = Array.from_host(data.numpy()) if isinstance(data, Array) else ew.add(data, np.uint32(0))
    return like(key, same)


def wrap_key_data(key_bits_array: Any, *, impl: Any = None, dtype: Any = None) -> Key:
    """Typed keys from u32[..., 2]; for `impl` and `dtype` see `key`."""
    _check_generator("wrap_key_data", impl, dtype)
    return Key(_data(key_bits_array))


def _data(keys: Any) -> Any:
    if isinstance(keys, Key):
        return keys.data
    data = operand(keys, "a random key")
    aval = aval_of(data)
    if aval.dtype is not u32 or aval.shape[-1:] != (2,):
        raise located(
            TypeError,
            "invalid PRNG key data: expected uint32[..., 2], a key made by random.key, got "
            f"{user_type(aval)}",
        )
    return data


def single(keys: Any, name: str) -> Any:
    """The u32[2] of one key. Raises ValueError for a key array, TypeError for anything else."""
    if isinstance(keys, SCALARS):
        raise located(TypeError, f"{name} needs a key made by random.key, got {keys!r}")
    data = _data(keys)
    if len(aval_of(data).shape) != 1:
        raise located(
            ValueError,
            f"{name} accepts a single key, but was given a key array of shape "
            f"{aval_of(data).shape[:-1]} != (). Use vmap for batching.",
        )
    if isinstance(keys, Key) and name != "fold_in":
        reuse.mark(data, name)
    return data


def like(keys: Any, data: Any) -> Any:
    """`data` as keys of the kind of `keys`."""
    return Key(data) if isinstance(keys, Key) else data


# --- the cipher -------------------------------------------------------------------------------


def threefry2x32(key_pair: tuple[Any, Any], counters: tuple[Any, Any]) -> tuple[Any, Any]:
    """20 rounds on two u32 counters; the words of the key broadcast to them."""
    k0, k1 = key_pair
    words = (k0, k1, ew.bitwise_xor(ew.bitwise_xor(k0, k1), np.uint32(_PARITY)))
    x, y = ew.add(counters[0], words[0]), ew.add(counters[1], words[1])
    for group in range(5):
        for by in _ROTATIONS[group % 2]:
            x = ew.add(x, y)
            y = ew.bitwise_xor(x, _rotated(y, by))
        x = ew.add(x, words[(group + 1) % 3])
        y = ew.add(ew.add(y, words[(group + 2) % 3]), np.uint32(group + 1))
    return x, y


def _rotated(x: Any, by: int) -> Any:
    return ew.bitwise_or(shift_left(x, by), shift_right(x, 32 - by))


def counted(data: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """The cipher of 0, 1, ... in row-major order: two u32[shape]."""
    places = bind("iota", shape=(prod(shape),), dtype=u32, axis=0)
    # Shapes stay below 2**32 elements, so the upper word of the counter is 0.
    x, y = threefry2x32((data[0], data[1]), (filled(0, u32, (prod(shape),)), places))
    return shaping.reshape(x, shape), shaping.reshape(y, shape)


def word_bits(data: Any, shape: tuple[int, ...]) -> Any:
    """u32[shape] of random bits from key data u32[2]."""
    return _once(ew.bitwise_xor(*counted(data, shape)))


def split_data(data: Any, shape: tuple[int, ...]) -> Any:
    """u32[*shape, 2]: new keys."""
    return _once(shaping.stack(counted(data, shape), axis=-1))


def _once(x: Any) -> Any:
    """A hundred operations an element: computed once, however many kernels read the result."""
    return bind("optimization_barrier", x)[0]


@one_program
def split(key: Any, num: Any = 2) -> Any:
    """`num` (an int or a shape) new keys, independent of each other and of `key`."""
    return like(key, split_data(single(key, "split"), as_shape(num)))


@one_program
def _folded(data: Any, word: Any) -> Any:
    return shaping.stack(threefry2x32((data[0], data[1]), (filled(0, u32), word)))


def fold_in(key: Any, data: Any) -> Any:
    """A new key from `key` and an integer scalar. Raises OverflowError for ints beyond u32."""
    if isinstance(data, (int, np.integer)) and not isinstance(data, bool):
        if isinstance(data, int) and not 0 <= data < 2**32:
            raise located(OverflowError, f"Python integer {data} out of bounds for uint32")
        data = np.array(int(data) & 0xFFFFFFFF, np.uint32)
    word = _word(data, "fold_in's data")
    if aval_of(word).shape:
        raise located(
            TypeError,
            f"fold_in accepts a scalar, but was given an array of shape {aval_of(word).shape}; "
            "use vmap for batching",
        )
    return like(key, _folded(single(key, "fold_in"), word))


@one_program
def bits(key: Any, shape: Any = (), dtype: Any = np.uint32) -> Any:
    """u32[shape] of random bits. Raises TypeError for other dtypes."""
    if np.dtype(dtype) != np.uint32:
        raise located(TypeError, f"bits come as uint32, got dtype {np.dtype(dtype).name}")
    return word_bits(single(key, "bits"), as_shape(shape))
