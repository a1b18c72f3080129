"""Semantic regeneration: the networks of the Conditional Alignment Extrapolator (CAE).

The paper's CAE is a conditional GAN (not a convolutional autoencoder): an extrapolator E restores the
image from its trivial component x_t, and a discriminator D judges whether an image is the clean one
that belongs to x_t.

The paper writes E(x, x_t), with the clean image x as a condition. At inference there is no clean
image, and its figures and equation 11 write E(x_t). So E takes x_t alone, here as there, and x enters
only through the losses and the discriminator. How both learn is told in `extrapolator_training`.
"""

import math

import keras
import tensorflow as tf
from keras import layers, ops

from .building import building_in
from .extrapolator_training import CAE as CAE  # beside its networks, as `cae.CAE`
from .inputs import InputError

RESIDUAL_SCALE = 6.0  # sigmoid(6 (x - 1/2)) maps 0 to 0.05 and 1 to 0.95
LOGIT_CLIP = 0.02  # the sigmoid hardly moves from nearer to 0 or 1
NEIGHBOURHOOD = 5  # removed pixels lie in clusters of a few


@keras.saving.register_keras_serializable("pssr_keras")
class SpaceToDepth(layers.Layer):
    """Fold each 2x2 block of pixels into channels: (B, H, W, C) -> (B, H/2, W/2, 4C)."""

    def call(self, x):
        return tf.nn.space_to_depth(x, 2)

    def compute_output_shape(self, shape):
        return shape[0], shape[1] // 2, shape[2] // 2, 4 * shape[3]


@keras.saving.register_keras_serializable("pssr_keras")
class DepthToSpace(layers.Layer):
    """Unfold channels into 2x2 blocks of pixels: (B, H, W, 4C) -> (B, 2H, 2W, C)."""

    def call(self, x):
        return tf.nn.depth_to_space(x, 2)

    def compute_output_shape(self, shape):
        return shape[0], 2 * shape[1], 2 * shape[2], shape[3] // 4


