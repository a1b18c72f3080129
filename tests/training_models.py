"""Every training that is a Keras model, small: how it is made, and its batches."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from pssr_keras import CAE, PixelSurgery, baselines, cae, classifiers
from pssr_keras.building import building_in
from pssr_keras.purifiers.arn import networks
from pssr_keras.purifiers.arn.model import ARN
from pssr_keras.purifiers.hardened.model import HardenedCAE
from pssr_keras.purifiers.hardened.settings import HardenedSettings

SHAPE = (8, 8, 1)
COUNT = 10
OPTIMIZERS = {"cae": 2, "hardened": 2, "arn": 3, "robust": 1, "prototypes": 1}


def classifier():
    keras.utils.set_random_seed(2)
    return classifiers.multilayer_perceptron(SHAPE, 3, width=0.02)


@building_in("float32")
def extrapolator():
    """As short as one can be that has batch normalisation and dropout."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(2, 3, padding="same", use_bias=False)(inputs)
    x = layers.Dropout(0.2)(layers.BatchNormalization(momentum=0.9)(x))
    return keras.Model(inputs, layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x))


def untrained(kind):
    """The same at each call, not compiled."""
    if kind == "cae":
        return CAE(extrapolator(), cae.discriminator(SHAPE, 4), classifier())
    if kind == "hardened":
        return HardenedCAE(
            extrapolator(),
            classifier(),
            0.3,
            HardenedSettings(
                surrogates=("frozen_mask", "straight_through"),
                averaging=0.9,
                inner_steps=1,
                inner_step_size=2 / 3,
                ramp_share=1.0,
                lambda_adversarial=0.1,
                lambda_pixel=0.0,
            ),
            steps=100,
            surgery=PixelSurgery(),
            discriminator=cae.discriminator(SHAPE, 4),
            average=extrapolator(),
        )
    if kind == "arn":
        keras.utils.set_random_seed(1)
        sizes = (SHAPE, 2, 2, 3)
        judges = networks.attack_discriminator((2, 2, 3), 2, 8), networks.image_discriminator(SHAPE, 2)
        return ARN(networks.encoder(*sizes), networks.decoder(*sizes), *judges)
    numbers = {"step_size": 0.1, "steps": 1, "ramp_steps": 100}
    if kind == "robust":
        return baselines.RobustTraining(classifier(), baselines.parse("trades"), 0.3, **numbers)
    objective = baselines.parse("prototype_conformity:attacked=true")
    return baselines.base.OBJECTIVES["prototype_conformity"].model(
        objective,
        classifier(),
        type("numbers", (), {"ramp_share": 0, "inner_step_size": 0.3, "inner_steps": 1}),
        0.3,
        10,
    )


def compiled(kind, **options):
    model = untrained(kind)
    model.compile(*(keras.optimizers.Adam(1e-3) for _ in range(OPTIMIZERS[kind])), **options)
    return model


def arrays(kind):
    """Ten images and what belongs to them, the parts of a batch."""
    generator = np.random.default_rng(0)
    x = generator.uniform(size=(COUNT, *SHAPE)).astype(np.float32)
    y = (np.arange(COUNT) % 3).astype(np.int32)
    if kind == "arn":
        versions = np.stack([x, 1 - x], axis=1)
        noise = generator.normal(size=(COUNT, 2, 2, 2, 3)).astype(np.float32)
        return versions, x, noise, generator.uniform(size=(COUNT, 2)).astype(np.float32)
    if kind == "cae":
        return x * (x > 0.3), x, y
    return x, y, generator.uniform(-1, 1, x.shape).astype(np.float32)


def batches(kind, size=5):
    return tf.data.Dataset.from_tensor_slices(arrays(kind)).batch(size)
