"""A hardened E, trained: PGD on the whole pipeline inside each step, the classifier frozen."""

import tensorflow as tf

from ... import cae
from ...data import augmentation
from ...defense import PIPELINE, PSSR
from ...inputs import InputError
from ...training.devices import ONE_DEVICE
from ...training.fitting import drawn, extrapolator_optimizers, fit_networks, made_once
from ...training.pairs import make_attacks
from ...training.pssr import surgery_of, untrained_extrapolator
from .model import HardenedCAE, check_attack, versions

MASKS = ("none", "classifier", PIPELINE)


def check_names(experiment):
    """Refuse unknown names in `HardenedSettings` before any work."""
    numbers = experiment.hardened
    check_attack(numbers.surrogates, numbers.inner_loss)
    augmentation.parse(numbers.augmentation)
    cae.check_kind(numbers.extrapolator)
    cae.check_start(numbers.extrapolator_start)
    make_attacks(experiment, numbers.evaluation)
    if numbers.mask not in MASKS:
        raise InputError(f"hardened.mask is {numbers.mask!r}, expected one of {', '.join(MASKS)}")
    if numbers.mask == PIPELINE and experiment.surgery.threshold == "dataset":
        raise InputError("surgery.threshold is 'dataset', expected 'image' with hardened.mask 'pipeline'")
    surgery_of(experiment)


def train_hardened(experiment, folder, classifier, train, validation, cache=None, devices=ONE_DEVICE):
    """The hardened E around a classifier; returns the whole defense, a PSSR.

    Args:
        experiment: `settings.Experiment`; its surgery takes part unless `hardened.mask` is "none".
        folder: of the run; a finished defense is read there, an interrupted training goes on.
        cache: is not needed, as nothing is crafted beforehand.
        devices: on which to train; see `devices.select`.
    """

    def make():
        numbers, seed = experiment.hardened, experiment.seed
        surgery = surgery_of(experiment) if numbers.mask != "none" else None
        if surgery is not None and surgery.threshold == "dataset":
            surgery = surgery.fit_mean(classifier, [train.x])
        guide = PIPELINE if numbers.mask == PIPELINE else None
        extrapolator, model = fit_networks(
            lambda steps: make_hardened(
                experiment, classifier, surgery, guide, train.x.shape[1:], steps, devices
            ),
            lambda steps: extrapolator_optimizers(numbers, steps),
            lambda model, size: attacked_batches(numbers, train, size, seed),
            numbers,
            len(train),
            seed=seed,
            folder=folder,
            name="hardened",
            label=f"hardening E on {len(train):,} images, {numbers.inner_steps} steps of an attack for each",
            devices=devices,
        )
        extrapolator.set_weights(model.result.get_weights())  # on one device and without an average, its own
        return PSSR(classifier, surgery, extrapolator, guide, name="hardened")

    return made_once("hardened", folder, validation, devices, "the hardened E", make)


def attacked_batches(numbers, train, size, seed):
    """Batches (x, y, noise): clean images, labels, and in [-1, 1) where the attack on each starts.

    Args:
        numbers: `HardenedSettings`.
        train: `data.Images`.
        size: images in a batch.

    Returns:
        Function, first epoch -> batches of all epochs from there on.
    """
    x, y = tf.constant(train.x), tf.constant(train.y)
    change = augmentation.parse(numbers.augmentation)

    def batch(rows, key):
        noise = tf.random.stateless_uniform((size, *train.x.shape[1:]), key + 1, -1.0, 1.0)
        return change(tf.gather(x, rows), key), tf.gather(y, rows), noise

    return drawn(batch, len(train), size, seed, numbers.epochs)


def make_hardened(experiment, classifier, surgery, guide, input_shape, steps, devices=ONE_DEVICE):
    """The untrained E of an experiment, and what trains it, or on several devices a copy of it.

    Args:
        steps: of the whole training.
    """
    numbers = experiment.hardened

    def build():
        return untrained_extrapolator(numbers, input_shape, numbers.extrapolator_contrast)

    parts = {"extrapolator": build(), "classifier": classifier}
    extrapolator = parts["extrapolator"]
    if numbers.lambda_adversarial:
        parts["discriminator"] = cae.discriminator(input_shape)
    if numbers.averaging:
        parts["average"] = build()
        parts["average"].set_weights(extrapolator.get_weights())
    # Clean and attacked images of each pass follow each other in a batch.
    passes = versions(numbers) * numbers.passes
    parts = {name: devices.mirrored(part, passes) for name, part in parts.items()}
    with devices.scope():
        return extrapolator, HardenedCAE(
            **parts, eps=experiment.attack.eps, numbers=numbers, steps=steps, surgery=surgery, guide=guide
        )
