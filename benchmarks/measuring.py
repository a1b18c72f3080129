"""How everything here is measured: the models, the least of interleaved times, and on what machine."""

import datetime
import os
import pathlib
import platform
import time

import keras
import numpy as np
from keras import layers

import pssr_keras
from pssr_keras import InputError, classifiers, data, evaluation
from pssr_keras.files import load_model

MODELS = ("lenet5", "resnet18")


def seconds(functions, repetitions):
    """The least time of each function, {name: seconds}; each is called once before, to compile.

    Repetitions are interleaved, so that a busy machine disturbs all alike.
    """
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in times.items()}


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


def subject(name, width=0.25):
    """What is attacked: its name in words, the package's classifier, the same in standard layers, images.

    Args:
        name: "lenet5", the shipped classifier of MNIST on its bundled images; "resnet18", untrained, on noise
            of the shape of CIFAR-10 (the time of PGD does not depend on what it has learned); or a `.keras`
            file of a classifier, on noise of its input shape.
        width: of ResNet18.

    Raises:
        InputError: if it is neither a name nor a file.
    """
    if name == "lenet5":
        classifier = pssr_keras.load_pretrained("mnist").classifier
        return "LeNet5", classifier, plain_lenet5(classifier), data.load("mnist", "test", source="bundled")
    if name == "resnet18":
        keras.utils.set_random_seed(0)
        classifier, described = classifiers.resnet18(width=width), f"ResNet18, width {width:g}"
    elif pathlib.Path(name).is_file():
        classifier, described = load_model(name), pathlib.Path(name).name
    else:
        raise InputError(f"the model is {name!r}, expected {', '.join(MODELS)} or a .keras file")
    x = np.random.default_rng(0).uniform(size=(1000, *classifier.input_shape[1:])).astype(np.float32)
    # Labels as predicted, so that every image is attacked.
    y = evaluation.logits_of(classifier, x).argmax(axis=-1).astype(np.int32)
    images = data.Images(x, y, classifier.output_shape[-1], "uniform noise", np.arange(len(x)))
    return described, classifier, classifier, images


def machine():
    """The processor and its cores, the versions, and the day: what a time depends on."""
    processor = platform.processor() or platform.machine()
    information = pathlib.Path("/proc/cpuinfo")
    if information.is_file():
        names = [line for line in information.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].split(":", 1)[1].strip() if names else processor
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"processor": processor, "cores": cores, "date": today, "versions": evaluation.versions()}
