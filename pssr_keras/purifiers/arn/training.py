"""The purifier ARN, trained: each version of an image, natural or attacked, is restored to the first one."""

import keras
import numpy as np
import tensorflow as tf

from ... import evaluation
from ...data import augmentation
from ...defense import PSSR
from ...training.devices import ONE_DEVICE
from ...training.fitting import drawn, fit_networks, made_once
from ...training.pairs import adversarial_images, make_attacks
from . import networks
from .model import ARN


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

    def make():
        views = [train.x, *adversarial_images(experiment, folder, classifier, train, cache, devices)]

        def batches(model, size):
            code_shape = model.encoder.output_shape[0][1:]
            return versions_dataset(experiment, train, views, size, code_shape)

        encoder, decoder, model = fit_networks(
            lambda steps: make_arn(experiment, train.x.shape[1:], len(views), devices),
            lambda steps: optimizers(experiment.arn.peak_rate, steps),
            batches,
            experiment.arn,
            len(train),
            seed=experiment.seed,
            folder=folder,
            name="arn",
            label=f"training the ARN on {len(train):,} images, each benign and under "
            f"{', '.join(experiment.attack.training)}",
            devices=devices,
        )
        encoder.set_weights(model.encoder.get_weights())  # on one device they are the same
        decoder.set_weights(model.decoder.get_weights())
        return PSSR(classifier, None, networks.purifier(encoder, decoder), name="arn")

    return made_once("arn", folder, validation, devices, "the ARN", make)


def optimizers(peak, steps):
    """Of autoencoder, attack and image discriminator; the rate of the first falls to a tenth halfway."""
    falling = keras.optimizers.schedules.PiecewiseConstantDecay([steps // 2], [peak, peak / 10])
    return [keras.optimizers.Adam(rate, beta_1=0.5) for rate in (falling, peak, peak)]


def make_arn(experiment, input_shape, views, devices=ONE_DEVICE):
    """The untrained E and G of an experiment, and the ARN that trains them, or on several devices copies."""
    numbers = experiment.arn
    sizes = (numbers.encoder_channels, numbers.encoder_stages, numbers.code_channels)
    encoder, decoder = networks.encoder(input_shape, *sizes), networks.decoder(input_shape, *sizes)
    judges = (
        networks.attack_discriminator(encoder.output_shape[0][1:], views, numbers.attack_units),
        networks.image_discriminator(input_shape, numbers.image_channels),
    )
    parts = [devices.mirrored(part) for part in (encoder, decoder, *judges)]
    with devices.scope():
        return encoder, decoder, ARN(*parts, numbers)


def versions_dataset(experiment, train, views, size, code_shape):
    """Batches (views, x, noise, share) as `ARN` takes them: each image once an epoch, all views.

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

    return drawn(batch, len(train), size, experiment.seed, experiment.arn.epochs)
