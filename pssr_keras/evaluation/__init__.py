"""Measure accuracy under attack, and tell an attack that failed from a defense that held.

crafting     attack and classify any number of images, batch by batch
cache        adversarial images on disk
statistics   flags, intervals, exact tests, the worst case
provenance   hashes of weights, versions: what a number was measured with
records      `evaluate`: who crafts, who is judged, and a record that says all of it
adaptively   `evaluate_adaptively`: the attacker knows the defense, and tries everything
certifying   images that are proved robust
text         a record in words
findings     how sure a check is of what it saw, and what that says of a table
measurements what the checks look at
binarisation a perturbation is planted; does the attack find it?
double_precision a defense in float64
checks       signs that an attack failed
shards       a set of images in parts, on several machines, and the parts merged
consistency  a record against itself
matching     which models at hand are those of a record
verification `verify`: a sample of a record's images judged anew
"""

from ..batching import batches, pad
from ..files import file_hash
from ..progress import Progress
from . import binarisation, cache, checks, consistency, shards
from .adaptively import evaluate_adaptively
from .certifying import certified
from .crafting import (
    LABELS,
    check_labels_kind,
    correct,
    craft,
    logits_of,
    run_autoattack,
    with_labels,
)
from .provenance import identity, images_hash, indices_of, text_of_indices, versions, weights_hash
from .records import ADAPTIVE, OBLIVIOUS, THREAT_MODELS, TRANSFER, WHITE_BOX, WORST_CASE, evaluate
from .statistics import (
    flags_of,
    label_leaks,
    mcnemar,
    measurement,
    text_of,
    wilson_interval,
    within_budget,
    worst_case,
)
from .text import align, budgets, in_pixels, leak_remark, remarks, table, with_chance
from .verification import verify

__all__ = [
    "ADAPTIVE",
    "LABELS",
    "OBLIVIOUS",
    "THREAT_MODELS",
    "TRANSFER",
    "WHITE_BOX",
    "WORST_CASE",
    "Progress",
    "align",
    "batches",
    "binarisation",
    "budgets",
    "cache",
    "certified",
    "check_labels_kind",
    "checks",
    "consistency",
    "correct",
    "craft",
    "evaluate",
    "evaluate_adaptively",
    "file_hash",
    "flags_of",
    "identity",
    "images_hash",
    "in_pixels",
    "indices_of",
    "label_leaks",
    "leak_remark",
    "logits_of",
    "mcnemar",
    "measurement",
    "pad",
    "remarks",
    "run_autoattack",
    "shards",
    "table",
    "text_of",
    "text_of_indices",
    "verify",
    "versions",
    "weights_hash",
    "wilson_interval",
    "with_chance",
    "with_labels",
    "within_budget",
    "worst_case",
]  # fmt: skip
