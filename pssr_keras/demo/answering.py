"""A question and its answer: an image attacked by one who does not know the PSSR and by one who does."""

import dataclasses
import functools
import threading

import numpy as np
import tensorflow as tf

from .. import config, data, pretrained
from ..attacks import adaptive
from ..attacks.base import compiled_logits, cross_entropy
from ..attacks.square import Square
from ..defense import PSSR
from ..inputs import InputError, check_images, check_labels
from .walking import attack_of, walk

OBLIVIOUS, ADAPTIVE = "oblivious", "adaptive"
BOTH = (OBLIVIOUS, ADAPTIVE)
CURVE = 21  # more points of a curve are not told apart on a page


@dataclasses.dataclass(frozen=True)
class Question:
    """What a visitor asks.

    Attributes:
        model: the shipped weights that are attacked, a name of `pretrained.names`.
        x: (H, W, C), float32 in [0, 1].
        label: the true class; None takes what the classifier says of x.
        attack, eps, steps: see `walking.attack_of`; steps are queries for Square.
        threats: `OBLIVIOUS`, `ADAPTIVE` or both.
        surrogate: a name of `adaptive.surrogates`, for the adaptive attacker; attacks without a gradient take
            the answers of the defense alone.
        index: place of x in its data set, for the random start.
    """

    model: str
    x: np.ndarray
    label: int | None = None
    attack: str = "pgd"
    eps: float | str = 0.3
    steps: int = 40
    threats: tuple[str, ...] = BOTH
    surrogate: str = "frozen_mask"
    index: int = 0


@dataclasses.dataclass(frozen=True)
class Side:
    """What becomes of one image: how it is purified, and what every model says.

    Attributes:
        threat: "clean", `OBLIVIOUS` or `ADAPTIVE`.
        crafted_on: what the attack was crafted on, in words; empty for the clean image.
        x: (H, W, C), the image.
        stages: {"saliency", "mask", "x_t", "restored"}: (H, W, C), those that the defense has. The mask is 1
            where a pixel stays.
        probabilities: {name of a model: (K,)}.
        steps: (n,) steps of the attack made before each point of its curve.
        losses: {name of a model: (n,)}, the cross-entropy of the true class along the attack.
    """

    threat: str
    crafted_on: str
    x: np.ndarray
    stages: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    steps: np.ndarray
    losses: dict[str, np.ndarray]

    def says(self, model):
        """The class that a model sees."""
        return int(self.probabilities[model].argmax())


@dataclasses.dataclass(frozen=True)
class Answer:
    """The clean image and the attacked ones.

    Attributes:
        question: that is answered.
        label: the true class, or what the classifier says of x where no true class was given.
        defense: name of the attacked defense among the models.
        sides: {threat: Side}, "clean" first.
    """

    question: Question
    label: int
    defense: str
    sides: dict[str, Side]


def once(function):
    """The function, computed once for each argument, also where several threads ask at the same time."""
    cached, lock = functools.cache(function), threading.RLock()

    @functools.wraps(function)
    def locked(*arguments):
        with lock:
            return cached(*arguments)

    return locked


def shipped():
    """What is shipped for which data set, from the model cards: {data set: {name: settings}}."""
    found = {}
    for name in pretrained.names():
        settings = config.read(pretrained.model_card(name)["configuration"])
        found.setdefault(settings["dataset"], {})[name] = settings
    return {dataset: found[dataset] for dataset in data.DATASETS if dataset in found}


@once
def images_of(dataset):
    """The bundled test images of a data set, `data.Images`."""
    return data.load(dataset, "test", source="bundled")


@once
def defense_of(name):
    """The shipped defense of a name, with its classifier."""
    return pretrained.load_pretrained(name)


@once
def surrogates_of(name):
    """{surrogate: model} of the shipped defense of a name."""
    return adaptive.surrogates(defense_of(name))


