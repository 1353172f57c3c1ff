"""Random numbers: the same keys give the same bits."""

# ruff: noqa: E731 - small functions are written the way that users write them
from __future__ import annotations

from . import floats, program


@program(exact=True)
def key_data_of_seeds(j):
    return [j.random.key_data(j.random.key(s)) for s in (0, 1, 42, 2**31 - 1)]


@program(exact=True)
def old_style_keys(j):
    return j.random.PRNGKey(7), j.random.split(j.random.PRNGKey(7))


@program(exact=True)
def splits(j):
    key = j.random.key(1)
    return [j.random.key_data(j.random.split(key, n)) for n in (2, 3, 5)]


@program(exact=True)
def split_into_a_shape(j):
    return j.random.key_data(j.random.split(j.random.key(4), (2, 3)))


@program(exact=True)
def fold_in_a_number(j):
    return [j.random.key_data(j.random.fold_in(j.random.key(3), n)) for n in (0, 1, 12345)]


@program(exact=True)
def bits(j):
    key = j.random.key(11)
    return [j.random.bits(key, s) for s in ((), (1,), (4,), (5,), (3, 7))]


@program(exact=True)
def uniform(j):
    key = j.random.key(2)
    return j.random.uniform(key), j.random.uniform(key, (7,)), j.random.uniform(key, (3, 4))


@program()
def uniform_between(j):
    return j.random.uniform(j.random.key(2), (6,), minval=-3.0, maxval=5.0)


@program()
def normal(j):
    return j.random.normal(j.random.key(5), (64,)), j.random.normal(j.random.key(5), (3, 3))


@program()
def normal_of_half_precision(j):
    return j.random.normal(j.random.key(5), (8,), dtype=j.numpy.float16)


@program(exact=True)
def bernoulli(j):
    key = j.random.key(6)
    return j.random.bernoulli(key, 0.3, (20,)), j.random.bernoulli(key)


@program(exact=True)
def bernoulli_of_an_array(j):
    return j.random.bernoulli(j.random.key(6), j.numpy.linspace(0, 1, 9))


@program(exact=True)
def randint(j):
    key = j.random.key(8)
    return j.random.randint(key, (20,), 0, 10), j.random.randint(key, (3, 3), -5, 1000)


@program(exact=True)
def categorical(j):
    logits = j.numpy.log(j.numpy.array([0.1, 0.2, 0.7]))
    key = j.random.key(9)
    return j.random.categorical(key, logits, shape=(15,)), j.random.categorical(key, logits)


@program(exact=True)
def categorical_over_rows(j):
    logits = j.numpy.arange(12.0).reshape(4, 3) % 5
    return j.random.categorical(j.random.key(9), logits, axis=-1)


@program()
def gumbel(j):
    return j.random.gumbel(j.random.key(10), (12,))


@program(exact=True)
def permutation_of_a_number(j):
    return j.random.permutation(j.random.key(12), 10)


@program()
def permutation_of_an_array(j):
    x = j.numpy.arange(12.0).reshape(6, 2)
    key = j.random.key(12)
    return j.random.permutation(key, x), j.random.permutation(key, x, axis=1, independent=True)


@program()
def truncated_normal(j):
    return j.random.truncated_normal(j.random.key(13), -2.0, 2.0, (16,))


@program(exact=True)
def choice_with_replacement(j):
    return j.random.choice(j.random.key(14), 10, (8,)), j.random.choice(j.random.key(14), 5)


@program(exact=True)
def choice_without_replacement(j):
    return j.random.choice(j.random.key(14), j.numpy.arange(10), (4,), replace=False)


@program()
def choice_with_probabilities(j):
    p = j.numpy.array([0.5, 0.25, 0.25])
    return j.random.choice(j.random.key(15), j.numpy.array([1.0, 2.0, 3.0]), (9,), p=p)


@program()
def other_distributions(j):
    key = j.random.key(16)
    r = j.random
    return [f(key, (8,)) for f in (r.exponential, r.laplace, r.logistic, r.cauchy)]


@program(exact=True)
def rademacher(j):
    return j.random.rademacher(j.random.key(17), (12,), dtype="int32")


