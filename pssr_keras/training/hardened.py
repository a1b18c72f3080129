"""A hardened E, trained: PGD on the whole pipeline inside each step, the classifier frozen."""

import keras
import tensorflow as tf

from .. import cae, evaluation, hardened
from ..data import augmentation
from ..defense import PIPELINE, PSSR
from ..files import load_model, write_atomically
from ..inputs import InputError
from .devices import ONE_DEVICE
from .fitting import epochs_of_batches, fit, learning_rate
from .pairs import make_attacks
from .pssr import surgery_of, untrained_extrapolator

MASKS = ("none", "classifier", PIPELINE)


def check_names(experiment):
    """Refuse unknown names in `settings.HardenedSettings` before any work."""
    numbers = experiment.hardened
    hardened.check_names(numbers.surrogates, numbers.inner_loss)
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
    finished = folder / "hardened.keras"
    if devices.of_chief(finished.is_file()):
        return load_model(finished)
    numbers, seed = experiment.hardened, experiment.seed
    surgery = surgery_of(experiment) if numbers.mask != "none" else None
    if surgery is not None and surgery.threshold == "dataset":
        surgery = surgery.fit_mean(classifier, [train.x])
    guide = PIPELINE if numbers.mask == PIPELINE else None

    keras.utils.set_random_seed(seed)
    size = min(numbers.batch_size, len(train))
    devices.check_batch(size)
    steps = len(train) // size
    extrapolator, model = make_hardened(
        experiment, classifier, surgery, guide, train.x.shape[1:], numbers.epochs * steps, devices
    )
    schedule = {"steps": numbers.epochs * steps, "warmup_steps": numbers.warmup_steps}
    with devices.scope():
        model.compile(
            keras.optimizers.Adam(learning_rate(numbers.extrapolator_learning_rate, **schedule)),
            keras.optimizers.Adam(learning_rate(numbers.discriminator_learning_rate, **schedule), beta_1=0.5)
            if numbers.lambda_adversarial
            else None,
        )
    fit(
        model,
        model.extrapolator_optimizer,
        attacked_batches(numbers, train, size, seed),
        label=f"hardening E on {len(train):,} images, {numbers.inner_steps} steps of an attack for each",
        folder=folder,
        name="hardened",
        seed=seed,
        epochs=numbers.epochs,
        steps=steps,
        devices=devices,
    )
    extrapolator.set_weights(model.result.get_weights())  # on one device and without an average, its own
    defense = PSSR(classifier, surgery, extrapolator, guide, name="hardened")

    def write():
        flags = evaluation.correct(defense, validation.x, validation.y)
        accuracy = f"{100 * flags.mean():.2f}% of {len(flags):,} benign images"
        print(f"\nvalidation accuracy of the hardened E: {accuracy}")
        write_atomically(finished, defense.save)

    devices.write(finished, write)
    return defense


def attacked_batches(numbers, train, size, seed):
    """Batches (x, y, noise): clean images, labels, and in [-1, 1) where the attack on each starts.

    Args:
        numbers: `settings.HardenedSettings`.
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

    def make_dataset(first_epoch):
        batches = epochs_of_batches(len(train), size, seed, first_epoch, numbers.epochs)
        return batches.map(batch, tf.data.AUTOTUNE)

    return make_dataset


def make_hardened(experiment, classifier, surgery, guide, input_shape, steps, devices=ONE_DEVICE):
    """The untrained E of an experiment, and what trains it, or on several devices a copy of it.

    Args:
        steps: of the whole training.
    """
    numbers, eps = experiment.hardened, experiment.attack.eps

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
    versions = hardened.versions(numbers.attacked_share, numbers.trades_weight)
    parts = {name: devices.mirrored(part, versions * numbers.passes) for name, part in parts.items()}
    with devices.scope():
        return extrapolator, hardened.HardenedCAE(
            **parts,
            eps=eps,
            surgery=surgery,
            guide=guide,
            surrogates=numbers.surrogates,
            inner_steps=numbers.inner_steps,
            inner_step_size=numbers.inner_step_size * eps,
            inner_loss=numbers.inner_loss,
            ramp_steps=int(numbers.ramp_share * steps),
            attacked_share=numbers.attacked_share,
            trades_weight=numbers.trades_weight,
            passes=numbers.passes,
            lambda_adversarial=numbers.lambda_adversarial,
            lambda_pixel=numbers.lambda_pixel,
            lambda_r_drop=numbers.lambda_r_drop,
            saturating=numbers.saturating,
            pixel_reduction=numbers.pixel_reduction,
            averaging=numbers.averaging,
        )
