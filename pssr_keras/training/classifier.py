"""Stage 1: a classifier trained by one of the objectives of `baselines`, or one that was brought along."""

import csv
import functools

import keras
import tensorflow as tf

from .. import baselines, classifiers, evaluation, setting_names
from ..data import DATASETS, augmentation
from ..files import load_model, write_atomically, write_json
from .devices import ONE_DEVICE
from .fitting import classifier_optimizer, drawn, fit
from .folder import remove_intermediate
from .own_classifier import check_pixels, classifier_of
from .selection import ACCURACY, HeldOut, best_of, held_out_attack


def check_names(numbers):
    """Refuse unknown names in `settings.ClassifierSettings` before any work."""
    classifiers.check_name(numbers.architecture)
    baselines.parse(numbers.objective)
    augmentation.parse(numbers.augmentation)
    classifier_optimizer(numbers, 1)  # refuses what it does not know


def train_classifier(
    experiment, folder, train, validation, classifier_file=None, devices=ONE_DEVICE, start=None
):
    """The classifier of an experiment; see the head of this module.

    Of an objective that selects, `classifier.keras` is the epoch that was best on held-out images, and
    `classifier_last.keras` the last one. `classifier.json` holds what is to be told of a robust training.

    Args:
        experiment: `settings.Experiment`.
        folder: of the run; a finished classifier is read there, an interrupted training goes on.
        train, validation: `data.Images`.
        classifier_file: a `.keras` file to take in place of a training.
        devices: on which to train; see `devices.select`.
        start: function without arguments -> the classifier of a warm start, in place of one that is trained
            first, on the same images and labels for as many epochs.
    """
    finished = folder / "classifier.keras"
    if devices.of_chief(finished.is_file()):
        return load_model(finished)
    if classifier_file is not None:
        entry = DATASETS[experiment.dataset]
        classifier = classifier_of(classifier_file, entry)
        accuracy = check_pixels(classifier, validation, entry.statistics)

        def keep():
            print(f"\nvalidation accuracy of {classifier_file}: {accuracy}")
            write_atomically(finished, classifier.save)

        devices.write(finished, keep)
        return classifier

    objective, seed = baselines.parse(experiment.classifier.objective), experiment.seed
    numbers = objective.settings(experiment.classifier)
    statistics = DATASETS[experiment.dataset].statistics

    def build():
        shape = train.x.shape[1:]
        return classifiers.create(numbers.architecture, shape, train.classes, numbers.width, statistics)

    keras.utils.set_random_seed(seed)
    classifier = devices.mirrored(build())

    def teach(images, folder, changes):
        folder.mkdir(exist_ok=True)
        teacher = train_classifier(setting_names.changed(experiment, changes), folder, images, validation)
        remove_intermediate(folder)
        return teacher

    known = train
    train = devices.chief_first(functools.partial(objective.images, train, experiment, folder, teach))
    if experiment.robust.warm_start and objective.takes_noise:
        changes = {"classifier.objective": "cross_entropy"}
        start = start or functools.partial(teach, train, folder / "start", changes)
        classifier.set_weights(devices.chief_first(start).get_weights())
        keras.utils.set_random_seed(seed)  # whether it was trained just now or only read changes nothing
    size = min(numbers.batch_size, len(train))
    devices.check_batch(size)
    steps = len(train) // size
    with devices.scope():
        optimizer = classifier_optimizer(numbers, numbers.epochs * steps)
        optimizer.build(classifier.trainable_variables)
        model = objective.model(classifier, experiment.robust, experiment.attack.eps, numbers.epochs * steps)
        objective.compile(model, optimizer)
    x, y = tf.constant(train.x), tf.constant(train.y)
    augment = augmentation.parse(numbers.augmentation)

    def batch(rows, key):
        images, labels = augment(tf.gather(x, rows), key), tf.gather(y, rows)
        if not objective.takes_noise:
            return images, labels
        return images, labels, tf.random.stateless_uniform((size, *train.x.shape[1:]), key + 1, -1.0, 1.0)

    best, measured = folder / "checkpoint-classifier.npz", []
    if objective.takes_noise and devices.is_chief:
        held_out = validation.take(slice(0, min(experiment.robust.held_out, len(validation))))
        attack = held_out_attack(experiment.robust, experiment.attack.eps)
        measured = [HeldOut(classifier, build(), held_out, attack, best, seed, experiment.batch_size)]
    fit(
        model,
        optimizer,
        drawn(batch, len(train), size, seed, numbers.epochs),
        label=f"training {numbers.architecture} by {objective.name} on {len(train):,} images",
        folder=folder,
        name="classifier",
        seed=seed,
        epochs=numbers.epochs,
        steps=steps,
        devices=devices,
        measured=measured,
    )
    trained, classifier = classifier, build()  # without the optimizer, which a saved model would drag along
    classifier.set_weights(trained.get_weights())

    def write():
        notes = objective.notes(known, train)
        if measured:
            epoch, _, weights = best_of(best)
            notes |= {
                "attack": attack.get_config(),
                "held_out_images": len(held_out),
                "held_out": column_of(folder / "classifier_log.csv", ACCURACY),
                "best_epoch": epoch + 1,
                "selected": objective.selects,
            }
            if objective.selects:
                write_atomically(folder / "classifier_last.keras", classifier.save)
                classifier.set_weights(weights)
            write_json(folder / "classifier.json", notes)
        flags = evaluation.correct(classifier, validation.x, validation.y)
        accuracy = f"{100 * flags.mean():.2f}% of {len(flags):,} images"
        print(f"\nvalidation accuracy of {numbers.architecture}: {accuracy}")
        write_atomically(finished, classifier.save)

    devices.write(finished, write)
    return load_model(finished) if objective.selects else classifier


def column_of(log, name):
    """A column of a log, a number for each epoch."""
    with log.open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]