def dataset_of(name):
    """The entry of the data set that shipped weights are for.

    Raises:
        InputError: if nothing is shipped under that name.
    """
    for dataset, models in shipped().items():
        if name in models:
            return data.DATASETS[dataset]
    raise InputError(f"there are no shipped weights for {name!r}")


def title_of(name):
    """How shipped weights are called beside others for the same data set."""
    return "PSSR" if name == dataset_of(name).name else name


def models_of(name):
    """Everything that answers beside a shipped defense: {title: model}, its undefended classifier first."""
    models = {"classifier": defense_of(name).classifier}
    return models | {title_of(other): defense_of(other) for other in shipped()[dataset_of(name).name]}


def answer(question):
    """Attack an image, and ask every model for the data set.

    Raises:
        InputError: for an image, label, attack, budget, threat model or surrogate that does not fit.
    """
    entry = dataset_of(question.model)
    x = check_images(question.x[None], entry.shape)[0]
    models = models_of(question.model)
    if question.label is None:
        label = int(_logits(models["classifier"], x[None]).argmax())
    else:
        label = int(check_labels(np.array([question.label]), 1, entry.classes)[0])
    sides = {"clean": _side("clean", "", question.model, models, x[None], np.zeros(1, int), label)}
    for threat in question.threats:
        attack = attack_of(question.attack, question.eps, question.steps, best=threat == ADAPTIVE)
        target, words = target_of(question, threat, attack)
        images, steps = walk(attack, target, x, label, index=question.index)
        sides[threat] = _side(threat, words, question.model, models, images, steps, label)
    return Answer(question, label, title_of(question.model), sides)


def target_of(question, threat, attack):
    """What an attack of a threat model is crafted on: a model, and words for it.

    Raises:
        InputError: for an unknown threat model or surrogate.
    """
    defense = defense_of(question.model)
    if threat == OBLIVIOUS:
        return defense.classifier, "the classifier alone"
    if threat != ADAPTIVE:
        raise InputError(f"threat model is {threat!r}, expected one of {', '.join(BOTH)}")
    known, title = surrogates_of(question.model), title_of(question.model)
    if isinstance(attack, Square):
        return defense, f"the answers of {title}"
    if question.surrogate not in known:
        raise InputError(f"unknown surrogate {question.surrogate!r}, expected one of {', '.join(known)}")
    return known[question.surrogate], f"{title}, gradient by {question.surrogate}"


def _side(threat, crafted_on, name, models, images, steps, label):
    """What becomes of the last of the images (n, H, W, C) on the way of an attack."""
    points = np.unique(np.linspace(0, len(images) - 1, min(CURVE, len(images))).round().astype(int))
    # Filled up, so that every batch has one shape and nothing is prepared anew.
    batch = images[np.concatenate([points, np.full(CURVE - len(points), len(images) - 1)])]
    logits = {title: _logits(model, batch) for title, model in models.items()}
    labels = tf.fill([CURVE], label)
    losses = {t: cross_entropy(labels, z).numpy()[: len(points)] for t, z in logits.items()}
    probabilities = {t: tf.nn.softmax(z[-1]).numpy() for t, z in logits.items()}
    stages = stages_of(defense_of(name), images[-1])
    return Side(threat, crafted_on, images[-1], stages, probabilities, steps[points], losses)


def stages_of(defense, x):
    """What a defense makes of one image (H, W, C) on its way to the classifier; see `Side.stages`."""
    return {name: value.numpy()[0] for name, value in _stages(defense)(tf.constant(x[None])).items()}


@once
def _stages(defense):
    def stages(x):
        if not isinstance(defense, PSSR):
            return {"restored": defense.purify(x)}
        found = {}
        if defense.surgery is not None:
            found["saliency"] = tf.abs(defense.surgery.scores(defense.guiding_logits, x))
            found["mask"] = defense.surgery.masks(defense.guiding_logits, x)[1]
            found["x_t"] = defense.remove(x)
        if defense.extrapolator is not None:
            found["restored"] = defense.purify(x)
        return found

    return tf.function(stages, autograph=False)


def _logits(model, images):
    return compiled_logits(model)(images).numpy()
