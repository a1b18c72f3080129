"""Train an experiment from data to table in a folder that can be interrupted and continued.

run.py         the stages in their order
classifier.py  stage 1
pairs.py       stage 2: attacked training images, and batches of pairs
pssr.py        stage 3: the CAE
arrays.py      stages 2 and 3 around a classifier of one's own, on arrays
defenses.py    the purifiers by name; others than PSSR have rooms in `purifiers`
fitting.py     epochs that can be interrupted: batches, callbacks, schedules
selection.py   robustness on held-out images after each epoch
devices.py     several devices, of one machine or of several, and device_layers.py, what their layers are
folder.py      whose folder it is, and what is kept there
"""

from ..data import first
from ..files import load_model, read_json, write_atomically, write_json
from ..purifiers.arn.training import make_arn, train_arn, versions_dataset
from ..purifiers.hardened.training import make_hardened, train_hardened
from .arrays import fit_to
from .classifier import train_classifier
from .defenses import DEFENSES, Defense, train_defense
from .devices import ONE_DEVICE, Devices
from .fitting import (
    Checkpoint,
    SGDWithDecayInGradient,
    TimeToGo,
    classifier_optimizer,
    epochs_of_batches,
    fit,
    keep_epochs,
    learning_rate,
    step_decay,
    warmup_cosine,
)
from .folder import check_free, files_of, prepare_folder, readable, remove_intermediate, working_in
from .own_classifier import check_pixels, classifier_of
from .pairs import augment, make_attacks, pairs_dataset
from .pssr import make_cae, surgery_of, train_pssr, unfitted_surgery
from .run import check_names, evaluate_run, load_splits, row_of, run, stages
from .selection import HeldOut, best_of, held_out_attack

__all__ = [
    "DEFENSES", "ONE_DEVICE", "Checkpoint", "Defense", "Devices", "HeldOut", "SGDWithDecayInGradient",
    "TimeToGo", "augment", "best_of", "check_free", "check_names", "check_pixels", "classifier_of",
    "classifier_optimizer", "epochs_of_batches", "evaluate_run", "files_of", "first", "fit", "fit_to",
    "held_out_attack", "keep_epochs", "learning_rate", "load_model", "load_splits", "make_arn",
    "make_attacks", "make_cae", "make_hardened", "pairs_dataset", "prepare_folder", "read_json", "readable",
    "remove_intermediate", "row_of", "run", "stages", "step_decay", "surgery_of", "train_arn",
    "train_classifier", "train_defense", "train_hardened", "train_pssr", "unfitted_surgery",
    "versions_dataset", "warmup_cosine", "working_in", "write_atomically", "write_json",
]  # fmt: skip
