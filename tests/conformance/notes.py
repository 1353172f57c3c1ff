"""What FEATURES.md says beyond what the exports show.

Invariant: a name is noted only if JAX has it; `test_features` refuses a note that the exports
contradict (a "not planned" name that exists, a partial one that does not).
"""

from __future__ import annotations

COMPLEX = "complex numbers: WGSL has none"
WIDE = "64-bit types: WGSL has none; 32-bit ones are used instead"
NARROW = "a type that WGSL can neither store nor compute with"
HOSTS = "one process drives one adapter"
XLA = "an interface to XLA"
MUTABLE = "arrays are immutable; use .at"
SPECIAL = "special functions outside of neural networks"
PYTHON = "numpy itself does this on the host"

# (why, names) by module. Names are separated by blanks.
NOT_PLANNED: dict[str, list[tuple[str, str]]] = {
    "jax": [
        (HOSTS, "host_count host_id host_ids process_indices pmap "
                "make_array_from_callback make_array_from_process_local_data "
                "make_array_from_single_device_arrays Shard copy_to_host_async"),
        ("a switch of JAX's own internals",
         "array_garbage_collection_guard auto_pcast jax2tf_associative_scan_reductions "
         "legacy_prng_key make_user_context no_execution no_tracing "
         "remove_size_one_mesh_axis_from_type softmax_custom_jvp thread_guard "
         "threefry_partitionable allow_f16_reductions enable_custom_prng default_prng_impl "
         "enable_checks"),
        ("arrays travel at their first use, and results stay",
         "transfer_guard transfer_guard_device_to_device transfer_guard_device_to_host "
         "transfer_guard_host_to_device"),
        ("there is one kind of memory", "memory"),
        ("shard_map and grad say the same", "smap ad fwd_and_bwd float0"),
        (MUTABLE, "Ref empty_ref new_ref free_ref freeze ds"),
        ("a result of the host would stop the device at every call", "pure_callback"),
    ],
    "jax.numpy": [
        (COMPLEX, "complex128 complex64 complex_ complexfloating cdouble csingle sort_complex "
                  "ComplexWarning roots"),
        (WIDE, "float64 double float_ int64 uint64"),
        (NARROW, "int1 int2 int4 int8 int16 uint1 uint2 uint4 uint8 uint16 float4_e2m1fn "
                 "float6_e2m3fn float6_e3m2fn float8_e3m4 float8_e4m3 float8_e4m3b11fnuz "
                 "float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu "
                 "packbits unpackbits"),
        (PYTHON, "character flexible generic object_"),
    ],
    "jax.numpy.linalg": [
        (COMPLEX, "eig eigvals"),
    ],
    "jax.lax": [
        (COMPLEX, "complex conj imag real fft FftType"),
        (XLA, "AccuracyMode DotAlgorithm DotAlgorithmPreset GatherDimensionNumbers "
              "GatherScatterMode ScatterDimensionNumbers RandomAlgorithm Tolerance "
              "RaggedDotDimensionNumbers after_all create_token dce_sink "
              "pbroadcast precv psend pshuffle "
              "rng_bit_generator rng_uniform shape_as_value stage "
              "ragged_all_to_all PrecisionLike index_take gather scatter "
              "scatter_add scatter_apply scatter_max scatter_min scatter_mul scatter_sub "
              "conv_general_dilated_local conv_general_shape_tuple "
              "conv_shape_tuple conv_transpose_shape_tuple"),
        (SPECIAL, "betainc igamma igamma_grad_a igammac random_gamma_grad"),
        ("mixtures of sizes on one axis", "ragged_dot ragged_dot_general scaled_dot"),
        ("approximate top_k is for TPUs", "approx_max_k approx_min_k"),
        ("implicit differentiation", "custom_linear_solve custom_root"),
    ],
    "jax.nn": [
        ("8-bit floats", "get_scaled_dot_general_config scaled_dot_general scaled_matmul"),
    ],
    "jax.random": [
        ("a loop of rejections in a loop over trials", "binomial multinomial"),
        (XLA, "key_dtype"),
    ],
    "jax.sharding": [
        (XLA, "AbstractDevice AbstractMesh ManualAxisType auto_axes explicit_axes "
              "get_abstract_mesh use_abstract_mesh make_single_device_sharding"),
    ],
    "jax.debug": [
        (XLA, "DebugEffect OrderedDebugEffect log"),
        ("a debugger would stop the device in the middle of a program", "breakpoint"),
    ],
    "jax.errors": [
        (XLA, "InconclusiveDimensionOperation JAXIndexError JAXTypeError JaxRuntimeError "
              "JaxprTypeError"),
    ],
    "jax.tree_util": [
        (XLA, "default_registry flatten_one_level_with_keys is_tree_node"),
    ],
    "jax.Array": [
        (HOSTS, "addressable_data addressable_shards global_shards is_fully_addressable "
                "is_fully_replicated committed"),
        (XLA, "byteswap flat"),
    ],
    "jax.checkpoint_policies": [
        ("there is no second memory to offload to",
         "offload_dot_with_no_batch_dims save_and_offload_only_these_names"),
    ],
}  # fmt: skip

# Parameters that no name takes, each for one reason that FEATURES.md gives at its head.
IGNORED_PARAMETERS = frozenset(
    "out out_sharding precision preferred_element_type device backend accuracy promote_integers "
    "unique_indices indices_are_sorted wrap_negative_indices holomorphic reduce_axes sharding "
    "spmd_axis_name sum_match compiler_options order inplace overwrite_input axis_index_groups "
    "concrete is_leaf_takes_path allow_negative_indices impl may_alias donate abstracted_axes "
    "algorithm optimize parallel prevent_cse allow_int implementation residual".split()
)