@program(exact=True)
def random_under_jit(j):
    return j.jit(lambda k: j.random.uniform(k, (5,)))(j.random.key(18))


@program(exact=True)
def vmap_over_keys(j):
    keys = j.random.split(j.random.key(19), 4)
    return j.vmap(lambda k: j.random.uniform(k, (3,)))(keys)


@program(exact=True)
def scan_over_keys(j):
    keys = j.random.split(j.random.key(20), 3)
    return j.lax.scan(lambda c, k: (c, j.random.bits(k, (2,))), 0, keys)[1]


@program(exact=True)
def key_in_a_carry(j):
    def step(key, _):
        key, sub = j.random.split(key)
        return key, j.random.uniform(sub, ())

    key, out = j.lax.scan(step, j.random.key(21), None, length=4)
    return j.random.key_data(key), out


@program(exact=True)
def keys_are_indexed_and_unpacked(j):
    a, b = j.random.split(j.random.key(22))
    keys = j.random.split(j.random.key(22), 4)
    return j.random.key_data(a), j.random.key_data(b), j.random.key_data(keys[2]), keys.shape


@program(exact=True)
def wrapped_key_data(j):
    data = j.random.key_data(j.random.key(23))
    return j.random.bits(j.random.wrap_key_data(data), (3,))


@program(floats(4))
def gradient_through_a_sample(j, mean):
    noise = lambda m: m + 0.5 * j.random.normal(j.random.key(24), m.shape)
    return j.grad(lambda m: (noise(m) ** 2).mean())(mean)


@program(exact=True)
def random_bits_in_a_fori_loop(j):
    body = lambda i, a: a.at[i].set(j.random.uniform(j.random.fold_in(j.random.key(25), i)))
    return j.lax.fori_loop(0, 4, body, j.numpy.zeros(4))


@program()
def monte_carlo_pi(j):
    points = j.random.uniform(j.random.key(26), (500, 2))
    return 4 * j.numpy.mean(j.numpy.sum(points**2, axis=1) < 1)


@program()
def spherical_and_orthogonal(j):
    key = j.random.key(27)
    return j.random.ball(key, 3, shape=(2,)), j.random.dirichlet(key, j.numpy.ones(3)).shape


@program()
def gamma_and_its_relatives(j):
    key, a = j.random.key(31), j.numpy.array([0.3, 1.0, 4.0])
    drawn = [j.random.gamma(key, a), j.random.loggamma(key, a, (2, 3)), j.random.t(key, a)]
    return [*drawn, j.random.beta(key, a, 0.7), j.random.chisquare(key, a), j.random.f(key, a, 4.0)]


@program()
def samples_of_formulas(j):
    key, shape = j.random.key(32), (4,)
    drawn = [j.random.lognormal(key, 0.3, shape), j.random.maxwell(key, shape)]
    drawn += [j.random.pareto(key, 1.5, shape), j.random.weibull_min(key, 1.5, 2.0, shape)]
    drawn += [j.random.triangular(key, 0.0, 1.0, 3.0, shape), j.random.geometric(key, 0.3, shape)]
    return [*drawn, j.random.rayleigh(key, j.numpy.ones(4)), j.random.wald(key, j.numpy.ones(4))]


@program(exact=True)
def counts_of_events(j):
    return j.random.poisson(j.random.key(33), j.numpy.array([0.0, 0.5, 3.0, 9.0]), (3, 4))


@program()
def correlated_and_orthogonal(j):
    key, cov = j.random.key(34), j.numpy.array([[2.0, 0.3], [0.3, 1.0]])
    points = j.random.multivariate_normal(key, j.numpy.zeros(2), cov, (3,))
    return points, j.random.orthogonal(key, 3), j.random.orthogonal(key, 2, (2,), m=3)


@program(exact=True)
def generators_by_name(j):
    key = j.random.key(3, impl="threefry2x32")
    same = j.random.wrap_key_data(j.random.key_data(key), dtype=key.dtype)
    return j.random.key_data(same), j.random.key_impl(key) == "threefry2x32"
