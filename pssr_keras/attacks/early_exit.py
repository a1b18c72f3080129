"""Attack only the images not yet fooled: what APGD, FAB and Square share.

Such an attack works on one target class after another, and drops an image once it is misclassified.
There are two modes, which give the same verdicts up to rounding:

    strict   each run goes to its end on all images it began with, as the official code does
    fast     an image retires when it falls, the rest is compacted, several targets share a batch, and the
             cores share the images

Batches have no fixed size, so one traced function serves however many images are left. All randomness
is keyed by (seed, image, target): neither mode nor batches change it.
"""

import concurrent.futures
import dataclasses
import functools
import itertools
import os
import threading
import typing

import numpy as np
import tensorflow as tf

from ..inputs import InputError
from . import compiled
from .base import Attack, compiled_logits, logits_function
from .finite_gradient import with_finite_gradient

MODES = ("fast", "strict")
SHARED_BATCH = 512  # images x targets that fast mode attacks at once: beyond, a CPU gains nothing
LEAST_SHARE = 16  # images x targets for which a thread of its own is worth while


def streams():
    """How many shares of a batch fast mode attacks side by side: one for each core, or one for a GPU."""
    if tf.config.list_logical_devices("GPU"):
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def classes_by_rank(logits, ranks):
    """The classes that come second, third, ... in each row of logits (B, K): (B, ranks).

    Ties are broken as by a stable ascending sort read from its end.

    Raises:
        InputError: if there are fewer than 2 classes.
    """
    if logits.shape[-1] < 2:
        raise InputError(f"the model has {logits.shape[-1]} class, expected at least 2")
    order = np.argsort(logits, axis=-1, kind="stable")[:, ::-1]
    return order[:, 1 : ranks + 1].astype(np.int32)


