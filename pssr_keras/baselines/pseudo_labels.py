"""UAT++: adversarial training where most labels are hidden and a teacher's answers stand for them."""

import dataclasses
import typing

import numpy as np
import tensorflow as tf

from ..attacks.base import compiled_logits, cross_entropy
from ..files import write_atomically
from ..inputs import InputError
from ..losses import kl_divergence
from .base import Objective, register
from .inner import check_search, inner_maximization, searched
from .labels import kept_rows

FILE = "pseudo_labels.npy"


def pseudo_labels(logits, x, y, noise, eps, step_size, steps, divergence, search="evaluation"):
    """l(x', y) + divergence * KL(F(x) || F(x')), x' = argmax over the eps-ball of l(x', y): (B,).

    The first term has fixed targets, the second the classifier's own answers, which get no gradient. Uesato
    et al. 2019 call the sum UAT++; their training code is not released, and the sum and its weight are those
    of a later implementation by others (dyoony/SRST_AWR).

    Args:
        logits: function, images and `training` -> logits; see `base.Objective.loss`.
        search: see `PseudoLabels`.
        y: true labels where they are known, a teacher's answers elsewhere.
    """
    fixed = tf.stop_gradient(logits(x))

    def loss(outputs):
        return cross_entropy(y, outputs)

    attacker = searched(logits, search)
    attacked = logits(inner_maximization(loss, attacker, x, x + eps * noise, eps, step_size, steps))
    return loss(attacked) + divergence * kl_divergence(fixed, attacked)


@register("pseudo_labels")
@dataclasses.dataclass(frozen=True)
class PseudoLabels(Objective):
    """See `pseudo_labels`. The labels of all but a few training images are hidden from teacher and training.

    Attributes:
        labels: number of labels that are kept; see `labels.kept_rows`.
        divergence: weight of the divergence.
        search: the mode of the classifier while images are attacked, "training" or "evaluation".

    Raises:
        InputError: for another search.
    """

    hides_labels: typing.ClassVar[bool] = True
    labels: int = 4_000  # Uesato et al. 2019, CIFAR-10
    divergence: float = 3.0  # of dyoony/SRST_AWR; that of the authors is not known to us
    search: str = "evaluation"  # of dyoony/SRST_AWR, whose answers to clean images are those of training mode

    def __post_init__(self):
        check_search(self.search)

    def images(self, train, experiment, folder, teach):
        """The training images, with the answers of a teacher that saw the labelled ones alone.

        The teacher is trained by cross-entropy, for as many steps as the classifier.
        """
        rows, file = kept_rows(train, self.labels), folder / FILE
        if not file.is_file():
            epochs = experiment.classifier.epochs * len(train) // len(rows)
            changes = {"classifier.objective": "cross_entropy", "classifier.epochs": epochs}
            teacher = teach(train.take(rows), folder / "teacher", changes)
            answers = answers_of(teacher, train.x)
            write_atomically(file, lambda partial: np.save(partial, answers))
        y = read(file, len(train))
        y[rows] = train.y[rows]
        return dataclasses.replace(train, y=y)

    def notes(self, train, labelled):
        hidden = np.setdiff1d(np.arange(len(train)), kept_rows(train, self.labels))
        right = (labelled.y == train.y)[hidden]
        return {
            "labels": self.labels,
            "pseudo_labels": len(hidden),
            "pseudo_label_accuracy": float(right.mean()) if len(right) else None,
        }

    def loss(self, logits, x, y, noise, inner):
        return pseudo_labels(logits, x, y, noise, divergence=self.divergence, search=self.search, **inner)


def answers_of(classifier, x):
    """The classes that a classifier answers with for any number of images: (N,) int32."""
    logits = compiled_logits(classifier)
    parts = [logits(x[start : start + 500]).numpy().argmax(axis=-1) for start in range(0, len(x), 500)]
    return np.concatenate(parts).astype(np.int32)


def read(file, count):
    """The answers of a teacher that were kept.

    Raises:
        InputError: if the file is damaged, or is not of so many images.
    """
    try:
        answers = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{file} is damaged ({error}): delete it to ask the teacher again") from error
    if answers.shape != (count,):
        raise InputError(f"{file} has {answers.shape} labels, expected ({count},): delete it")
    return answers
