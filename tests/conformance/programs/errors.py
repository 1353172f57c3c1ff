"""What users get wrong: the type of the error and the words of its first line."""

# ruff: noqa: E731 - small functions are written the way that users write them
from __future__ import annotations

import numpy as np

from . import program


@program(says="Attempted boolean conversion of traced array with shape bool[]")
def if_on_a_traced_value(j):
    return j.jit(lambda x: x if x > 0 else -x)(1.0)


@program(says="Attempted boolean conversion of traced array with shape bool[]")
def while_on_a_traced_value(j):
    def f(x):
        while x < 3:
            x = x + 1
        return x

    return j.jit(f)(1.0)


@program(says="traced array with shape float32[]")
def float_of_a_traced_value(j):
    return j.jit(lambda x: float(x))(1.0)


@program(says="traced array with shape int32[]")
def range_over_a_traced_value(j):
    return j.jit(lambda n: sum(i for i in range(n)))(3)


@program(says="traced array with shape float32[3]")
def numpy_of_a_traced_value(j):
    return j.jit(lambda x: np.sin(np.asarray(x)))(j.numpy.ones(3))


@program(says="")
def leaked_tracer(j):
    kept = []
    j.jit(lambda x: kept.append(x) or x)(1.0)
    return kept[0] + 1


@program(says="requires contracting dimensions to have the same shape, got (4,) and (5,)")
def matmul_of_unequal_sizes(j):
    return j.numpy.ones((3, 4)) @ j.numpy.ones((5, 2))


@program(says="Gradient only defined for scalar-output functions. Output had shape: (3,)")
def grad_of_a_vector(j):
    return j.grad(lambda x: x * 2)(j.numpy.ones(3))


@program(says="grad requires real- or complex-valued inputs")
def grad_of_an_integer(j):
    return j.grad(lambda x: x * 2.0)(3)


@program(says="grad requires real-valued outputs")
def grad_with_an_integer_result(j):
    return j.grad(lambda x: (x > 0).astype("int32"))(1.0)


@program(says="argnums")
def grad_with_too_large_argnums(j):
    return j.grad(lambda x: x, argnums=2)(1.0)


@program(says="incompatible shapes for broadcasting")
def add_of_unequal_shapes(j):
    return j.numpy.ones(3) + j.numpy.ones(4)


@program(says="ncompatible shapes for broadcasting")
def where_of_unequal_shapes(j):
    return j.numpy.where(j.numpy.ones(3) > 0, j.numpy.ones(4), 0.0)


@program(says="cannot reshape array of shape (6,) (size 6) into shape (4, 2) (size 8)")
def reshape_to_another_size(j):
    return j.numpy.ones(6).reshape(4, 2)


@program(says="oncatenate")
def concatenate_of_other_ranks(j):
    return j.numpy.concatenate([j.numpy.ones((2, 2)), j.numpy.ones(2)])


@program(says="All input arrays must have the same shape")
def stack_of_unequal_shapes(j):
    return j.numpy.stack([j.numpy.ones(2), j.numpy.ones(3)])


@program(says="axis 2 is out of bounds for array of dimension 1")
def sum_over_an_axis_too_many(j):
    return j.numpy.sum(j.numpy.ones(3), axis=2)


@program(says="uplicate")
def sum_over_one_axis_twice(j):
    return j.numpy.sum(j.numpy.ones((3, 2)), axis=(0, 0))


@program(says="cannot select an axis to squeeze out which has size not equal to one")
def squeeze_of_a_long_axis(j):
    return j.numpy.squeeze(j.numpy.ones((2, 3)), axis=0)


@program(says="inconsistent sizes for array axes to be mapped")
def vmap_of_unequal_sizes(j):
    return j.vmap(lambda a, b: a + b)(j.numpy.ones(3), j.numpy.ones(4))


@program(says="must have at least one non-None value in in_axes")
def vmap_over_nothing(j):
    return j.vmap(lambda a: a, in_axes=None)(j.numpy.ones(3))


@program(says="vmap in_axes")
def vmap_with_too_many_axes(j):
    return j.vmap(lambda a: a, in_axes=(0, 0))(j.numpy.ones(3))


