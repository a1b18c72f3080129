"""A perceptron: a substitute that shares no idea with the convolutional classifiers."""

import keras
from keras import layers

from ..building import building_in
from .layers import normalisation, scaled


@building_in("float32")
def multilayer_perceptron(
    input_shape: tuple[int, ...] = (28, 28, 1),
    classes: int = 10,
    width: float = 1.0,
    statistics: dict | None = None,
) -> keras.Model:
    """Two dense layers of 512 ReLUs: a substitute that shares no idea with the convolutional classifiers.

    669,706 parameters for MNIST at width 1. Takes (B, H, W, C) in [0, 1], returns logits (B, classes).
    """
    inputs = keras.Input(input_shape, name="image")
    x = layers.Flatten(name="flatten")(normalisation(inputs, statistics))
    x = layers.Dense(scaled(512, width), activation="relu", name="dense1")(x)
    x = layers.Dense(scaled(512, width), activation="relu", name="features")(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name="multilayer_perceptron")
