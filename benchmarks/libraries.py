"""PGD-40 and APGD-CE against cleverhans, ART and foolbox: the same Keras model, images, steps and batches."""

import importlib.util

import keras
import numpy as np
import tensorflow as tf
from measuring import seconds

from pssr_keras import attacks, evaluation
from pssr_keras.attacks.early_exit import predict

BATCH = 500
STEP = 0.01


def of_cleverhans(model, eps):
    """PGD-40 of cleverhans, eager, as its users run it: a function of images and labels."""
    from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

    def generate(x, y):
        found = [
            projected_gradient_descent(
                model, x[rows], eps, STEP, 40, np.inf, clip_min=0.0, clip_max=1.0, y=y[rows], rand_init=True
            )
            for rows in evaluation.batches(len(x), BATCH)
        ]
        return np.concatenate(found)

    return generate


def of_art(model, name, eps):
    """One of ART's attacks on a Keras model, as a function of images and labels."""
    from art.attacks import evasion
    from art.estimators.classification import TensorFlowV2Classifier

    classifier = TensorFlowV2Classifier(
        model=model,
        nb_classes=model.output_shape[-1],
        input_shape=model.input_shape[1:],
        loss_object=keras.losses.CategoricalCrossentropy(from_logits=True),
        clip_values=(0.0, 1.0),
    )
    if name == "pgd":
        attack = evasion.ProjectedGradientDescentTensorFlowV2(
            classifier,
            eps=eps,
            eps_step=STEP,
            max_iter=40,
            num_random_init=1,
            batch_size=BATCH,
            verbose=False,
        )
    else:
        attack = evasion.AutoProjectedGradientDescent(
            classifier,
            eps=eps,
            eps_step=2 * eps,
            max_iter=100,
            nb_random_init=1,
            batch_size=BATCH,
            loss_type="cross_entropy",
            verbose=False,
        )
    return lambda x, y: attack.generate(x, keras.utils.to_categorical(y, model.output_shape[-1]))


def of_foolbox(model, eps):
    """PGD-40 of foolbox on a Keras model, as a function of images and labels."""
    import eagerpy
    import foolbox

    wrapped = foolbox.TensorFlowModel(model, bounds=(0, 1))
    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP, steps=40, random_start=True)

    def generate(x, y):
        found = []
        for rows in evaluation.batches(len(x), BATCH):
            images, labels = (eagerpy.astensor(tf.constant(part[rows])) for part in (x, y))
            found.append(attack.run(wrapped, images, labels, epsilon=eps).numpy())
        return np.concatenate(found)

    return generate


def generators(model, own, images, eps):
    """Every implementation that is installed: {(attack, library): function of images and labels}."""

    def ours(attack, of=model):
        return lambda x, y: evaluation.craft(attack, of, images, batch_size=BATCH)

    pgd = attacks.PGD(eps, steps=40, step_size=STEP)
    made = {
        ("PGD-40", "pssr_keras"): ours(pgd),
        ("PGD-40", "cleverhans"): of_cleverhans(model, eps),
        ("APGD-CE", "pssr_keras"): ours(attacks.APGDCE(eps)),
        ("APGD-CE", "pssr_keras strict"): ours(attacks.APGDCE(eps, mode="strict")),
    }
    if own is not model:
        made["PGD-40", "pssr_keras, its own layers"] = ours(pgd, own)
    if importlib.util.find_spec("art"):
        made["PGD-40", "ART"] = of_art(model, "pgd", eps)
        made["APGD-CE", "ART"] = of_art(model, "apgd-ce", eps)
    if importlib.util.find_spec("foolbox"):
        made["PGD-40", "foolbox"] = of_foolbox(model, eps)
    return made


def compare(model, own, images, eps, repetitions):
    """One row for each implementation: its time, how often ours goes into it, and what still stands.

    A fast attack that finds less is no gain, so accuracies stand beside the times.

    Args:
        model: of standard layers, which every library attacks.
        own: the same network in the package's layers, or `model` itself.
        images, eps, repetitions: see `run.py`.
    """
    found, made = {}, generators(model, own, images, eps)

    def timed(name):
        def call():
            found[name] = made[name](images.x, images.y)

        return call

    times = seconds({name: timed(name) for name in made}, repetitions)
    return [
        {
            "attack": attack,
            "library": library,
            "eps": eps,
            "images": len(images),
            "seconds": times[attack, library],
            "times_ours": times[attack, library] / times[attack, "pssr_keras"],
            "accuracy": float((predict(model, found[attack, library]) == images.y).mean()),
        }
        for attack, library in made
    ]