@program(says="scan body function carry input and carry output must have equal types")
def scan_that_changes_the_carry(j):
    return j.lax.scan(lambda c, x: (c > x, c), j.numpy.zeros(()), j.numpy.ones(3))


@program(says="leading axis sizes")
def scan_over_unequal_lengths(j):
    xs = (j.numpy.ones(3), j.numpy.ones(4))
    return j.lax.scan(lambda c, x: (c, x), 0.0, xs)


@program(says="`length` not provided")
def scan_over_nothing(j):
    return j.lax.scan(lambda c, x: (c, x), 0.0, None)


@program(says="pair")
def scan_body_without_a_pair(j):
    return j.lax.scan(lambda c, x: c, 0.0, j.numpy.ones(3))


@program(says="must have")
def cond_with_unlike_branches(j):
    return j.lax.cond(True, lambda x: x, lambda x: (x, x), 1.0)


@program(says="must have")
def cond_with_unlike_dtypes(j):
    return j.lax.cond(True, lambda x: x, lambda x: x.astype("int32"), j.numpy.ones(2))


@program(says="red must be a scalar")
def cond_on_an_array(j):
    return j.lax.cond(j.numpy.ones(2) > 0, lambda x: x, lambda x: x, 1.0)


@program(says="Empty branch sequence")
def switch_without_branches(j):
    return j.lax.switch(0, [], 1.0)


@program(says="must return a boolean scalar")
def while_with_an_array_condition(j):
    return j.lax.while_loop(lambda x: x < 3, lambda x: x + 1, j.numpy.zeros(2))


@program(says="body function carry input and carry output must have equal types")
def while_that_changes_its_type(j):
    return j.lax.while_loop(lambda x: x.sum() < 3, lambda x: x.sum(), j.numpy.zeros(2))


@program(says="on-hashable static argument")
def static_list(j):
    return j.jit(lambda x, n: x, static_argnums=1)(1.0, [1, 2])


@program(says="")
def array_of_strings(j):
    return j.numpy.asarray(["a", "b"])


@program(says="")
def jit_of_a_string(j):
    return j.jit(lambda x: x)("text")


@program(says="")
def sum_of_a_list(j):
    return j.numpy.sum([1.0, 2.0])


@program(says="")
def assignment_to_an_item(j):
    x = j.numpy.ones(3)
    x[0] = 2.0
    return x


@program(says="oo many indices")
def too_many_indices(j):
    return j.numpy.ones((2, 3))[0, 1, 2]


@program(says="")
def float_as_an_index(j):
    return j.numpy.ones(3)[1.0]


@program(says="oolean ind")
def traced_boolean_mask(j):
    return j.jit(lambda x: x[x > 0])(j.numpy.ones(3))


@program(says="")
def nonzero_under_jit(j):
    return j.jit(lambda x: j.numpy.nonzero(x))(j.numpy.ones(3))


@program(says="Array has been deleted")
def use_of_a_donated_array(j):
    x = j.numpy.ones(3)
    j.jit(lambda v: v + 1, donate_argnums=0)(x)
    x.delete()
    return x + 1


@program(says="len() of unsized object")
def len_of_a_scalar(j):
    return len(j.numpy.ones(()))


@program(says="iteration over a 0-d array")
def iterating_over_a_scalar(j):
    return list(j.numpy.ones(()))


@program(says="truth value of an array with more than one element is ambiguous")
def bool_of_an_array(j):
    return bool(j.numpy.ones(3) > 0)


@program(says="")
def float_of_an_array(j):
    return float(j.numpy.ones(3))


@program(says="primal and tangent arguments to jax.jvp do not match")
def jvp_with_another_dtype(j):
    return j.jvp(lambda x: x, (j.numpy.ones(3),), (j.numpy.ones(3, "int32"),))


@program(says="")
def jvp_with_unequal_counts(j):
    return j.jvp(lambda x: x, (1.0, 2.0), (1.0,))


@program(says="")
def tree_map_of_unlike_trees(j):
    return j.tree.map(lambda a, b: a, {"a": 1}, {"b": 2})


