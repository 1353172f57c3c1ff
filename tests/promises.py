"""What the two projects before this one promise, and which test proves each promise here.

`python -m tests.promises` writes docs/promises.md. Invariant: every row names tests that exist; a
test fails when one does not, or when the page is stale.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "promises.md"
Rows = dict[str, tuple[str, tuple[str, ...]]]

# Of mlsquare/picotron-wgpu's README and code (commit 2770172), with what it takes to keep each.
SEED: Rows = {
    "W01": (
        "GPU acceleration: forward, backward and update run as dispatched WGSL",
        (
            "device/test_programs.py",
            "train/test_train.py::test_a_run_learns_and_leaves_everything_behind",
        ),
    ),
    "W02": (
        "DP, TP, PP, CP: each axis equals one device",
        (
            "parallel/test_sharding.py::test_a_mesh_equals_one_device",
            "parallel/test_pipeline.py::test_equals_one_device",
            "parallel/test_training.py::test_every_axis_at_once",
        ),
    ),
    "W03": (
        "kernels are generated, validated, and run",
        ("golden/test_validity.py", "golden/test_golden.py::test_goldens_are_valid_everywhere"),
    ),
    "W04": (
        "a whole training pipeline: gradients are finite differences, and a run learns",
        ("oracle/test_gradients.py", "conformance/test_transformers_training.py::test_gradients"),
    ),
    "W05": (
        "text from a trained model, greedy and sampled, on the device; character tokenizer",
        ("test_picotron_generate.py", "test_picotron_tokenizer.py"),
    ),
    "W06": (
        "examples, and documentation whose snippets run",
        ("test_examples.py", "test_docs.py::test_python_blocks_run_and_print_what_the_page_shows"),
    ),
    "W07": (
        "a real LLaMA block",
        (
            "test_picotron_model.py::test_forward_matches_numpy",
            "test_picotron_hf.py::test_recorded_logits",
        ),
    ),
    "W08": (
        "cross-entropy of each position; SGD and AdamW",
        (
            "test_picotron_model.py::test_loss_is_the_mean_negative_log_likelihood",
            "test_picotron_recorded.py::test_weights_after_twenty_steps",
        ),
    ),
    "W09": (
        "`matmul`, `attention`, `layer_norm` in the README's order",
        ("test_picotron_gpu_ops.py",),
    ),
    "W10": (
        "backends: listed, selectable, a software one among them",
        (
            "test_doctor.py::test_the_environment_variable_chooses",
            "train/test_train.py::test_an_absent_adapter_is_named",
        ),
    ),
    "W11": (
        "`PicoTronConfig`: all 39 fields honoured, or refused by name",
        (
            "test_picotron_config.py::test_the_file_of_the_seed_loads_as_it_is",
            "test_picotron_config.py::test_every_field_of_the_seed_has_its_place",
        ),
    ),
    "W12": (
        "one documented default of the learning rate",
        ("test_docs.py::test_every_setting_is_listed_with_its_default",),
    ),
    "W13": (
        "a batch axis",
        ("train/test_train.py::test_gradient_accumulation_is_a_larger_batch",),
    ),
    "W14": (
        "epochs, and SGD as one of the optimizers",
        (
            "train/test_settings.py::test_epochs_and_tokens_decide_how_many_steps_there_are",
            "test_picotron_optimizers.py::test_sgd",
        ),
    ),
    "W15": ("a real test suite, in CI", ("test_setup.py::test_ci_runs_what_the_readme_says",)),
    "W16": (
        "benchmarks that can be run again",
        ("test_picotron_bench.py", "test_performance_page.py"),
    ),
    "W17": (
        "workgroup sizes and tiles that can be tuned",
        ("test_templates.py", "test_performance_page.py"),
    ),
    "W18": ("a licence file", ("test_promises.py::test_the_licence_is_shipped",)),
    "W19": (
        "issues: what a report needs, and that each of it exists",
        ("test_promises.py::test_what_a_report_asks_for_works",),
    ),
    "W20": (
        "Python bindings: this is Python",
        ("test_picotron_api.py::test_train_load_ask_and_write",),
    ),
    "W21": (
        "mixed precision",
        ("test_picotron_precision.py::test_narrow_types_converge_as_float32",),
    ),
    "W22": (
        "checkpoints, evaluation, best model, warm-up, clipping, accumulation, dropout, workers, "
        "cache, max_steps: each field has an effect",
        (
            "train/test_settings.py::test_frequencies_limits_and_the_best_model",
            "train/test_settings.py::test_every_number_of_the_optimizer_has_an_effect",
            "train/test_settings.py::test_clipping_and_accumulation_change_the_first_step",
            "test_picotron_dropout.py::test_elements_are_dropped_or_scaled_and_the_mean_stays",
            "test_picotron_documents.py::test_prefetching_changes_nothing",
            "test_picotron_documents.py::test_tokens_are_made_once",
        ),
    ),
}

# Of huggingface/picotron (commit 59714b1), by subject.
ORIGINAL: Rows = {
    "grid": (
        "one mesh dp, pp, cp, tp, tp fastest; its size is that of the world",
        (
            "parallel/test_training.py::test_meshes_that_do_not_fit",
            "test_picotron_config.py::test_meshes_are_refused_by_name",
        ),
    ),
    "model": (
        "grouped heads, RoPE with scaling, RMSNorm, SwiGLU, tied and untied heads",
        ("conformance/test_transformers.py", "test_picotron_hf.py::test_recorded_logits"),
    ),
    "data parallel": (
        "gradients are summed once a step, in buckets, over dp and cp",
        (
            "parallel/test_sharding.py::test_gradients_are_summed_once_a_step_whatever_the_accumulation",
            "parallel/test_sharding.py::test_a_bucket_of_gradients_is_summed_at_once",
        ),
    ),
    "tensor parallel": (
        "column, row, vocabulary and head; the loss on parts of the vocabulary; sequence parallel",
        (
            "parallel/test_sharding.py::test_a_mesh_equals_one_device",
            "parallel/test_sharding.py::test_collectives_are_those_of_the_field",
            "train/test_vocabulary.py",
        ),
    ),
    "pipeline": (
        "AFAB and 1F1B, and interleaved and zero-bubble besides; remainders of layers",
        (
            "parallel/test_pipeline.py::test_equals_one_device",
            "test_picotron_schedules.py::test_layers_of_stages",
            "parallel/test_training.py::test_zero_bubble",
        ),
    ),
    "context parallel": (
        "the ring, and zigzag, which shares out the work",
        (
            "parallel/test_sharding.py::test_a_longer_ring",
            "parallel/test_sharding.py::test_attention_meets_keys_that_lie_elsewhere",
        ),
    ),
    "precision": (
        "float32 masters under every policy; accumulation in float32 whatever dp is",
        ("test_picotron_precision.py::test_accumulation_averages_once_under_every_policy",),
    ),
    "schedule": (
        "learning rates, clipping, param groups",
        (
            "test_picotron_recorded.py::test_the_schedules_of_a_run",
            "test_picotron_precision.py::test_groups_of_weights_have_rates_and_decays_of_their_own",
        ),
    ),
    "data": (
        "data sets of the library, windows of S + 1, shares of dp; position saved and restored",
        (
            "test_picotron_documents.py::test_data_sets_of_the_library",
            "test_picotron_documents.py::test_ranks_see_what_one_device_would",
            "train/test_train.py::test_resuming_is_bit_equal",
        ),
    ),
    "weights": (
        "safetensors in and out, single and indexed, kept as they are; another mesh may read them",
        (
            "conformance/test_transformers_export.py",
            "test_picotron_tensors.py::test_what_one_mesh_writes_another_reads",
        ),
    ),
    "log": (
        "the line's columns in their order, MFU as it is counted there, wandb's names",
        (
            "test_picotron_report.py::test_the_line_has_picotron_s_columns_in_its_order",
            "test_picotron_report.py::test_utilisation_counts_as_picotron_does",
            "test_picotron_report.py::test_wandb_gets_picotron_s_names",
        ),
    ),
    "configuration": (
        "base_config.json verbatim, the flags of create_config.py; all fields honoured or refused",
        (
            "test_picotron_config.py::test_the_base_config_of_picotron_loads_as_it_is",
            "test_picotron_config.py::test_what_picotron_cannot_have_is_refused_with_the_cure",
            "test_picotron_config.py::test_short_flags_of_picotron",
        ),
    ),
}

# Faults of huggingface/picotron that must not be here.
FAULTS: Rows = {
    "H1": (
        "loaded weights are overwritten by random ones",
        (
            "train/test_init_from.py::test_in_ten_steps_out_and_in_again",
            "test_picotron_hf.py::test_recorded_logits",
        ),
    ),
    "H2": (
        "tensor-parallel ranks start with equal parts",
        (
            "test_picotron_model.py::test_elements_of_a_weight_depend_on_their_index_alone",
            "parallel/test_training.py::test_data_and_tensor_parallel",
        ),
    ),
    "H3": (
        "cp without dp never sums gradients",
        (
            "parallel/test_sharding.py::test_a_mesh_equals_one_device",
            "parallel/test_training.py::test_weights_and_positions_in_parts",
        ),
    ),
    "H4": (
        "pipelines multiply gradients by the accumulation",
        (
            "parallel/test_pipeline.py::test_equals_one_device",
            "parallel/test_training.py::test_every_axis_at_once",
        ),
    ),
    "H5": (
        "plain data parallel reduces weights in place of gradients",
        ("parallel/test_sharding.py::test_a_whole_train_step_equals_that_of_one_device",),
    ),
    "H6": (
        "fused Adam is never on: here the compiled step holds it, and less is refused",
        ("test_picotron_config.py::test_what_picotron_cannot_have_is_refused_with_the_cure",),
    ),
    "H7": (
        "the CPU mode needs CUDA",
        (
            "test_doctor.py::test_a_lavapipe_of_the_system_is_enough",
            "test_doctor.py::test_this_machine_can_train",
        ),
    ),
    "H8": (
        "rotary tables in bfloat16",
        ("conformance/test_transformers.py", "test_picotron_hf.py::test_recorded_logits"),
    ),
    "H9": (
        "a local model's path is reported as present, but never loaded",
        ("train/test_init_from.py::test_in_ten_steps_out_and_in_again",),
    ),
    "H10": (
        "every stage starts with the same layers",
        ("test_picotron_model.py::test_init_depends_on_seed_and_path_only",),
    ),
    "H11": (
        "every tensor-parallel rank reads the first rows",
        (
            "test_picotron_tensors.py::test_what_one_mesh_writes_another_reads",
            "test_picotron_hf.py::test_blocks_are_read_by_themselves",
        ),
    ),
    "H12": (
        "tokens in configurations; run folders removed with their checkpoints",
        (
            "test_picotron_config.py::test_what_picotron_cannot_have_is_refused_with_the_cure",
            "train/test_run_folder.py::test_a_new_folder_goes_again_only_if_it_is_empty",
        ),
    ),
    "H13": (
        "parameters are counted wrongly",
        ("test_picotron_config.py::test_presets_of_published_models_have_their_size",),
    ),
    "H14": (
        "reading logs fails for short runs; tokens per step are not told",
        (
            "test_picotron_report.py::test_a_log_counts_each_step_as_it_was_done_last",
            "test_picotron_report.py::test_the_line_has_picotron_s_columns_in_its_order",
        ),
    ),
}

# What a run survives.
SURVIVED: Rows = {
    "SIGKILL at any moment": (
        "earlier checkpoints stay; the end has the same bits",
        (
            "train/test_faults.py::test_kills_at_random_moments_lose_nothing",
            "test_picotron_checkpoint.py::test_a_kill_leaves_a_complete_checkpoint",
            "train/test_resume.py::test_a_run_in_two_parts_is_bit_equal",
        ),
    ),
    "full disk": (
        "one line, training goes on, no debris",
        (
            "test_picotron_checkpoint.py::test_a_full_disk_leaves_the_previous_checkpoint",
            "train/test_train.py::test_a_full_disk_ends_the_run_with_one_sentence",
        ),
    ),
    "damaged files": (
        "refused by name; the newest intact checkpoint is taken",
        (
            "test_picotron_checkpoint.py::test_every_damaged_file_is_named",
            "train/test_faults.py::test_auto_takes_the_newest_that_is_intact",
        ),
    ),
    "hostile files": (
        "an error; no large allocation, no other folder, no pickle, no code",
        (
            "fuzz/test_folders.py",
            "test_picotron_hf.py::test_an_index_cannot_leave_its_folder",
            "test_picotron_hf.py::test_sizes_are_not_believed",
            "test_picotron_hf.py::test_pickles_are_not_read",
            "test_picotron_tensors.py::test_an_index_that_promises_too_much_allocates_nothing",
            "test_picotron_chat.py::test_what_a_template_does_wrong_is_one_sentence",
        ),
    ),
    "NaN and Inf": (
        "skip, stop or roll back; the operation at fault is named",
        (
            "train/test_faults.py::test_rolling_back_leaves_out_the_batches",
            "train/test_faults.py::test_skipping_is_told_and_has_an_end",
            "train/test_run_folder.py::test_a_step_that_diverges_by_itself_names_the_operation",
        ),
    ),
    "device lost, driver aborts": (
        "started again from the last checkpoint, never without progress",
        (
            "train/test_faults.py::test_a_lost_device_is_survived",
            "train/test_faults.py::test_an_aborted_process_is_started_again",
            "train/test_faults.py::test_never_again_without_progress",
        ),
    ),
    "a rank dies": (
        "the job ends with that rank's traceback",
        ("parallel/test_mpi.py::test_a_process_that_raises_ends_the_job_with_its_traceback",),
    ),
    "a rank dies while it saves": (
        "each writes its own part, and the checkpoint before stays the last",
        ("parallel/test_mpi.py::test_processes_write_their_own_parts_of_a_checkpoint",),
    ),
    "a rank hangs": (
        "the job ends, and names it",
        ("parallel/test_mpi.py::test_a_process_that_hangs_ends_the_job_and_is_named",),
    ),
    "mistakes in settings": (
        "refused before the device is touched, all at once, with the nearest name",
        (
            "test_picotron_flags.py",
            "test_picotron_config.py::test_all_problems_are_reported_at_once",
        ),
    ),
    "out of memory": (
        "refused before anything is allocated, by kind, with what fits",
        ("train/test_memory.py", "train/test_mesh_budgets.py"),
    ),
    "Ctrl-C, SIGTERM": (
        "the step is finished and saved; 130 or 143",
        ("train/test_train.py::test_signals_save_and_leave",),
    ),
    "two trainers in one folder": (
        "the second is refused",
        ("train/test_run_folder.py::test_a_second_trainer_is_refused_in_one_sentence",),
    ),
    "another mesh": (
        "may go on from the checkpoint",
        (
            "train/test_resume.py::test_another_mesh_goes_on",
            "test_picotron_tensors.py::test_what_one_mesh_writes_another_reads",
        ),
    ),
}

SECTIONS = {
    "mlsquare/picotron-wgpu, as its README has it": SEED,
    "huggingface/picotron, what it can": ORIGINAL,
    "huggingface/picotron, what it gets wrong": FAULTS,
    "What a run survives": SURVIVED,
}
INTRODUCTION = """\
# Promises, and the tests that keep them

Generated by `python -m tests.promises`; a test fails when a name here does not exist. Paths are
below `tests/`. A file alone stands for all of its tests; those in `conformance/` need the extra of
that name. [trainer.md](trainer.md) has the commands of longer checks.
"""


def named() -> Iterator[tuple[str, str]]:
    """(row, test) of every row."""
    for rows in SECTIONS.values():
        for row, (_, tests) in rows.items():
            yield from ((row, test) for test in tests)


def exists(test: str) -> bool:
    """Whether a file, or the function in it, is there and collected by pytest."""
    file, _, function = test.partition("::")
    path = ROOT / "tests" / file
    if not path.is_file():
        return False
    body = ast.parse(path.read_text()).body
    names = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    tests = {name for name in names if name.startswith("test_")}
    return function in tests if function else bool(tests)


def page() -> str:
    parts = [INTRODUCTION]
    for title, rows in SECTIONS.items():
        parts.append(f"\n## {title}\n\n| row | promise | tests |\n|---|---|---|\n")
        for row, (promise, tests) in rows.items():
            shown = "<br>".join(f"`{test}`" for test in tests)
            parts.append(f"| {row} | {promise} | {shown} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
