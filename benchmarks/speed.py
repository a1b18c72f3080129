#!/usr/bin/env python
"""Speed as ratios, measured in one run on one machine.

    python benchmarks/speed.py

* PGD-40 on 1,000 images: this package on its LeNet5, against eager cleverhans on LeNet5 as anyone would
  write it in Keras, with the same weights.
* Purification of 1,000 images against their classification.

Each figure is the least of several repetitions, interleaved so that a busy machine disturbs all alike.
"""

import argparse
import time

import keras
import numpy as np
from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent
from keras import layers

import pssr_keras
from pssr_keras import attacks, data, evaluation, training


def plain_lenet5(classifier):
    """LeNet5 as a Sequential of standard layers, with the weights of the package's classifier."""
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(10),
        ]
    )
    model.set_weights(classifier.get_weights())
    return model


def seconds(functions, repetitions):
    """The least time of each function, {name: seconds}; each is called once before, to compile."""
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in times.items()}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--out", help="write the figures to this JSON file")
    arguments = parser.parse_args()

    pssr = pssr_keras.load_pretrained("mnist")
    images = data.load("mnist", "test", source="bundled")
    plain = plain_lenet5(pssr.classifier)
    difference = np.abs(
        plain.predict(images.x, verbose=0) - pssr.classifier.predict(images.x, verbose=0)
    ).max()
    pgd = attacks.PGD(eps=0.3)

    def cleverhans():
        projected_gradient_descent(
            plain, images.x, 0.3, pgd.step_size, pgd.steps, np.inf,
            clip_min=0.0, clip_max=1.0, y=images.y, rand_init=True,
        )  # fmt: skip

    times = seconds(
        {
            "PGD-40, pssr_keras": lambda: evaluation.craft(pgd, pssr.classifier, images),
            "PGD-40, eager cleverhans": cleverhans,
            "classify": lambda: evaluation.correct(pssr.classifier, images.x, images.y),
            "purify and classify": lambda: evaluation.correct(pssr, images.x, images.y),
        },
        arguments.repetitions,
    )
    purify = times["purify and classify"] - times["classify"]
    ratios = {
        "crafting: throughput relative to eager cleverhans (goal: at least 2)": times[
            "PGD-40, eager cleverhans"
        ]
        / times["PGD-40, pssr_keras"],
        "purification: time relative to classification (goal: at most 10)": purify / times["classify"],
    }
    print(f"1,000 images; logits of both LeNet5 differ by at most {difference:.1e}")
    for name, value in times.items():
        print(f"{value:8.3f} s  {name}")
    for name, value in ratios.items():
        print(f"{value:8.2f}    {name}")
    if arguments.out:
        training.write_json(
            arguments.out, {"seconds": times, "ratios": ratios, "versions": evaluation.versions()}
        )


if __name__ == "__main__":
    main()