@program(says="")
def einsum_with_unequal_sizes(j):
    return j.numpy.einsum("ij,jk->ik", j.numpy.ones((2, 3)), j.numpy.ones((4, 5)))


@program(says="")
def einsum_with_too_few_operands(j):
    return j.numpy.einsum("ij,jk->ik", j.numpy.ones((2, 3)))


@program(says="")
def dynamic_slice_larger_than_the_array(j):
    return j.lax.dynamic_slice(j.numpy.ones(3), (0,), (5,))


@program(says="")
def split_that_does_not_divide(j):
    return j.numpy.split(j.numpy.ones(7), 3)


@program(says="")
def broadcast_to_a_smaller_shape(j):
    return j.numpy.broadcast_to(j.numpy.ones((3, 2)), (3,))


@program(says="")
def argmax_of_nothing(j):
    return j.numpy.argmax(j.numpy.zeros((0,)))


@program(says="")
def max_of_nothing(j):
    return j.numpy.max(j.numpy.zeros((0,)))


@program(says="")
def random_without_a_key(j):
    return j.random.normal(0.5, (3,))


@program(says="dtype")
def uniform_of_integers(j):
    return j.random.uniform(j.random.key(0), (3,), dtype="int32")


@program(says="")
def custom_vjp_without_its_rules(j):
    f = j.custom_vjp(lambda x: x)
    return j.grad(f)(1.0)


@program(says="")
def grad_through_a_while_loop(j):
    f = lambda x: j.lax.while_loop(lambda v: v < 3, lambda v: v * 2, x)
    return j.grad(f)(1.0)


@program(says="")
def bitwise_and_of_floats(j):
    return j.numpy.ones(3) & j.numpy.ones(3)


@program(says="")
def has_aux_without_a_pair(j):
    return j.grad(lambda x: x, has_aux=True)(1.0)


@program(says="")
def jit_result_that_is_no_array(j):
    return j.jit(lambda x: "text")(1.0)


@program(says="")
def unknown_named_axis(j):
    return j.lax.psum(j.numpy.ones(3), "nowhere")


ABSTRACT = "Abstract tracer value encountered where concrete value is expected: traced array"


@program(says=ABSTRACT)
def int_of_a_traced_value(j):
    return j.jit(lambda x: int(x))(1)


@program(says=ABSTRACT)
def complex_of_a_traced_value(j):
    return j.jit(lambda x: complex(x))(1.0)


@program(says=ABSTRACT)
def item_of_a_traced_value(j):
    return j.jit(lambda x: x.item())(1.0)


@program(says=ABSTRACT)
def tolist_of_a_traced_value(j):
    return j.jit(lambda x: x.tolist())(1.0)


@program(says=ABSTRACT)
def traced_axis(j):
    return j.jit(lambda x, a: j.numpy.sum(x, axis=a))(j.numpy.ones(3), 0)


@program(says=ABSTRACT)
def arange_to_a_traced_bound(j):
    return j.jit(lambda n: j.numpy.arange(n))(3)


@program(says="The __index__() method was called on traced array with shape int32[]")
def traced_index_of_a_list(j):
    return j.jit(lambda n: [1, 2][n])(1)


@program(says="Shapes must be 1D sequences of concrete values of integer type, got")
def zeros_of_a_traced_shape(j):
    return j.jit(lambda n: j.numpy.zeros((n, 2)))(3)


@program(says="Shapes must be 1D sequences of concrete values of integer type, got")
def reshape_to_a_traced_shape(j):
    return j.jit(lambda n: j.numpy.ones(6).reshape(n, 2))(3)


@program(says="unhashable type")
def traced_key_of_a_dict(j):
    return j.jit(lambda n: {1: 2}[n])(1)


@program(says="Encountered an unexpected tracer.")
def leaked_tracer_as_an_argument(j):
    kept = []
    j.jit(lambda x: kept.append(x * 2) or x)(1.0)
    return j.jit(lambda x: x)(kept[0])


@program(says="Non-hashable static arguments are not supported. An error occurred while trying to")
def static_dict_by_name(j):
    return j.jit(lambda x, n: x, static_argnames="n")(1.0, n={})


