"""Other views of training images, as TensorFlow operations on a batch.

An augmentation is chosen by name and size in pixels, such as "shift:2"; its randomness is that of a
stateless seed, so a batch and its seed determine it.
"""

import functools

import tensorflow as tf

from ..inputs import InputError


def keep(x, pixels, seed):
    """The images as they are."""
    return x


def shift(x, pixels, seed):
    """Move each image of a batch (B, H, W, C) by up to `pixels` along each axis, filling with 0."""
    count, height, width, _ = tf.unstack(tf.shape(x))
    offsets = tf.random.stateless_uniform((count, 2), seed, 0, 2 * pixels + 1, tf.int32)
    x = tf.pad(x, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))
    x = tf.gather(x, offsets[:, :1] + tf.range(height), axis=1, batch_dims=1)
    return tf.gather(x, offsets[:, 1:] + tf.range(width), axis=2, batch_dims=1)


def crop_and_flip(x, pixels, seed):
    """As `shift`, and half of the images mirrored: the crops and flips that are usual for CIFAR."""
    x = shift(x, pixels, seed)
    mirrored = tf.random.stateless_uniform((tf.shape(x)[0],), seed + 2) < 0.5
    return tf.where(mirrored[:, None, None, None], tf.reverse(x, [2]), x)


AUGMENTATIONS = {"none": keep, "shift": shift, "crop_and_flip": crop_and_flip}


def parse(text):
    """An augmentation from its name and size, "none", "shift:2" or "crop_and_flip:4".

    Returns:
        Function, images (B, H, W, C) and a seed (2,) of int64 -> images.

    Raises:
        InputError: for an unknown name, or a size that is no number of pixels.
    """
    name, _, size = text.partition(":")
    if name not in AUGMENTATIONS:
        raise InputError(f"unknown augmentation {text!r}, expected one of {', '.join(AUGMENTATIONS)}")
    if not (size or "0").isdecimal():
        raise InputError(f"augmentation {text!r} has no number of pixels, expected one as in shift:2")
    return functools.partial(_apply, AUGMENTATIONS[name], int(size or 0))


def _apply(function, pixels, x, seed):
    return function(x, pixels, seed)
