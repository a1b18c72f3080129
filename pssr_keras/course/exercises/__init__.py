"""Answers to the exercises of the tutorials: each `check_...` says whether yours is right, or why not.

An answer of None is not checked, so a notebook runs whether its exercises are solved or not. The same code
gives the points when notebooks are graded: `EXERCISES["check_..."].grade(answer)`.
"""

from .ablations import check_fair, check_mcnemar
from .bpda import check_ceiling, check_random_threshold
from .exercise import EXERCISES, Exercise, Verdict
from .findings import check_equal_shares, check_largest_share
from .pixel_surgery import check_flat_image, check_signed_mask
from .regeneration import check_divergence, check_undecided_discriminator
from .robustness import check_images_needed, check_interval
from .rounding import percent

__all__ = [
    "EXERCISES", "Exercise", "Verdict", "check_ceiling", "check_divergence", "check_equal_shares",
    "check_fair", "check_flat_image", "check_images_needed", "check_interval", "check_largest_share",
    "check_mcnemar", "check_random_threshold", "check_signed_mask", "check_undecided_discriminator",
    "percent",
]  # fmt: skip
