"""The experiments on a data set of a user's own: those on MNIST for grey images, on CIFAR-10 for colour.

What depends on the size or the number of images, or may not suit other images, is changed here.
"""

import dataclasses

from .. import setting_names
from .base import Experiments
from .cifar10 import CIFAR10
from .mnist import MNIST

LENET5_FROM = 12  # pixels, the least that leave it something to flatten
USUAL = 32 * 32 * 3  # values of an image, up to which the usual number is attacked at once


def experiments_of(own):
    """The `Experiments` on a user's data set.

    Args:
        own: `settings.OwnSettings`.
    """
    height, width, channels = own.shape
    least = min(height, width)
    alike = MNIST if channels == 1 else CIFAR10
    batch = alike.experiment.batch_size * USUAL // max(USUAL, height * width * channels)
    changes = {
        "dataset": own.dataset,
        "data.source": "own",
        "data.validation_size": validation_size(own.train, 1_000),
        "batch_size": max(1, batch),
    }
    if channels == 1:
        changes["classifier.architecture"] = "lenet5" if least >= LENET5_FROM else "multilayer_perceptron"
        changes["classifier.augmentation"] = f"shift:{max(1, least // 14)}"  # 2 pixels on MNIST
    else:  # letters and signs are not mirrored
        changes["classifier.augmentation"] = f"shift:{max(1, least // 8)}"  # 4 pixels on CIFAR
        changes["hardened.augmentation"] = f"shift:{max(1, least // 8)}"
        changes["cae.pair_augmentation"] = f"shift:{max(1, least // 16)}"
        changes["arn.versions_augmentation"] = f"shift:{max(1, least // 16)}"
    validation = validation_size(own.train, 100)
    smoke = alike.presets["smoke"] | {
        "data.validation_size": validation,
        "data.train_limit": min(1_000, own.train - validation),
        "data.test_limit": min(100, own.test),
    }
    experiment = dataclasses.replace(setting_names.changed(alike.experiment, changes), own=own)
    return Experiments(experiment, presets={"smoke": smoke, "cpu": {}})


def validation_size(train, most):
    """A tenth of the training images, at most so many."""
    return max(1, min(most, train // 10))