@dataclasses.dataclass(frozen=True)
class EarlyExitAttack(Attack):
    """An untargeted attack that goes on with the images not yet fooled.

    A subclass defines how a batch begins and advances. Both get a `task` of constants and `advance` also
    a `state`: dictionaries of tensors whose rows are images. task holds x, y and target; a state holds at
    least x_adv and fooled.

    Attributes:
        mode: "fast" or "strict"; see the head of this module.

    Raises:
        InputError: for an unknown mode, or if `targeted` is set.
    """

    mode: str = "fast"

    takes_any_number: typing.ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        if self.mode not in MODES:
            raise InputError(f"mode is {self.mode!r}, expected one of {', '.join(MODES)}")
        if self.targeted:
            raise InputError(f"{self.name} takes true labels and moves away from them: leave targeted False")

    @property
    def is_fast(self):
        """Whether images retire when they fall."""
        return self.mode == "fast"

    def targets(self, logits):
        """The target classes to try in turn, (B, T); a single column of -1 without a target."""
        return np.full((len(logits), 1), -1, np.int32)

    def ends(self):
        """The iterations after which fast mode lets go of fallen images; the last one ends the attack."""
        raise NotImplementedError

    def noise(self, seed, indices, shape, run):
        """Random constants of the task for the run-th target, {name: (B, ...)}."""
        return {}

    def begin(self, logits, task):
        """The state before the first iteration."""
        raise NotImplementedError

    def advance(self, logits, task, state, first, last):
        """The state after the iterations from `first` to `last` - 1."""
        raise NotImplementedError

    def attack(self, model, x, y, logits, seed, indices):
        x_adv = x.copy()
        standing = np.flatnonzero(logits.argmax(axis=-1) == y)
        targets = self.targets(logits)
        next_run = 0
        while len(standing) and next_run < targets.shape[1]:
            at_once = max(1, SHARED_BATCH // len(standing)) if self.is_fast else 1
            runs = range(next_run, min(next_run + at_once, targets.shape[1]))
            self.attack_side_by_side(model, x, y, targets, runs, seed, indices, standing, x_adv)
            fell = predict(model, x_adv[standing]) != y[standing]
            x_adv[standing[~fell]] = x[standing[~fell]]
            standing = standing[~fell]
            next_run = runs.stop
        return x_adv

    def attack_side_by_side(self, model, x, y, targets, runs, seed, indices, standing, x_adv):
        """`attack_targets` on shares of the standing images, each in a thread of its own.

        The steps of a small batch are too short to be shared among cores: each core had better take its
        own images. What becomes of an image depends on no other.
        """
        worth_while = min(len(standing), len(standing) * len(runs) // LEAST_SHARE)
        count = max(1, min(streams(), worth_while)) if self.is_fast else 1
        stopped = threading.Event()

        def attack_share(share):
            self.attack_targets(model, x, y, targets, runs, seed, indices, share, x_adv, stopped)

        first, *others = np.array_split(standing, count)
        with concurrent.futures.ThreadPoolExecutor(max(len(others), 1)) as pool:
            try:
                pending = [pool.submit(attack_share, share) for share in others]
                attack_share(first)
                for future in pending:
                    future.result()
            finally:  # after an error or an interrupt nobody waits for the rest
                stopped.set()

    def attack_targets(self, model, x, y, targets, runs, seed, indices, standing, x_adv, stopped):
        """Attack the standing images for some targets at once; write what was found into x_adv."""
        owner = np.tile(standing, len(runs))  # the image that each row of the batch belongs to
        noise = [self.noise(seed, indices[standing], x.shape[1:], run) for run in runs]
        task = {"x": x[owner], "y": y[owner], "target": np.concatenate([targets[standing, r] for r in runs])}
        task |= {name: np.concatenate([part[name] for part in noise]) for name in noise[0]}
        task = {name: tf.constant(value) for name, value in task.items()}

        program = _program(self, model)
        state = program.begin(task)
        ends = self.ends() if self.is_fast else self.ends()[-1:]
        for first, last in itertools.pairwise([0, *ends]):
            if stopped.is_set():
                return
            state = program.advance(task, state, first, last)
            fooled = state["fooled"].numpy()
            # In reverse order, so that of several targets the most likely one is kept.
            for row in np.flatnonzero(fooled)[::-1]:
                x_adv[owner[row]] = state["x_adv"][row]
            if not fooled.any():
                continue
            keep = np.flatnonzero(~np.isin(owner, owner[fooled]))
            if len(keep) == 0:
                break
            owner = owner[keep]
            task, state = ({n: tf.gather(v, keep) for n, v in part.items()} for part in (task, state))

    def run(self, model, task):
        """The final state of one run to its end, in which no image retires."""
        task = {name: tf.constant(value) for name, value in task.items()}
        program = _program(self, model)
        return program.advance(task, program.begin(task), 0, self.ends()[-1])


def predict(model, x):
    """The classes that a model predicts, (B,)."""
    return compiled_logits(model)(x).numpy().argmax(axis=-1)


class _Program:
    """The compiled functions of an attack on a model, each traced once for any number of images."""

    def __init__(self, attack, model):
        logits = with_finite_gradient(logits_function(model))
        self._begin = functools.partial(attack.begin, logits)
        self._advance = functools.partial(attack.advance, logits)
        self._compiled = {}
        self._lock = threading.Lock()

    def begin(self, task):
        return self._call("begin", self._begin, task)

    def advance(self, task, state, first, last):
        return self._call("advance", self._advance, task, state, tf.constant(first), tf.constant(last))

    def _call(self, name, function, *arguments):
        arguments = tf.nest.map_structure(tf.convert_to_tensor, arguments)
        with self._lock:  # of several threads, the first one traces
            if name not in self._compiled:
                signature = tf.nest.map_structure(
                    lambda t: tf.TensorSpec([None, *t.shape[1:]] if t.shape.rank else [], t.dtype), arguments
                )
                self._compiled[name] = tf.function(function, input_signature=signature, autograph=False)
                self._compiled[name].get_concrete_function()
        return self._compiled[name](*arguments)


def _program(attack, model):
    return compiled.kept(attack, model, functools.partial(_Program, attack, model))