@program(says="Jitted function has static_argnums=(3,), but only accepts 1 positional arguments.")
def static_argnums_out_of_range(j):
    return j.jit(lambda x: x, static_argnums=3)(1.0)


@program(says="Jitted function has donate_argnums=(3,), but only accepts 1 positional arguments.")
def donate_argnums_out_of_range(j):
    return j.jit(lambda x: x, donate_argnums=3)(1.0)


@program(says="Jitted function has invalid argnames {'q'} in static_argnames.")
def static_argnames_that_do_not_exist(j):
    return j.jit(lambda x: x, static_argnames="q")(1.0)


@program(says="static_argnames and donate_argnames cannot intersect. Argument names {'x'}")
def static_and_donated(j):
    return j.jit(lambda x: x, static_argnums=0, donate_argnums=0)(1.0)


@program(says="'str' object cannot be interpreted as an integer")
def static_argnums_that_are_text(j):
    return j.jit(lambda x: x, static_argnums="x")(1.0)


@program(says="Expected a callable value, got 3")
def jit_of_a_number(j):
    return j.jit(3)


@program(says="Expected a callable value, got None")
def jit_of_none(j):
    return j.jit(None)


@program(says="Expected a callable value, got 3")
def grad_of_a_number(j):
    return j.grad(3)


@program(says="Expected a callable value, got 3")
def vmap_of_a_number(j):
    return j.vmap(3)


@program(says="Expected a function, got a generator function")
def jit_of_a_generator(j):
    def f(x):
        yield x

    return j.jit(f)(1.0)


@program(says="function <lambda>")
def nested_result_that_is_no_array(j):
    return j.jit(lambda x: {"a": [x, "text"]})(1.0)


@program(says="as an abstract array. The problematic value is of type <class 'str'> and was passed")
def nested_argument_that_is_no_array(j):
    return j.jit(lambda x, y: x)(1.0, {"a": ["text"]})


@program(says="missing 1 required positional argument: 'y'")
def too_few_arguments(j):
    return j.jit(lambda x, y: x)(1.0)


@program(says="truth value of an empty array is ambiguous")
def bool_of_an_empty_array(j):
    return bool(j.numpy.zeros(0))


@program(says="Only integer scalar arrays can be converted to a scalar index")
def float_array_as_a_list_index(j):
    return [1, 2][j.numpy.asarray(1.0)]


@program(says="scan body function carry input and carry output must have equal types")
def scan_from_a_number_that_cannot_become_a_bool(j):
    return j.lax.scan(lambda c, x: (c > x, c), 0.0, j.numpy.ones(3))


@program(says="Unrecognized config option: jax_nope")
def unknown_option(j):
    return j.config.update("jax_nope", 1)


@program(says="Unused keyword arguments to `")
def debug_print_of_more_than_its_text_says(j):
    return j.jit(lambda x: j.debug.print("{}", x, y=x))(1.0)


@program(says="tuple index out of range")
def debug_print_of_less_than_its_text_says(j):
    return j.jit(lambda x: j.debug.print("{} {}", x))(1.0)


@program(says="requires arguments to have the same dtypes, got float32, int32")
def lax_does_not_promote(j):
    j.lax.add(j.numpy.ones(3), 1)


@program(says="arrays must have the same number of dimensions, got {1, 2}")
def lax_does_not_broadcast_ranks(j):
    j.lax.mul(j.numpy.ones(3), j.numpy.ones((2, 3)))


@program(says="exp does not accept dtype int32. Accepted dtypes are subtypes of floating")
def lax_exp_of_an_integer(j):
    j.lax.exp(j.numpy.arange(3))


@program(says="Cannot concatenate arrays with different numbers of dimensions: got (3,), (2, 3).")
def lax_concatenate_of_ranks(j):
    j.lax.concatenate([j.numpy.ones(3), j.numpy.ones((2, 3))], 0)


@program(says="rhs input feature dimension size, but 3 // 1 != 2.")
def convolution_of_other_channels(j):
    j.lax.conv(j.numpy.ones((1, 3, 5)), j.numpy.ones((2, 2, 3)), (1,), "SAME")
