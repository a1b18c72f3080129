"""Training of any compiled model over epochs that can be interrupted: batches, callbacks, schedules.

All randomness is drawn from (seed, epoch) or (seed, step), so an interrupted training ends with the same
weights as an uninterrupted one.
"""

import csv

import keras
import numpy as np
import tensorflow as tf

from .. import evaluation
from ..files import load_model, write_atomically
from ..inputs import InputError, layers_within
from .devices import ONE_DEVICE


def epochs_of_batches(count, size, seed, first_epoch, last_epoch):
    """Batches of image positions over several epochs, each a permutation that depends on (seed, epoch) only.

    Returns:
        A dataset of (rows, step): positions (size,), and a seed (2,) that depends on (seed, step) only.
        A last partial batch of an epoch is dropped.
    """
    steps = count // size

    def epoch_of(epoch):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count), seed=tf.stack([np.int64(seed), epoch])
        )
        rows = tf.reshape(order[: steps * size], (steps, size))
        step = epoch * steps + tf.range(steps, dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices(
            (rows, tf.stack([tf.fill([steps], np.int64(seed)), step], axis=1))
        )

    return tf.data.Dataset.range(first_epoch, last_epoch).flat_map(epoch_of)


def drawn(batch, count, size, seed, last_epoch):
    """Batches of images drawn from so many, by a function batch(rows, step); see `epochs_of_batches`.

    Returns:
        Function, first epoch -> batches of all epochs from there on.
    """

    def make_dataset(first_epoch):
        return epochs_of_batches(count, size, seed, first_epoch, last_epoch).map(batch, tf.data.AUTOTUNE)

    return make_dataset


class Checkpoint(keras.callbacks.Callback):
    """Save weights and optimizers after each epoch into one file, whole or not at all.

    BackupAndRestore writes weights and epoch to two files, so that a kill between them repeats an
    epoch; here the epoch follows from the optimizer's count of steps, in the same file.
    """

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        write_atomically(self.path, self.model.save_weights)


class SeedEpoch(keras.callbacks.Callback):
    """Give every dropout layer a random state that depends on (seed, epoch) only."""

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        drawing = [layer for layer in layers_within(self.model) if hasattr(layer, "seed_generator")]
        for number, layer in enumerate(drawing):
            state = np.random.SeedSequence([self.seed, epoch, number]).generate_state(2)
            layer.seed_generator.state.assign(state)


class TimeToGo(keras.callbacks.Callback):
    """One progress bar over all epochs of a stage, with the time to go."""

    def __init__(self, label, first_epoch, epochs, steps):
        super().__init__()
        self.first_epoch = first_epoch
        self.steps = steps
        resumed = f", from epoch {first_epoch + 1}" if first_epoch else ""
        self.progress = evaluation.Progress(
            f"{label}, {epochs} epochs{resumed}", steps * (epochs - first_epoch), "step"
        )

    def on_train_batch_end(self, batch, logs=None):
        done = (self.epoch - self.first_epoch) * self.steps + batch + 1
        self.progress.update(done, list(logs.items()))

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch


def warmup_cosine(peak, steps, warmup_steps):
    """A linear warm-up to `peak`, then half a cosine down to 0."""
    if warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(peak, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup_steps, warmup_target=peak, warmup_steps=warmup_steps
    )


def step_decay(peak, steps):
    """`peak` for half of the steps, a tenth of it for a quarter, then a hundredth (as Rice et al. 2020)."""
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        [steps // 2, 3 * steps // 4], [peak, peak / 10, peak / 100]
    )


def fit(
    model,
    optimizer,
    make_dataset,
    *,
    label,
    folder,
    name,
    seed,
    epochs,
    steps,
    devices=ONE_DEVICE,
    measured=(),
):
    """Train a compiled model for `epochs` of `steps`, from its last checkpoint if there is one.

    Args:
        optimizer: the optimizer of `model` that counts its steps.
        make_dataset: function, first epoch -> batches of all epochs from there on.
        name: of the checkpoint and log files.
        devices: on which to train; `model` was made in their scope.
        measured: further callbacks of the chief; what they add to an epoch's logs goes into its log file.
    """
    checkpoint = folder / f"checkpoint-{name}.weights.h5"
    if devices.of_chief(checkpoint.is_file()):
        try:
            model.load_weights(checkpoint)
        except Exception as error:  # damaged files raise many kinds of error
            raise InputError(f"{checkpoint} is damaged ({error}): delete it to repeat that stage") from error
    first_epoch = int(optimizer.iterations.numpy()) // steps
    log = folder / f"{name}_log.csv"
    if devices.is_chief:
        keep_epochs(log, first_epoch)
    if first_epoch >= epochs:
        return
    callbacks = [SeedEpoch(seed)]
    if devices.is_chief:
        callbacks += [
            *measured,
            TimeToGo(label, first_epoch, epochs, steps),
            keras.callbacks.CSVLogger(str(log), append=True),
            keras.callbacks.TensorBoard(str(folder / "tensorboard" / name), write_graph=False),
            Checkpoint(checkpoint),
        ]
    devices.fit(
        model,
        make_dataset(first_epoch).prefetch(tf.data.AUTOTUNE),
        initial_epoch=first_epoch,
        epochs=epochs,
        steps_per_epoch=steps,
        callbacks=callbacks,
    )


def fit_networks(build, optimizers, batches, numbers, count, *, seed, devices=ONE_DEVICE, **options):
    """Networks built, compiled and trained together.

    Args:
        build: function, steps of the whole training -> (what else is wanted of it, the model that trains it).
        optimizers: function, the same number -> an optimizer for each argument of the model's `compile`.
        batches: function, (the model, images in a batch) -> what `fit` calls make_dataset.
        numbers: with `epochs` and `batch_size`.
        count: of training images.
        seed, devices, options: see `fit`.

    Returns:
        What `build` returned.
    """
    size = min(numbers.batch_size, count)
    devices.check_batch(size)
    steps = count // size
    keras.utils.set_random_seed(seed)
    *others, model = build(numbers.epochs * steps)
    with devices.scope():
        model.compile(*optimizers(numbers.epochs * steps))
    options |= {"seed": seed, "epochs": numbers.epochs, "steps": steps, "devices": devices}
    fit(model, model.optimizer, batches(model, size), **options)
    return *others, model


def made_once(name, folder, validation, devices, words, make):
    """The defense in a run folder, or the one that make() returns, kept there as `<name>.keras`.

    Its accuracy on validation images is printed, of a defense called by `words`.
    """
    finished = folder / f"{name}.keras"
    if devices.of_chief(finished.is_file()):
        return load_model(finished)
    defense = make()

    def write():
        flags = evaluation.correct(defense, validation.x, validation.y)
        accuracy = f"{100 * flags.mean():.2f}% of {len(flags):,} benign images"
        print(f"\nvalidation accuracy of {words}: {accuracy}")
        write_atomically(finished, defense.save)

    devices.write(finished, write)
    return defense


def keep_epochs(log, epochs):
    """Cut a log back to its first epochs: those after the checkpoint are trained again."""
    if log.is_file():
        with log.open(newline="") as file:
            rows = list(csv.reader(file))
        kept = rows[:1] + [row for row in rows[1:] if len(row) == len(rows[0]) and int(row[0]) < epochs]

        def write(partial):
            with partial.open("w", newline="") as file:
                csv.writer(file).writerows(kept)

        write_atomically(log, write)


def learning_rate(peak, steps, warmup_steps):
    """As `warmup_cosine`, with a warm-up of at most a tenth of the steps."""
    return warmup_cosine(peak, steps, min(warmup_steps, steps // 10))


def extrapolator_optimizers(numbers, steps):
    """Those of E and of D over so many steps, of numbers with a learning rate for each and a warm-up."""
    peaks = numbers.extrapolator_learning_rate, numbers.discriminator_learning_rate
    rates = [learning_rate(peak, steps, numbers.warmup_steps) for peak in peaks]
    return keras.optimizers.Adam(rates[0]), keras.optimizers.Adam(rates[1], beta_1=0.5)


@keras.saving.register_keras_serializable("pssr_keras")
class SGDWithDecayInGradient(keras.optimizers.SGD):
    """SGD whose weight decay is part of the gradient, g + decay w, as Krizhevsky et al. 2012 write it.

    Keras' own `weight_decay` acts beside the gradient, so under a momentum of 0.9 it is ten times weaker.
    """

    def __init__(self, *arguments, decay=0.0, **keywords):
        super().__init__(*arguments, **keywords)
        self.decay = decay

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient + self.decay * variable, variable, learning_rate)

    def get_config(self):
        return {**super().get_config(), "decay": self.decay}


OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("cycle", "steps")


def classifier_optimizer(numbers, steps):
    """The optimizer of a classifier over so many steps.

    Args:
        numbers: `settings.ClassifierSettings`.

    Raises:
        InputError: for an unknown optimizer or schedule.
    """
    if numbers.schedule not in SCHEDULES:
        raise InputError(f"schedule is {numbers.schedule!r}, expected one of {', '.join(SCHEDULES)}")
    if numbers.schedule == "steps":
        schedule = step_decay(numbers.learning_rate, steps)
    else:
        schedule = warmup_cosine(numbers.learning_rate, steps, int(numbers.warmup_share * steps))
    if numbers.optimizer == "adam":
        return keras.optimizers.Adam(schedule)
    if numbers.optimizer == "sgd":
        return SGDWithDecayInGradient(schedule, momentum=0.9, nesterov=True, decay=numbers.weight_decay)
    raise InputError(f"optimizer is {numbers.optimizer!r}, expected one of {', '.join(OPTIMIZERS)}")
