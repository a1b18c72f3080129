#!/usr/bin/env python
"""Speed of the strong attacks as ratios, measured in one run on one machine.

    pip install adversarial-robustness-toolbox foolbox   # for the comparison only
    python benchmarks/attacks.py

* PGD-40 and APGD-CE against ART (its TensorFlowV2 classifier) and foolbox: the same Keras model, weights,
  images, steps and batches. Once at eps 0.3, where every image falls, and once at a budget at which
  about half of them stand.
* AutoAttack's parts in mode `fast` against `strict`, and whether their verdicts agree.

Accuracies are printed beside the times: a fast attack that finds less is no gain.
"""

import argparse
import importlib.util

import keras
import numpy as np
from speed import plain_lenet5, seconds

import pssr_keras
from pssr_keras import attacks, data, evaluation, training
from pssr_keras.attacks.survivors import predict

BATCH = 500


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
            eps_step=0.01,
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
    import tensorflow as tf

    wrapped = foolbox.TensorFlowModel(model, bounds=(0, 1))
    attack = foolbox.attacks.LinfPGD(abs_stepsize=0.01, steps=40, random_start=True)

    def generate(x, y):
        found = []
        for rows in evaluation.batches(len(x), BATCH):
            images, labels = (eagerpy.astensor(tf.constant(part[rows])) for part in (x, y))
            found.append(attack.run(wrapped, images, labels, epsilon=eps).numpy())
        return np.concatenate(found)

    return generate


def compare(model, images, eps, repetitions):
    """Seconds and remaining accuracy of every implementation, {name: (seconds, accuracy)}."""
    installed = {package: importlib.util.find_spec(package) for package in ("art", "foolbox")}
    pgd = attacks.PGD(eps, steps=40, step_size=0.01)
    generators = {"PGD-40, pssr_keras": lambda x, y: evaluation.craft(pgd, model, images, batch_size=BATCH)}
    for mode in ("fast", "strict"):
        apgd = attacks.APGDCE(eps, mode=mode)
        generators[f"APGD-CE, pssr_keras {mode}"] = lambda x, y, apgd=apgd: evaluation.craft(
            apgd, model, images, batch_size=BATCH
        )
    if installed["art"]:
        generators["PGD-40, ART"] = of_art(model, "pgd", eps)
        generators["APGD-CE, ART"] = of_art(model, "apgd-ce", eps)
    if installed["foolbox"]:
        generators["PGD-40, foolbox"] = of_foolbox(model, eps)
    for package in [package for package in installed if not installed[package]]:
        print(f"{package} is not installed and left out; see the head of this file")
    found = {}

    def timed(name):
        def call():
            found[name] = generators[name](images.x, images.y)

        return call

    times = seconds({name: timed(name) for name in generators}, repetitions)
    return {
        name: (times[name], float((predict(model, found[name]) == images.y).mean())) for name in generators
    }


def fast_against_strict(model, images, eps, repetitions):
    """For each part of AutoAttack run alone: seconds fast and strict, and verdicts that differ."""
    figures = {}
    for part in (attacks.APGDCE, attacks.APGDT, attacks.FABT, attacks.Square):
        standing = {}

        def run(mode, part=part, standing=standing):
            x_adv = evaluation.craft(part(eps, mode=mode), model, images, batch_size=BATCH)
            standing[mode] = predict(model, x_adv) == images.y

        times = seconds({mode: lambda mode=mode: run(mode) for mode in ("fast", "strict")}, repetitions)
        differ = int((standing["fast"] != standing["strict"]).sum())
        figures[part.name] = times | {
            "remaining": int(standing["fast"].sum()),
            "verdicts_that_differ": differ,
        }
    return figures


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=500, help="images for the comparison of libraries")
    parser.add_argument("--n-modes", type=int, default=128, help="images for fast against strict")
    parser.add_argument("--eps", type=float, default=0.1, help="the budget at which about half stand")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--out", help="write the figures to this JSON file")
    arguments = parser.parse_args()

    classifier = pssr_keras.load_pretrained("mnist").classifier
    images = data.load("mnist", "test", source="bundled")
    plain = plain_lenet5(classifier)
    record = {"libraries": {}, "modes": {}, "versions": evaluation.versions()}
    for eps in (0.3, arguments.eps):
        print(f"\n{arguments.n} images, LeNet5 of standard layers, eps {eps:g}")
        figures = compare(plain, images.take(slice(0, arguments.n)), eps, arguments.repetitions)
        for name, (time, accuracy) in figures.items():
            print(f"{time:8.3f} s  {100 * accuracy:5.1f}% remain  {name}")
        for name, (time, _) in figures.items():
            ours = "PGD-40, pssr_keras" if name.startswith("PGD") else "APGD-CE, pssr_keras fast"
            if "pssr_keras" not in name:
                print(f"{time / figures[ours][0]:8.2f} times the time of {ours} (goal: at least 2): {name}")
        record["libraries"][f"eps {eps:g}"] = figures

    print(f"\n{arguments.n_modes} images, the package's LeNet5, eps {arguments.eps:g}: fast against strict")
    record["modes"] = fast_against_strict(
        classifier, images.take(slice(0, arguments.n_modes)), arguments.eps, arguments.repetitions
    )
    for name, figures in record["modes"].items():
        print(
            f"{figures['fast']:8.2f} s  {figures['strict']:8.2f} s  ratio "
            f"{figures['fast'] / figures['strict']:.2f} (goal: at most 0.5)  {name}: {figures['remaining']} "
            f"remain, {figures['verdicts_that_differ']} verdicts differ"
        )
    total = {m: sum(figures[m] for figures in record["modes"].values()) for m in ("fast", "strict")}
    print(
        f"{total['fast']:8.2f} s  {total['strict']:8.2f} s  ratio {total['fast'] / total['strict']:.2f}  all"
    )
    if arguments.out:
        training.write_json(arguments.out, record)


if __name__ == "__main__":
    main()
