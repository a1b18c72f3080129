"""Purification against classification, and the CAE's training step against what the machine can multiply."""

import math

import keras
import numpy as np
import tensorflow as tf
from measuring import seconds

import pssr_keras
from pssr_keras import cae, data, evaluation
from pssr_keras.classifiers import ConvReLUMaxPool2D


def purification(repetitions):
    """Seconds to classify and to purify 1,000 images of MNIST, by the shipped weights."""
    pssr = pssr_keras.load_pretrained("mnist")
    images = data.load("mnist", "test", source="bundled")
    times = seconds(
        {
            "classify": lambda: evaluation.correct(pssr.classifier, images.x, images.y),
            "purify and classify": lambda: evaluation.correct(pssr, images.x, images.y),
        },
        repetitions,
    )
    purify = times["purify and classify"] - times["classify"]
    ratio = purify / times["classify"]
    return {"images": len(images), "classify": times["classify"], "purify": purify, "ratio": ratio}


def multiplications(model):
    """Floating-point operations of one image forward, in convolutions and dense layers, two for each product.

    Returns:
        Those of all layers, and those of the layers that take the model's inputs: what a backward pass by
        the weights need not send on.
    """
    total = first = 0
    seen = False
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            operations = 2 * layer.kernel.shape[0] * layer.kernel.shape[1]
        elif isinstance(layer, keras.layers.Conv2D | ConvReLUMaxPool2D):
            # ConvReLUMaxPool2D as what it means, a convolution at full resolution, and not as it is computed.
            pooled = 4 if isinstance(layer, ConvReLUMaxPool2D) else 1
            operations = 2 * math.prod(layer.kernel.shape) * pooled * math.prod(layer.output.shape[1:3])
        else:
            continue
        total += operations
        first, seen = (first, True) if seen else (operations, True)
    return total, first


def step_operations(model, batch):
    """Floating-point operations of one training step of a CAE on so many images; see `CAE.train_step`.

    A backward pass costs a forward pass by the inputs and another by the weights, except that nobody needs
    the gradient by the inputs of E, nor by those of D when D is trained.

        E    forward and backward on k B images
        F    forward on B clean and k B restored images, backward by the inputs on the latter
        D    forward and backward by the inputs on B images for E; forward and backward on 2 B images
    """
    k = model.passes
    restore, restore_first = multiplications(model.extrapolator)
    classify, _ = multiplications(model.classifier)
    judge, judge_first = multiplications(model.discriminator)
    of_extrapolator = k * (3 * restore - restore_first)
    of_classifier = classify + k * 2 * classify
    of_discriminator = 2 * judge + 2 * (3 * judge - judge_first)
    return batch * (of_extrapolator + of_classifier + of_discriminator)


def training_step(repetitions, batch=128, size=2048):
    """A training step of the CAE for MNIST as a share of the rate at which the machine multiplies matrices.

    Args:
        batch: images of a step.
        size: of the square matrices, large enough that nothing but arithmetic counts.
    """
    classifier = pssr_keras.load_pretrained("mnist").classifier
    shape = classifier.input_shape[1:]
    keras.utils.set_random_seed(0)
    model = cae.CAE(cae.extrapolator(shape), cae.discriminator(shape), classifier)
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    images = data.load("mnist", "test", source="bundled").take(slice(0, batch))
    given = [tf.constant(part) for part in (images.x, images.x, images.y)]
    step = tf.function(lambda: model.train_step(given), autograph=False)
    matrix = tf.constant(np.random.default_rng(0).normal(size=(size, size)).astype(np.float32))
    multiply = tf.function(lambda: tf.matmul(matrix, matrix), autograph=False)
    times = seconds(
        {"step": lambda: next(iter(step().values())).numpy(), "product": lambda: multiply().numpy()},
        10 * repetitions,
    )
    rate = 2 * size**3 / times["product"]
    achieved = step_operations(model, batch) / times["step"]
    return {
        "images": batch,
        "seconds": times["step"],
        "operations": step_operations(model, batch),
        "rate": achieved,
        "product_rate": rate,
        "share": achieved / rate,
    }
