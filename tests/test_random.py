"""`tracer.random` against values recorded from JAX 0.10.2 on a CPU (default, partitionable keys).

Invariant: integers and bits are equal; floats differ by rounding alone. JAX is not needed here.
"""

import numpy as np
import pytest

from codegen.compile import compile_graph
from codegen.profile import PROFILES
from tracer import graph_of, jit, random, use_backend, vmap
from tracer import numpy as jnp
from tracer.prng import threefry2x32

L = np.float32([[0.1, 1.0, -2.0, 0.5], [3.0, 0, 0, 0.2], [1, 1, 1, 1]])
P = np.float32([0.1, 0.2, 0.3, 0.4])
M = np.arange(12, dtype=np.int32).reshape(3, 4)

pytestmark = pytest.mark.usefixtures("oracle")

KEY = random.wrap_key_data(np.uint32([2547012911, 1371500959]))  # fold_in(key(42), 7)
RECORDED = {
    "key_data": (
        lambda: random.key_data(KEY),
        "uint32",
        [2547012911, 1371500959],
    ),
    "prngkey": (
        lambda: random.PRNGKey(-1),
        "uint32",
        [0, 4294967295],
    ),
    "split": (
        lambda: random.key_data(random.split(KEY, (2, 2))),
        "uint32",
        [
            [[1029767004, 2691955506], [3913626572, 2520847663]],
            [[675592481, 2815174185], [1418444265, 3390618313]],
        ],
    ),
    "raw split": (
        lambda: random.split(random.PRNGKey(5)),
        "uint32",
        [[2724472204, 3573582090], [202567368, 3886822060]],
    ),
    "bits": (
        lambda: random.bits(KEY, (2, 3)),
        "uint32",
        [[2635269230, 2130978531, 2408095496], [2660435744, 2228758927, 2222243316]],
    ),
    "uniform": (
        lambda: random.uniform(KEY, (5,)),
        "float32",
        [0.6135714, 0.49615705, 0.56067836, 0.6194309, 0.5189233],
    ),
    "uniform range": (
        lambda: random.uniform(KEY, (5,), minval=-3.0, maxval=7.5),
        "float32",
        [3.4424996, 2.209649, 2.8871229, 3.5040245, 2.4486945],
    ),
    "uniform half": (
        lambda: random.uniform(KEY, (5,), dtype=np.float16),
        "float16",
        [0.0166, 0.1514, 0.621, 0.02734, 0.1621],
    ),
    "uniform half range": (
        lambda: random.uniform(KEY, (5,), np.float16, -3.0, 7.0),
        "float16",
        [-2.834, -1.486, 3.21, -2.727, -1.379],
    ),
    "uniform arrays": (
        lambda: random.uniform(KEY, (2, 4), minval=P, maxval=P + 1),
        "float32",
        [
            [0.7135714, 0.69615704, 0.8606783, 1.0194309],
            [0.6189233, 0.7174062, 0.36999065, 1.2450538],
        ],
    ),
    "normal": (
        lambda: random.normal(KEY, (2, 4)),
        "float32",
        [
            [0.2886397, -0.009632921, 0.15268941, 0.30398655],
            [0.047451507, 0.04364486, -1.4758606, 1.0154479],
        ],
    ),
    "normal scalar": (
        lambda: random.normal(KEY),
        "float32",
        0.2886397,
    ),
    "truncated": (
        lambda: random.truncated_normal(KEY, -1.5, 2.0, (6,)),
        "float32",
        [0.31977034, 0.046463903, 0.19492127, 0.33387625, 0.09856229, 0.0950839],
    ),
    "truncated arrays": (
        lambda: random.truncated_normal(KEY, -P, P),
        "float32",
        [0.022678424, -0.0015269936, 0.035875898, 0.09319158],
    ),
    "bernoulli": (
        lambda: random.bernoulli(KEY, 0.3, (12,)),
        "bool",
        [False, False, False, False, False, False, True, False, True, False, False, True],
    ),
    "bernoulli p": (
        lambda: random.bernoulli(KEY, P),
        "bool",
        [False, False, False, False],
    ),
    "bernoulli high": (
        lambda: random.bernoulli(KEY, P, (3, 4), mode="high"),
        "bool",
        [[False, False, False, False], [False, False, True, False], [False, False, False, True]],
    ),
    "categorical": (
        lambda: random.categorical(KEY, L),
        "int32",
        [1, 0, 2],
    ),
    "categorical axis": (
        lambda: random.categorical(KEY, L, axis=0),
        "int32",
        [1, 0, 2, 1],
    ),
    "categorical shape": (
        lambda: random.categorical(KEY, L, shape=(4, 3)),
        "int32",
        [[1, 0, 2], [0, 0, 1], [1, 0, 0], [1, 0, 1]],
    ),
    "categorical without": (
        lambda: random.categorical(KEY, L, shape=(3, 3), replace=False),
        "int32",
        [[1, 0, 2], [3, 3, 1], [0, 1, 0]],
    ),
    "gumbel": (
        lambda: random.gumbel(KEY, (5,)),
        "float32",
        [0.7165005, 0.35544318, 0.54713035, 0.73615044, 0.42159566],
    ),
    "gumbel high": (
        lambda: random.gumbel(KEY, (5,), mode="high"),
        "float32",
        [0.050442953, 0.37762037, 0.19537826, 0.034500908, 0.31234565],
    ),
    "randint": (
        lambda: random.randint(KEY, (6,), -5, 17),
        "int32",
        [12, 11, 13, 4, -5, 7],
    ),
    "randint wide": (
        lambda: random.randint(KEY, (4,), -(2**31), 2**31 - 1),
        "int32",
        [-343159531, 1011775176, -334564614, 1223823395],
    ),
    "randint u32": (
        lambda: random.randint(KEY, (4,), 3, 1000, np.uint32),
        "uint32",
        [963, 995, 981, 694],
    ),
    "randint empty": (
        lambda: random.randint(KEY, (2,), 5, 5),
        "int32",
        [5, 5],
    ),
    "randint arrays": (
        lambda: random.randint(KEY, (2, 3), np.int32([0, 10, 20]), np.int32([5, 20, 1000])),
        "int32",
        [[3, 16, 374], [2, 18, 206]],
    ),
    "permutation": (
        lambda: random.permutation(KEY, 9),
        "int32",
        [5, 0, 2, 8, 7, 1, 3, 4, 6],
    ),
    "permutation rows": (
        lambda: random.permutation(KEY, M),
        "int32",
        [[0, 1, 2, 3], [8, 9, 10, 11], [4, 5, 6, 7]],
    ),
    "permutation axis": (
        lambda: random.permutation(KEY, M, axis=1),
        "int32",
        [[0, 2, 1, 3], [4, 6, 5, 7], [8, 10, 9, 11]],
    ),
    "permutation independent": (
        lambda: random.permutation(KEY, M, axis=1, independent=True),
        "int32",
        [[0, 2, 1, 3], [5, 7, 4, 6], [9, 11, 10, 8]],
    ),
    "choice": (
        lambda: random.choice(KEY, 10, (5,)),
        "int32",
        [3, 6, 4, 7, 8],
    ),
    "choice array": (
        lambda: random.choice(KEY, P, (2, 3)),
        "float32",
        [[0.2, 0.1, 0.3], [0.4, 0.3, 0.3]],
    ),
    "choice without": (
        lambda: random.choice(KEY, 10, (4,), replace=False),
        "int32",
        [5, 9, 0, 2],
    ),
    "choice rows": (
        lambda: random.choice(KEY, M, (2,), replace=False, axis=1),
        "int32",
        [[0, 2], [4, 6], [8, 10]],
    ),
    "choice p": (
        lambda: random.choice(KEY, 4, (8,), p=P),
        "int32",
        [2, 2, 2, 2, 2, 2, 3, 1],
    ),
    "choice p without": (
        lambda: random.choice(KEY, 4, (3,), replace=False, p=P),
        "int32",
        [3, 2, 1],
    ),
    "exponential": (
        lambda: random.exponential(KEY, (5,)),
        "float32",
        [0.95080817, 0.68549067, 0.8225235, 0.96608746, 0.73172855],
    ),
    "laplace": (
        lambda: random.laplace(KEY, (5,)),
        "float32",
        [-0.25766107, 0.0077155284, -0.12937637, -0.2729404, -0.03858141],
    ),
    "logistic": (
        lambda: random.logistic(KEY, (5,)),
        "float32",
        [0.46234953, -0.0153720975, 0.24391562, 0.48713332, 0.07572931],
    ),
    "cauchy": (
        lambda: random.cauchy(KEY, (5,)),
        "float32",
        [0.3727485, -0.012073383, 0.19297, 0.39386153, 0.05951957],
    ),
    "rademacher": (
        lambda: random.rademacher(KEY, (8,)),
        "int32",
        [-1, 1, -1, -1, -1, -1, 1, -1],
    ),
}
LOOSE = {"float32": dict(rtol=2e-6, atol=2e-7), "float16": dict(rtol=2e-3, atol=1e-3)}


