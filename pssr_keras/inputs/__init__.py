"""One gate for what a user gives: images, labels, models and what they return, seeds and budgets.

Every function that takes one of them asks here, so that all of them take and refuse the same. Images are
(B, H, W, C), float32 in [0, 1], labels integers (B,) or (B, 1), and a model returns logits (B, K), K >= 2.
What does not fit is an `InputError`, one line that says what was given, what is expected and what to do.

numbers  seeds, budgets, fields
arrays   images, labels, indices
models   what a model takes, and what it returns
"""

from .arrays import (
    array_of,
    check_batch,
    check_images,
    check_indices,
    check_labels,
    check_pixels,
    check_range,
    check_shape,
    check_some,
    check_type,
    fits,
    unbounded,
)
from .models import (
    check_attacked,
    check_logits,
    check_model,
    check_outputs,
    check_rows,
    layers_within,
    shapes_of,
)
from .numbers import (
    InputError,
    check_integer,
    check_seed,
    of_type,
    parse_eps,
    parse_fields,
    plain,
    plain_fields,
)

__all__ = [
    "InputError", "array_of", "check_attacked", "check_batch", "check_images", "check_indices",
    "check_integer", "check_labels", "check_logits", "check_model", "check_outputs", "check_pixels",
    "check_range", "check_rows", "check_seed", "check_shape", "check_some", "check_type", "fits",
    "layers_within", "of_type", "parse_eps", "parse_fields", "plain", "plain_fields", "shapes_of",
    "unbounded",
]  # fmt: skip
