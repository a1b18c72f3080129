"""Train small models on the devices of this process; what the tests run in processes of their own.

    python train_on_devices.py FOLDER cpu:2
    python train_on_devices.py FOLDER            # as a worker of TF_CONFIG

writes FOLDER/KIND.npz, the weights of each kind of training.
"""

import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from pssr_keras import InputError, baselines, cae, config, training
from pssr_keras.purifiers.hardened.model import HardenedCAE
from pssr_keras.purifiers.hardened.settings import HardenedSettings
from pssr_keras.training import devices

IMAGES, SIZE, EPOCHS = 16, 8, 3
STEPS = IMAGES // SIZE
UNINTERRUPTED = ("adversarial_training", "trades", "gradient_regularisation")
CHANGING = ("cross_entropy", "cae", "hardened")  # the number of devices changes after each epoch
ON_WORKERS = ("cross_entropy",)  # and then a whole run
TINY = {
    "train_limit": 64,
    "validation_size": 32,
    "test_limit": 16,
    "classifier.epochs": 1,
    "cae.epochs": 1,
    "cae.batch_size": 64,  # one step: what it logs is before any weight moved
    "extrapolator_channels": 4,
    "extrapolator_bottleneck": 8,
    "attack.training": ("fgsm",),
    "attack.evaluation": ("fgsm",),
    "width": 0.5,
    "source": "bundled",
}


def tiny():
    """An experiment of seconds."""
    return config.experiment("mnist", "smoke", **TINY)


def network():
    """A small classifier with batch normalisation and dropout: (B, 8, 8, 1) -> logits (B, 3)."""
    inputs = keras.Input((8, 8, 1))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, strides=2, use_bias=False)(inputs))
    x = layers.Dropout(0.3)(layers.Flatten()(layers.Activation("tanh")(x)))
    return keras.Model(inputs, layers.Dense(3)(x), name="small")


def descent():
    """Gradient descent with momentum: Adam would follow the sign of a gradient that is but rounding."""
    return keras.optimizers.SGD(0.03, momentum=0.9)


def make(kind, chosen):
    """The parts that are trained, the compiled model around them, and the optimizer that counts its steps."""
    if kind == "cae":
        extrapolator = chosen.mirrored(cae.extrapolator((8, 8, 1), channels=2, bottleneck=8), passes=2)
        discriminator = chosen.mirrored(cae.discriminator((8, 8, 1), channels=2))
        classifier = chosen.mirrored(network())
        with chosen.scope():
            model = cae.CAE(extrapolator, discriminator, classifier)
            model.compile(descent(), descent())
        return (extrapolator, discriminator), model, model.extrapolator_optimizer
    if kind == "hardened":
        parts = [cae.extrapolator((8, 8, 1), channels=2, bottleneck=8) for _ in range(2)]
        extrapolator, average = (chosen.mirrored(part, passes=2) for part in parts)
        discriminator = chosen.mirrored(cae.discriminator((8, 8, 1), channels=2))
        classifier = chosen.mirrored(network())
        with chosen.scope():
            weights = {"lambda_adversarial": 0.5, "lambda_pixel": 0.1, "lambda_r_drop": 0.5}
            numbers = HardenedSettings(
                averaging=0.9, inner_steps=2, inner_step_size=0.5, ramp_share=1.0, **weights
            )
            model = HardenedCAE(
                extrapolator, classifier, 0.1, numbers, steps=4, discriminator=discriminator, average=average
            )
            model.compile(descent(), descent())
        return (extrapolator, discriminator, average), model, model.extrapolator_optimizer
    classifier = chosen.mirrored(network())
    # Its search begins where the divergence is not flat, or it would follow the sign of what is but rounding.
    objective = baselines.parse("trades:start=0.05" if kind == "trades" else kind)
    with chosen.scope():
        optimizer = keras.optimizers.SGD(0.01)
        model = classifier
        if kind == "cross_entropy":  # with momentum, as only a resumption with all that it kept goes on
            optimizer = training.SGDWithDecayInGradient(0.01, momentum=0.9, nesterov=True, decay=0.1)
        else:
            model = baselines.RobustTraining(
                classifier, objective, 0.1, ramp_steps=4, step_size=0.05, steps=2
            )
        optimizer.build(classifier.trainable_variables)
        objective.compile(model, optimizer)
    return (classifier,), model, optimizer


def weights_of(parts):
    return [weight for part in parts for weight in part.get_weights()]


def train(kind, chosen, folder, epochs=EPOCHS):
    """Train a kind on some devices, or go on.

    Returns:
        All weights, and moving averages, of what is trained: as they were made, and trained.
    """
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    x, y = generator.uniform(size=(IMAGES, 8, 8, 1)), generator.integers(0, 3, IMAGES)
    x = x.astype("float32")
    parts, model, optimizer = make(kind, chosen)
    untrained = weights_of(parts)

    def batch(rows, seed):
        images, labels = tf.gather(x, rows), tf.gather(y, rows)
        if kind == "cae":
            return tf.gather(x * (x > 0.5), rows), images, labels
        if kind == "cross_entropy":
            return images, labels
        noise = tf.random.stateless_uniform((SIZE, 8, 8, 1), seed, -1.0, 1.0)
        return images, labels, tf.cast(noise, images.dtype)

    def make_dataset(first_epoch):
        return training.epochs_of_batches(IMAGES, SIZE, 5, first_epoch, epochs).map(batch)

    settings = {"label": kind, "folder": folder, "name": kind, "seed": 5, "epochs": epochs, "steps": STEPS}
    training.fit(model, optimizer, make_dataset, **settings, devices=chosen)
    return untrained, weights_of(parts)


def main(folder, name=None):
    chosen = devices.select(name)
    assert chosen.count == 2
    folder = pathlib.Path(folder)
    trained = {}
    if chosen.several_workers:
        for kind in ON_WORKERS:
            _, trained[kind] = train(kind, chosen, folder)
        training.run(tiny(), folder / "run", devices=chosen)
        (folder / "file").touch()
        try:
            training.run(tiny(), folder / "file", devices=chosen)
        except InputError as error:
            print("refused:", error)
    else:
        for kind in UNINTERRUPTED:
            _, trained[kind] = train(kind, chosen, folder)
        for kind in CHANGING:
            train(kind, devices.ONE_DEVICE, folder, 1)
            train(kind, chosen, folder, 2)
            _, trained[kind] = train(kind, devices.ONE_DEVICE, folder, 3)
    if chosen.is_chief:
        for kind, weights in trained.items():
            np.savez(folder / f"{kind}.npz", *weights)
    chosen.on_chief(lambda: None)  # a worker that leaves before the others are done stops them


if __name__ == "__main__":
    main(*sys.argv[1:])
