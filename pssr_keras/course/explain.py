"""What a classifier looks at: Grad-CAM, and the features before its last layer."""

import keras
import numpy as np
import tensorflow as tf

from ..inputs import InputError, check_images, check_labels, check_model


def _up_to(model, layer):
    """The model with the output of one of its layers besides its own."""
    names = [part.name for part in model.layers]
    if layer not in names:
        raise InputError(f"{model.name} has no layer {layer!r}, expected one of {', '.join(names)}")
    return keras.Model(model.input, [model.get_layer(layer).output, model.output])


def grad_cam(model, x, layer, classes=None):
    """Heat maps of the evidence for a class: ReLU of the channels, weighted by their mean gradient.

    map = relu(sum_k w_k A_k), w_k = mean over positions of d logit_c / d A_k

    Args:
        model: a Functional classifier, images -> logits.
        x: images (B, H, W, C).
        layer: name of a convolutional layer, whose channels A_k (B, h, w, k) are weighted.
        classes: (B,) the classes c; the predicted ones if None.

    Returns:
        (B, H, W), each map scaled to a largest value of 1 (or all 0), float32.

    Raises:
        InputError: if there is no such layer, or it is not convolutional; for images or classes that do not
            fit.

    Source: Selvaraju et al. 2017.
    """
    x, both = check_images(x, check_model(model)), _up_to(model, layer)
    if classes is not None:
        classes = check_labels(classes, len(x), model.output_shape[-1])
    with tf.GradientTape() as tape:
        channels, logits = both(tf.convert_to_tensor(x), training=False)
        if channels.shape.rank != 4:
            raise InputError(f"layer {layer!r} has no positions, expected a convolutional layer")
        tape.watch(channels)
        if classes is None:
            classes = tf.argmax(logits, axis=-1)
        score = tf.gather(logits, classes, batch_dims=1)
    weights = tf.reduce_mean(tape.gradient(score, channels), axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(weights * channels, axis=-1, keepdims=True))
    maps = tf.math.divide_no_nan(maps, tf.reduce_max(maps, axis=(1, 2, 3), keepdims=True))
    return tf.image.resize(maps, x.shape[1:3])[..., 0].numpy()


def features(model, x, layer="features", batch_size=500):
    """The output of a layer for any number of images, (N, features); by default the last but one."""
    x = check_images(x, check_model(model))
    both = _up_to(model, layer)
    parts = [both(x[i : i + batch_size], training=False)[0] for i in range(0, len(x), batch_size)]
    return np.concatenate([keras.ops.convert_to_numpy(part) for part in parts])