def agrees(got, dtype, want):
    got, want = np.asarray(got), np.asarray(want, dtype)
    assert got.dtype == want.dtype and got.shape == want.shape
    np.testing.assert_allclose(got, want, **LOOSE.get(dtype, dict(rtol=0, atol=0)))


@pytest.mark.parametrize("name", RECORDED)
def test_samples_are_jaxs(name):
    call, dtype, want = RECORDED[name]
    agrees(call(), dtype, want)
    agrees(jit(call)(), dtype, want)


DEVICE = ("bits", "uniform", "normal", "randint", "bernoulli", "categorical", "permutation")


@pytest.mark.device
@pytest.mark.parametrize("name", DEVICE)
def test_samples_on_the_device(name):
    pytest.importorskip("wgpu")
    use_backend("device")
    call, dtype, want = RECORDED[name]
    got = np.asarray(jit(call)())
    np.testing.assert_allclose(got, np.asarray(want, dtype), rtol=1e-5 if dtype[0] == "f" else 0)


def test_the_cipher_gives_its_authors_numbers():
    # Known answers of the Random123 distribution, threefry2x32 with 20 rounds.
    answers = [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((2**32 - 1,) * 2, (2**32 - 1,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ]
    for key, counter, want in answers:
        words = [tuple(jnp.asarray(np.uint32(v)) for v in pair) for pair in (key, counter)]
        assert tuple(int(v) for v in threefry2x32(*words)) == want


def test_seeds():
    data = {s: random.key_data(random.key(s)).tolist() for s in (0, -1, 2**31, 2**40 + 5)}
    assert data == {0: [0, 0], -1: [0, 2**32 - 1], 2**31: [0, 2**31], 2**40 + 5: [0, 5]}
    assert random.key_data(random.key(jnp.asarray(-5))).tolist() == [0, 2**32 - 5]
    assert random.key_data(random.fold_in(random.key(0), 2**31)).tolist() == [917456828, 636652529]
    folded = random.fold_in(random.key(0), np.int32(-3))
    assert random.key_data(folded).tolist() == [2313591868, 3981651893]


def test_keys_are_arrays_of_keys():
    keys = random.split(random.key(0), (2, 3))
    assert (keys.shape, keys.ndim, keys.size, len(keys)) == ((2, 3), 2, 6, 2)
    assert str(keys.dtype) == "key<fry>" and keys[0].shape == (3,) and keys[1, 2].shape == ()
    assert [k.shape for k in keys] == [(3,), (3,)] and keys.reshape(-1).shape == (6,)
    same = random.key_data(keys)[1, 2].tolist() == random.key_data(keys[1, 2]).tolist()
    assert same and random.wrap_key_data(random.key_data(keys)).shape == (2, 3)


def test_raw_and_typed_keys_agree():
    raw, typed = random.PRNGKey(3), random.key(3)
    assert random.bits(raw, (4,)).tolist() == random.bits(typed, (4,)).tolist()
    assert random.split(raw).shape == (2, 2) and random.split(typed).shape == (2,)
    assert random.split(raw).tolist() == random.key_data(random.split(typed)).tolist()


def test_keys_pass_through_transformations():
    keys = random.split(KEY, 3)
    one_by_one = np.stack([np.asarray(random.normal(k, (2,))) for k in keys])
    np.testing.assert_array_equal(vmap(lambda k: random.normal(k, (2,)))(keys), one_by_one)
    inner = jit(lambda k: random.split(random.fold_in(k, 1)))(KEY)
    assert inner.shape == (2,) and isinstance(inner, random.Key)
    steps = jit(lambda k, i: random.bits(random.fold_in(k, i)))
    assert steps(KEY, 4).tolist() == random.bits(random.fold_in(KEY, 4)).tolist()


def test_bits_do_not_depend_on_the_rest_of_the_shape():
    assert random.bits(KEY, (3,)).tolist() == random.bits(KEY, (7,)).tolist()[:3]
    flat = random.bits(KEY, (6,)).tolist()
    assert np.ravel(random.bits(KEY, (2, 3)).tolist()).tolist() == flat
    assert random.bits(KEY, (0, 2)).shape == (0, 2)


def test_permutations_hold_every_element_once():
    for n in (0, 1, 2, 50):
        assert sorted(random.permutation(KEY, n).tolist()) == list(range(n))
    drawn = random.choice(KEY, 50, (50,), replace=False).tolist()
    assert sorted(drawn) == list(range(50)) and drawn != list(range(50))


def test_distributions_have_their_moments():
    n = (4000,)
    moments = {
        "uniform": (random.uniform(KEY, n), 0.5, 1 / 12),
        "normal": (random.normal(KEY, n), 0, 1),
        "exponential": (random.exponential(KEY, n), 1, 1),
        "gumbel": (random.gumbel(KEY, n), 0.5772, np.pi**2 / 6),
        "laplace": (random.laplace(KEY, n), 0, 2),
        "logistic": (random.logistic(KEY, n), 0, np.pi**2 / 3),
        "rademacher": (random.rademacher(KEY, n), 0, 1),
    }
    for name, (x, mean, var) in moments.items():
        x = np.asarray(x, np.float64)
        error = 4 * (var / x.size) ** 0.5
        assert abs(x.mean() - mean) < error and abs(x.var() / var - 1) < 0.25, name


def test_truncation_holds():
    x = np.asarray(random.truncated_normal(KEY, -0.5, 0.25, (2000,)))
    assert x.min() > -0.5 and x.max() < 0.25
    whole = np.asarray(random.randint(KEY, (100,), -(2**31), 2**31))
    assert whole.min() < -(2**30) and whole.max() > 2**30


ERRORS = {
    "many keys": (lambda: random.uniform(random.split(KEY, 2)), ValueError, "accepts a single key"),
    "no key": (lambda: random.uniform(jnp.ones(2)), TypeError, "invalid PRNG key data"),
    "seed": (lambda: random.uniform(3), TypeError, "random.key"),
    "float seed": (lambda: random.key(1.5), TypeError, "must be an integer"),
    "seeds": (lambda: random.key(np.int32([1, 2])), TypeError, "scalar seed"),
    "wide fold": (lambda: random.fold_in(KEY, 2**32), OverflowError, "out of bounds for uint32"),
    "arithmetic": (lambda: KEY + 1, TypeError, "key<fry>"),
    "to numpy": (lambda: np.asarray(KEY), TypeError, "key_data"),
    "index": (lambda: KEY[0], IndexError, "Too many indices"),
    "dtype": (lambda: random.uniform(KEY, dtype=np.int32), ValueError, "float dtype"),
    "integer dtype": (
        lambda: random.randint(KEY, (3,), 0, 10, np.float32),
        TypeError,
        "only accepts integer dtypes",
    ),
    "probability": (lambda: random.bernoulli(KEY, 1), TypeError, "floating dtype"),
    "too many": (
        lambda: random.choice(KEY, 3, (4,), replace=False),
        ValueError,
        "Cannot take a larger sample",
    ),
    "weights": (lambda: random.choice(KEY, 3, (1,), p=P), ValueError, "1D vector"),
    "categories": (
        lambda: random.categorical(KEY, L, shape=(5, 3), replace=False),
        ValueError,
        "cannot exceed",
    ),
    "shape": (lambda: random.bernoulli(KEY, P, (3,)), ValueError, "broadcast"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_cause(name):
    wrong, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        wrong()


def test_the_kernel_of_the_cipher_names_what_its_rounds_share():
    """20 rounds of an addition, a rotation and an exclusive or: no line adds up earlier rounds."""
    graph = graph_of(lambda key: random.bits(key, (4096,)))(random.key(0))
    texts = [k.wgsl for k in compile_graph(graph, PROFILES["webgpu-default"]).kernels]
    lines = [line for text in texts for line in text.splitlines() if "//" not in line]
    assert max(line.count(" + ") for line in lines) <= 4
    assert len(lines) < 80
