"""Optimizers as pairs of pure functions over pytrees, with optax's names.

Invariant: `update(grads, state, params) -> (updates, state)` reads nothing but its arguments, so
it can be traced; `apply_updates` adds the updates. States are plain dicts and tuples of arrays.
"""

from picotron.optim.build import from_config
from picotron.optim.optimizers import adamw, lion, sgd
from picotron.optim.schedules import (
    Schedule,
    constant_schedule,
    cosine_decay_schedule,
    join_schedules,
    linear_schedule,
    warmup,
    warmup_cosine,
    warmup_cosine_decay_schedule,
    wsd_schedule,
)
from picotron.optim.spectral import muon, orthogonalized, scale_by_muon
from picotron.optim.transform import (
    GradientTransformation,
    add_decayed_weights,
    apply_updates,
    averaged,
    chain,
    clip_by_global_norm,
    clipped_to,
    global_norm,
    identity,
    multi_transform,
    scale,
    scale_by_adam,
    scale_by_learning_rate,
    scale_by_lion,
    trace,
)

__all__ = [
    "GradientTransformation",
    "Schedule",
    "adamw",
    "add_decayed_weights",
    "apply_updates",
    "averaged",
    "chain",
    "clip_by_global_norm",
    "clipped_to",
    "constant_schedule",
    "cosine_decay_schedule",
    "from_config",
    "global_norm",
    "identity",
    "join_schedules",
    "linear_schedule",
    "lion",
    "multi_transform",
    "muon",
    "orthogonalized",
    "scale",
    "scale_by_adam",
    "scale_by_learning_rate",
    "scale_by_lion",
    "scale_by_muon",
    "sgd",
    "trace",
    "warmup",
    "warmup_cosine",
    "warmup_cosine_decay_schedule",
    "wsd_schedule",
]