@keras.saving.register_keras_serializable("pssr_keras")
class FillFromNeighbours(layers.Layer):
    """Give each value that is 0 the mean of those around it that are not: (B, H, W, C) -> (B, H, W, C).

    Each channel by itself, so that a pixel that lost one colour gets that colour from its neighbours.

    Args:
        size: of the square neighbourhood, in pixels, odd.
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, x):
        kept = tf.cast(x != 0, x.dtype)
        sums, counts = (tf.nn.avg_pool2d(values, self.size, 1, "SAME") for values in (x, kept))
        return x + (1.0 - kept) * tf.math.divide_no_nan(sums, counts)

    def get_config(self):
        return {**super().get_config(), "size": self.size}


def soft_threshold(x):
    """Where E starts for images with a blank background: logits of the pixels that are left, 0 as blank."""
    return layers.Rescaling(RESIDUAL_SCALE, -RESIDUAL_SCALE / 2)(x)


def identity(x):
    """Where E starts from the pixels that are left as they are: their logits."""
    x = ops.clip(x, LOGIT_CLIP, 1 - LOGIT_CLIP)
    return ops.log(x) - ops.log(1 - x)


def neighbours(x):
    """Where E starts for photographs: as `identity`, removed pixels as the mean of those around them."""
    return identity(FillFromNeighbours(NEIGHBOURHOOD)(x))


STARTS = {"threshold": soft_threshold, "identity": identity, "neighbours": neighbours}


def with_contrast(x, contrast):
    """Pixels moved from 1/2 towards 0 and 1: (sigmoid(c (x - 1/2)) - s) / (1 - 2 s) with s = sigmoid(-c / 2).

    0, 1/2 and 1 stay where they are. A change of 0.3 moves a blank pixel by 0.23 at c = 5, and by 0.018 at
    c = 20.

    Args:
        x: images in [0, 1].
        contrast: c; 0 leaves the images as they are.
    """
    if not contrast:
        return x
    lowest = 1 / (1 + math.exp(contrast / 2))
    x = layers.Activation("sigmoid")(layers.Rescaling(contrast, -contrast / 2)(x))
    return layers.Rescaling(1 / (1 - 2 * lowest), -lowest / (1 - 2 * lowest), name="with_contrast")(x)


def check_start(start):
    """Refuse a name that is none of `STARTS`."""
    if start not in STARTS:
        raise InputError(f"start is {start!r}, expected one of {', '.join(STARTS)}")


def check_shape(input_shape):
    """Refuse what cannot be halved twice."""
    height, width, _ = input_shape
    if height % 4 or width % 4:
        raise InputError(f"images of {height}x{width}, expected a height and width divisible by 4")


@building_in("float32")
def _convolutions(x, channels, count=2):
    for _ in range(count):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))
    return x


@building_in("float32")
def extrapolator(input_shape, channels=32, bottleneck=256, dropout=0.2, start="threshold", contrast=0.0):
    """E: a U-Net with a dense bottleneck, (B, H, W, C) in [0, 1] -> (B, H, W, C) in [0, 1].

    Convolutions at 1/2 and 1/4 of the resolution, a bottleneck that sees the whole image, and back
    with skip connections. Where a stroke was removed, its neighbourhood alone does not tell what was
    there: the bottleneck does. Dropout around the bottleneck makes the passes of R-drop differ.

    Args:
        input_shape: (H, W, C), H and W divisible by 4.
        channels: at half the resolution; twice as many at a quarter.
        bottleneck: units of the dense layer.
        dropout: rate.
        start: what the untrained E returns, a name of `STARTS`.
        contrast: with which E sees its input, see `with_contrast`.

    Raises:
        InputError: if H or W is not divisible by 4, or for an unknown start.
    """
    check_start(start)
    check_shape(input_shape)
    height, width, colours = input_shape
    inputs = keras.Input(input_shape, name="trivial_component")
    seen = with_contrast(inputs, contrast)
    half = _convolutions(SpaceToDepth(name="to_half")(seen), channels)
    quarter = _convolutions(SpaceToDepth(name="to_quarter")(half), 2 * channels)

    x = layers.Dropout(dropout)(layers.Flatten()(quarter))
    x = layers.Dense(bottleneck, activation="relu", name="bottleneck")(x)
    x = layers.Dropout(dropout)(x)
    x = layers.Dense(height // 4 * (width // 4) * channels, activation="relu")(x)
    x = layers.Reshape((height // 4, width // 4, channels))(x)

    x = _convolutions(layers.Concatenate()([x, quarter]), 2 * channels)
    x = DepthToSpace(name="from_quarter")(layers.Conv2D(4 * channels, 1)(x))
    x = _convolutions(layers.Concatenate()([x, half]), channels)
    x = DepthToSpace(name="from_half")(layers.Conv2D(4 * colours, 3, padding="same", name="last")(x))
    # Start from the pixels that are left: without them, the first steps often end in images that are
    # black all over, where the sigmoid passes no gradient.
    x = layers.Add()([x, STARTS[start](seen)])
    return keras.Model(inputs, layers.Activation("sigmoid", name="restored")(x), name="extrapolator")


@building_in("float32")
def unet(input_shape, channels=32, dropout=0.2, start="neighbours", contrast=0.0):
    """E for photographs: a U-Net at full, half and quarter resolution, (B, H, W, C) in [0, 1] -> the same.

    An attack of 8/255 shows in the differences of neighbouring pixels, which only convolutions at the full
    resolution see; what was removed, the surroundings tell, so there is no bottleneck that sees the whole
    image. Twice the channels with each level; dropout at the lowest makes the passes of R-drop differ.

    Args:
        input_shape: (H, W, C), H and W divisible by 4.
        channels: at the full resolution.
        dropout: rate.
        start: what the untrained E returns, a name of `STARTS`.
        contrast: with which E sees its input, see `with_contrast`.

    Raises:
        InputError: if H or W is not divisible by 4, or for an unknown start.
    """
    check_start(start)
    check_shape(input_shape)
    inputs = keras.Input(input_shape, name="trivial_component")
    seen = with_contrast(inputs, contrast)
    full = _convolutions(seen, channels)
    half = _convolutions(SpaceToDepth(name="to_half")(full), 2 * channels)
    quarter = _convolutions(SpaceToDepth(name="to_quarter")(half), 4 * channels)

    x = layers.Conv2D(8 * channels, 1)(layers.Dropout(dropout)(quarter))
    x = DepthToSpace(name="from_quarter")(x)
    x = layers.Conv2D(4 * channels, 1)(_convolutions(layers.Concatenate()([x, half]), 2 * channels))
    x = DepthToSpace(name="from_half")(x)
    x = _convolutions(layers.Concatenate()([x, full]), channels)
    x = layers.Conv2D(input_shape[-1], 3, padding="same", name="last")(x)
    x = layers.Add()([x, STARTS[start](seen)])
    return keras.Model(inputs, layers.Activation("sigmoid", name="restored")(x), name="extrapolator")


@building_in("float32")
def autoencoder(input_shape, channels=64, bottleneck=256, dropout=0.0, contrast=0.0):
    """E that draws the image anew from its bottleneck, (B, H, W, C) in [0, 1] -> the same; ours.

    No pixel has a way around the bottleneck, and the untrained E draws the same grey for every image. Where E
    begins with the image as it is, the loss of attacked images is so large at first that it blanks them all.

    Args:
        input_shape: (H, W, C), H and W divisible by 4; halved three times where divisible by 8, else twice.
        channels: at half the resolution; twice as many with each further halving.
        bottleneck: units of the dense layer.
        dropout: rate around the bottleneck.
        contrast: with which E sees its input, see `with_contrast`.

    Raises:
        InputError: if H or W is not divisible by 4.
    """
    check_shape(input_shape)
    height, width, colours = input_shape
    halvings = 2 if height % 8 or width % 8 else 3
    side = 2**halvings
    inputs = keras.Input(input_shape, name="trivial_component")
    x = with_contrast(inputs, contrast)
    for halving in range(halvings):
        x = _convolutions(SpaceToDepth()(x), 2**halving * channels)
    x = layers.Dropout(dropout)(layers.Flatten()(x))
    x = layers.Dense(bottleneck, activation="relu", name="bottleneck")(x)
    x = layers.Dropout(dropout)(x)
    x = layers.Dense(height // side * (width // side) * 2 * channels, activation="relu")(x)
    x = layers.Reshape((height // side, width // side, 2 * channels))(x)
    for _ in range(halvings - 1):
        x = _convolutions(DepthToSpace()(layers.Conv2D(2 * channels, 1)(x)), channels // 2, count=1)
    x = DepthToSpace()(layers.Conv2D(4 * colours, 3, padding="same", name="last")(x))
    return keras.Model(inputs, layers.Activation("sigmoid", name="restored")(x), name="extrapolator")


EXTRAPOLATORS = ("bottleneck", "unet", "autoencoder")


def check_kind(kind):
    """Refuse a name that is none of `EXTRAPOLATORS`."""
    if kind not in EXTRAPOLATORS:
        raise InputError(f"extrapolator is {kind!r}, expected one of {', '.join(EXTRAPOLATORS)}")


def create(kind, input_shape, channels, bottleneck, dropout, start, contrast=0.0):
    """The untrained E of a kind: `extrapolator` for "bottleneck", else the function of that name.

    A U-Net has no bottleneck, and an autoencoder starts from nothing, so that each leaves an argument aside.

    Raises:
        InputError: for an unknown kind.
    """
    check_kind(kind)
    if kind == "autoencoder":
        return autoencoder(input_shape, channels, bottleneck, dropout, contrast)
    if kind == "unet":
        return unet(input_shape, channels, dropout, start, contrast)
    return extrapolator(input_shape, channels, bottleneck, dropout, start, contrast)


@building_in("float32")
def discriminator(input_shape, channels=32):
    """D: is the second image the clean one that belongs to the trivial component? Logits (B, 1).

    Args:
        input_shape: (H, W, C) of both images, H and W divisible by 2.
        channels: of the first convolution; twice as many in the second.
    """
    trivial = keras.Input(input_shape, name="trivial_component")
    judged = keras.Input(input_shape, name="judged")
    x = SpaceToDepth()(layers.Concatenate()([trivial, judged]))
    for factor in (1, 2):
        x = layers.Conv2D(factor * channels, 3, strides=2, padding="same")(x)
        x = ops.maximum(x, 0.2 * x)  # a leaky ReLU, whose own layer upsets TensorFlow's graph optimizer
    return keras.Model([trivial, judged], layers.Dense(1)(layers.Flatten()(x)), name="discriminator")
