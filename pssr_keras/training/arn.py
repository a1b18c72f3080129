"""The purifier ARN, trained: each version of an image, natural or attacked, is restored to the first one."""

import keras
import numpy as np
import tensorflow as tf

from .. import arn, evaluation
from ..data import augmentation
from ..defense import PSSR
from ..files import load_model, write_atomically
from .devices import ONE_DEVICE
from .fitting import epochs_of_batches, fit
from .pairs import adversarial_images, make_attacks


def check_names(experiment):
    """Refuse unknown attacks and augmentations of an experiment before any work."""
    make_attacks(experiment, experiment.attack.training)
    evaluation.check_labels_kind(experiment.attack.labels)
    augmentation.parse(experiment.arn.versions_augmentation)


def train_arn(experiment, folder, classifier, train, validation, cache=None, devices=ONE_DEVICE):
    """The attacked images, then the autoencoder; returns the whole defense, without surgery.

    The classifier takes part only as what the attacks are crafted on.

    Args:
        cache: a folder shared by runs that train on the same adversarial images; see `evaluation.craft`.
        devices: on which to train; see `devices.select`.
    """
    finished = folder / "arn.keras"
    if devices.of_chief(finished.is_file()):
        return load_model(finished)
    numbers = experiment.arn
    views = [train.x, *adversarial_images(experiment, folder, classifier, train, cache, devices)]
    keras.utils.set_random_seed(experiment.seed)
    encoder, decoder, model = make_arn(experiment, train.x.shape[1:], len(views), devices)
    size = min(numbers.batch_size, len(train))
    devices.check_batch(size)
    steps = len(train) // size
    with devices.scope():
        model.compile(*(keras.optimizers.Adam(rate, beta_1=0.5) for rate in rates(numbers, steps)))
    names = ", ".join(experiment.attack.training)
    fit(
        model,
        model.autoencoder_optimizer,
        versions_dataset(experiment, train, views, size, encoder.output_shape[0][1:]),
        label=f"training the ARN on {len(train):,} images, each benign and under {names}",
        folder=folder,
        name="arn",
        seed=experiment.seed,
        epochs=numbers.epochs,
        steps=steps,
        devices=devices,
    )
    encoder.set_weights(model.encoder.get_weights())  # on one device they are the same
    decoder.set_weights(model.decoder.get_weights())
    defense = PSSR(classifier, None, arn.purifier(encoder, decoder), name="arn")

    def write():
        flags = evaluation.correct(defense, validation.x, validation.y)
        print(f"\nvalidation accuracy of the ARN: {100 * flags.mean():.2f}% of {len(flags):,} benign images")
        write_atomically(finished, defense.save)

    devices.write(finished, write)
    return defense


def rates(numbers, steps):
    """Learning rates of autoencoder, attack and image discriminator; the first falls to a tenth halfway."""
    peak = numbers.peak_rate
    half = numbers.epochs * steps // 2
    return keras.optimizers.schedules.PiecewiseConstantDecay([half], [peak, peak / 10]), peak, peak


def make_arn(experiment, input_shape, views, devices=ONE_DEVICE):
    """The untrained E and G of an experiment, and the ARN that trains them, or on several devices copies."""
    numbers = experiment.arn
    sizes = (numbers.encoder_channels, numbers.encoder_stages, numbers.code_channels)
    encoder, decoder = arn.encoder(input_shape, *sizes), arn.decoder(input_shape, *sizes)
    judges = (
        arn.attack_discriminator(encoder.output_shape[0][1:], views, numbers.attack_units),
        arn.image_discriminator(input_shape, numbers.image_channels),
    )
    parts = [devices.mirrored(part) for part in (encoder, decoder, *judges)]
    with devices.scope():
        return (
            encoder,
            decoder,
            arn.ARN(
                *parts,
                lambda_reconstruction=numbers.lambda_reconstruction,
                lambda_prior=numbers.lambda_prior,
                lambda_invariance=numbers.lambda_invariance,
                lambda_image=numbers.lambda_image,
                lambda_penalty=numbers.lambda_penalty,
            ),
        )


def versions_dataset(experiment, train, views, size, code_shape):
    """Batches (views, x, noise, share) as `arn.ARN` takes them: each image once an epoch, all views.

    Args:
        train: the N natural images.
        views: arrays (N, H, W, C), the natural images first.
        size: images in a batch.
        code_shape: (h, w, c).

    Returns:
        Function, first epoch -> batches of all epochs from there on.
    """
    count, shape = len(views), train.x.shape[1:]
    change = augmentation.parse(experiment.arn.versions_augmentation)

    def pick(rows):
        # Large arrays stay in numpy: as TensorFlow constants they would be in memory twice.
        return np.concatenate([part[rows] for part in (train.x, *views)], axis=-1)

    def batch(rows, seed):
        picked = tf.numpy_function(pick, (rows,), tf.float32, stateful=False)
        picked = change(tf.ensure_shape(picked, (size, *shape[:2], (1 + count) * shape[2])), seed)
        x, *changed = tf.split(picked, 1 + count, axis=-1)
        noise = tf.random.stateless_normal((size, count, *code_shape), seed + 1)
        share = tf.random.stateless_uniform((size, count), seed + 3)  # the augmentation has seed + 2
        return tf.stack(changed, axis=1), x, noise, share

    def make_dataset(first_epoch):
        batches = epochs_of_batches(len(train), size, experiment.seed, first_epoch, experiment.arn.epochs)
        return batches.map(batch, tf.data.AUTOTUNE)

    return make_dataset
