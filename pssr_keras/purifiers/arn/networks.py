"""The networks of ARN: an encoder and a decoder, and two discriminators that judge them.

Shapes: B images, V views of each (the natural one first), a code of shape (h, w, c).
"""

import keras
from keras import layers, ops

from ...building import building_in
from ...inputs import InputError

KERNEL = 4  # twice the stride leaves no checkerboard in what the decoder draws
SLOPE = 0.2  # usual for discriminators


def _leaky(x):
    return ops.maximum(x, SLOPE * x)  # whose own layer upsets TensorFlow's graph optimizer


def _normalised(x):
    return _leaky(layers.BatchNormalization(momentum=0.95)(x))


def sizes_of(length, stages):
    """The side of an image after each halving, rounded up: sizes_of(28, 3) is [28, 14, 7, 4]."""
    found = [length]
    for _ in range(stages):
        found.append((found[-1] + 1) // 2)
    return found


@building_in("float32")
def encoder(input_shape, channels=16, stages=5, code_channels=256):
    """E: images (B, H, W, C) in [0, 1] -> mean and log-variance of their codes, each (B, h, w, c).

    Args:
        input_shape: (H, W, C).
        channels: of the first stage; each further stage has twice as many.
        stages: how often the resolution is halved; five take 32x32 to 1x1.
        code_channels: c.

    Raises:
        InputError: if there is no stage.
    """
    if stages < 1:
        raise InputError(f"encoder_stages is {stages}, expected at least 1")
    inputs = keras.Input(input_shape, name="image")
    x = layers.Rescaling(2.0, -1.0)(inputs)
    for stage in range(stages):
        x = layers.Conv2D(channels * 2**stage, KERNEL, strides=2, padding="same", use_bias=False)(x)
        x = _normalised(x)
    outputs = [layers.Conv2D(code_channels, 1, name=name)(x) for name in ("mean", "log_variance")]
    return keras.Model(inputs, outputs, name="encoder")


@building_in("float32")
def decoder(input_shape, channels=16, stages=5, code_channels=256):
    """G: codes (B, h, w, c) -> images (B, H, W, C) in [0, 1], the mirror image of `encoder`.

    Args:
        input_shape: (H, W, C) of the images.
        channels, stages, code_channels: as of `encoder`.
    """
    height, width, colours = input_shape
    heights, widths = sizes_of(height, stages), sizes_of(width, stages)
    code = x = keras.Input((heights[-1], widths[-1], code_channels), name="code")
    for stage in reversed(range(stages)):
        x = layers.Conv2DTranspose(channels * 2**stage, KERNEL, strides=2, padding="same", use_bias=False)(x)
        down, across = 2 * heights[stage + 1] - heights[stage], 2 * widths[stage + 1] - widths[stage]
        if down or across:
            x = layers.Cropping2D(((0, down), (0, across)))(x)
        x = _normalised(x)
    x = layers.Conv2D(colours, 3, padding="same", activation="sigmoid", name="restored")(x)
    return keras.Model(code, x, name="decoder")


@building_in("float32")
def attack_discriminator(code_shape, views, units=256):
    """A: which version of an image is it? Codes (B, h, w, c) -> logits (B, V)."""
    code = keras.Input(code_shape, name="code")
    x = layers.Flatten()(code)
    for _ in range(2):
        x = _leaky(layers.Dense(units)(x))
    return keras.Model(code, layers.Dense(views)(x), name="attack_discriminator")


@building_in("float32")
def image_discriminator(input_shape, channels=32):
    """D: is the image natural? (B, H, W, C) in [0, 1] -> logits (B, 1)."""
    inputs = keras.Input(input_shape, name="judged")
    x = layers.Rescaling(2.0, -1.0)(inputs)
    for factor in (1, 2, 4):
        x = _leaky(layers.Conv2D(factor * channels, KERNEL, strides=2, padding="same")(x))
    return keras.Model(inputs, layers.Dense(1)(layers.Flatten()(x)), name="image_discriminator")


@building_in("float32")
def purifier(encoder, decoder):
    """Images -> G(mean of E): what is left of a trained ARN, without any randomness."""
    inputs = keras.Input(encoder.input_shape[1:], name="image")
    mean, _ = encoder(inputs)
    return keras.Model(inputs, decoder(mean), name="arn")
