"""Test images that come with the package, as one lossless picture a data set: rows of tiles.

`bundled/cifar10.png` and `bundled/cifar100.png` hold 1,000 images each, the first of their test splits in the
order of `images.by_content`, so the i-th tile is of class i modulo the number of classes. The images were
collected by Alex Krizhevsky, Vinod Nair and Geoffrey Hinton (Krizhevsky 2009, "Learning multiple layers of
features from tiny images").
"""

import pathlib

import numpy as np
import tensorflow as tf

from .dataset import Bundled
from .images import from_pixels

FOLDER = pathlib.Path(__file__).parent / "bundled"


def bundled(name, shape, classes):
    """The test images of a data set that come with the package, `Bundled`; see `load`."""
    return Bundled(
        load=lambda split: load(name, shape, classes),
        words="the 1,000 bundled test images",
        splits=("test",),
    )


def load(name, shape, classes):
    """The bundled test images of a data set, `Images`.

    Args:
        name: of the picture.
        shape: (H, W, C) of an image.
        classes: number of classes.
    """
    height, width, channels = shape
    picture = tf.io.decode_png((FOLDER / f"{name}.png").read_bytes(), channels=channels).numpy()
    down, across = picture.shape[0] // height, picture.shape[1] // width
    tiles = picture.reshape(down, height, across, width, channels).swapaxes(1, 2)
    pixels, positions = tiles.reshape(-1, *shape), np.arange(down * across)
    source = f"bundled {name} ({len(pixels):,} test images, ordered by content) test"
    return from_pixels(pixels, positions % classes, classes, source, positions)
