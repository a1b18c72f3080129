"""Train a PSSR from data to table: classifier, adversarial pairs, CAE, evaluation.

A run is a folder. Each stage leaves one finished file there, and what is finished is read, not
repeated; a stage that was interrupted goes on from its last epoch. All randomness is drawn from
(seed, epoch), so an interrupted run ends with the same weights as an uninterrupted one.

    config.json                the experiment and the hash of a classifier that was brought along
    classifier.keras           stage 1
    adversarial-<attack>.npy   stage 2, deleted at the end
    pssr.keras                 stage 3
    evaluation.json            stage 4
    *_log.csv, tensorboard/    losses and accuracies of each epoch
    checkpoint-*.weights.h5    the state of a stage, deleted at the end
"""

import csv
import dataclasses
import json
import os
import pathlib
import shutil
import time

import keras
import numpy as np
import tensorflow as tf

from . import attacks, baselines, cae, classifiers, data, evaluation
from .defense import PSSR
from .inputs import InputError, check_logits
from .surgery import PixelSurgery


def run(config, folder, data_dir=None, classifier_file=None, overwrite=False):
    """Run one experiment in a folder, or continue it, or read its result if it is finished.

    Args:
        config: `config.Experiment` with a resolved source.
        folder: the run folder; it is made if need be.
        data_dir: folder of tensorflow-datasets.
        classifier_file: a `.keras` file of a classifier to protect instead of training one.
        overwrite: start afresh, deleting what an earlier run left in the folder.

    Returns:
        The record of the evaluation; see `evaluation.evaluate`.

    Raises:
        InputError: if the folder is a file, is not writable, or holds another configuration or a damaged
            file; if the classifier does not fit; if there are fewer images than asked for.
    """
    check_names(config)
    folder = prepare_folder(folder, config, classifier_file, overwrite)
    finished = folder / "evaluation.json"
    if finished.is_file():
        return read_json(finished)

    train, validation, test = load_splits(config, data_dir)
    classifier = train_classifier(config, folder, train, validation, classifier_file)
    pssr = train_pssr(config, folder, classifier, train, validation)
    record = evaluate_run(config, pssr, test)
    remove_intermediate(folder)
    write_json(finished, record)
    return record


def check_names(config):
    """Refuse unknown attacks, readings and label kinds of an experiment before any work."""
    make_attacks(config, config.training_attacks + config.evaluation_attacks)
    unfitted_surgery(config)
    evaluation.check_labels_kind(config.attack_labels)
    known = ("cross_entropy", *baselines.OBJECTIVES)
    if config.objective not in known:
        raise InputError(f"objective is {config.objective!r}, expected one of {', '.join(known)}")


def remove_intermediate(folder):
    """Delete the files that a finished run no longer needs."""
    for pattern in INTERMEDIATE_FILES:
        for path in folder.glob(pattern):
            path.unlink()


# --- folders and files ---------------------------------------------------------------------------


def prepare_folder(folder, config, classifier_file=None, overwrite=False):
    """Make the run folder, or check that it belongs to this configuration; return its path."""
    folder = pathlib.Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, expected a folder: choose another --out")
    wanted = json.loads(json.dumps(dataclasses.asdict(config)))
    if classifier_file is not None:
        wanted["classifier_sha256"] = evaluation.file_hash(classifier_file)
    settings = folder / "config.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not settings.is_file() and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty and holds no run: choose another --out")
        if settings.is_file() and overwrite:
            remove_run(folder)
        if not settings.is_file():
            write_json(settings, wanted)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): choose another --out") from error
    found = read_json(settings)
    names = sorted(found.keys() | wanted.keys())
    changed = [
        f"{name} {found.get(name)!r} -> {wanted.get(name)!r}"
        for name in names
        if found.get(name) != wanted.get(name)
    ]
    if changed:
        raise InputError(
            f"{folder} holds a run of another configuration ({'; '.join(changed)}): choose another --out, "
            "or --overwrite it"
        )
    return folder


INTERMEDIATE_FILES = ("adversarial-*.npy", "checkpoint-*.weights.h5", "*.partial*")
RUN_FILES = (
    *INTERMEDIATE_FILES,
    "classifier.keras",
    "pssr.keras",
    "*_log.csv",
    "evaluation.json",
    "config.json",
)


def remove_run(folder):
    """Delete the files of a run, the configuration last, and nothing else that may lie in the folder."""
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)
    for pattern in RUN_FILES:
        for path in folder.glob(pattern):
            path.unlink()


def read_json(path):
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise InputError(
            f"{path} is damaged ({error}): choose another --out, or --overwrite the run"
        ) from error


def write_atomically(path, write):
    """Call write(temporary path), then move the result into place: a file is whole or not there.

    The temporary name keeps the suffix, by which Keras and numpy choose a format.
    """
    path = pathlib.Path(path)
    stem, dot, suffix = path.name.partition(".")
    partial = path.with_name(f"{stem}.partial{dot}{suffix}")
    write(partial)
    os.replace(partial, path)


def write_json(path, content):
    text = json.dumps(content, indent=1) + "\n"
    write_atomically(path, lambda partial: partial.write_text(text))


def load_model(path):
    """A `.keras` file, or an error that names it."""
    if not pathlib.Path(path).is_file():
        raise InputError(f"{path} cannot be read: there is no such file")
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises many kinds of error for a damaged archive
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(
            f"{path} is not a whole Keras model that this package can read ({reason})"
        ) from error


# --- data ----------------------------------------------------------------------------------------


def load_splits(config, data_dir=None):
    """Training, validation and test images of an experiment."""
    options = {"source": config.source, "data_dir": data_dir, "exclude_bundled": config.exclude_bundled}
    train = data.load(config.dataset, "train", **options)
    test = data.load(config.dataset, "test", **options)
    train, validation = data.split_validation(train, config.validation_size, config.seed)
    return first(train, config.train_limit, "train"), validation, first(test, config.test_limit, "test")


def first(images, count, split):
    """The first `count` images, or all if it is None."""
    if count is not None and not 1 <= count <= len(images):
        raise InputError(f"n is {count:,}, expected 1 to {len(images):,}, the images of the {split} split")
    return images if count is None else images.take(slice(0, count))


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


# --- callbacks -----------------------------------------------------------------------------------


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
        layers = [layer for layer in self.model._flatten_layers() if hasattr(layer, "seed_generator")]
        for number, layer in enumerate(layers):
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


def learning_rate(peak, steps, warmup_steps):
    """A short linear warm-up to `peak`, then half a cosine down to 0."""
    warmup_steps = min(warmup_steps, steps // 10)
    if warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(peak, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup_steps, warmup_target=peak, warmup_steps=warmup_steps
    )


def fit(model, optimizer, make_dataset, *, label, folder, name, seed, epochs, steps):
    """Train a compiled model for `epochs` of `steps`, from its last checkpoint if there is one.

    Args:
        optimizer: the optimizer of `model` that counts its steps.
        make_dataset: function, first epoch -> batches of all epochs from there on.
        name: of the checkpoint and log files.
    """
    checkpoint = folder / f"checkpoint-{name}.weights.h5"
    if checkpoint.is_file():
        try:
            model.load_weights(checkpoint)
        except Exception as error:  # damaged files raise many kinds of error
            raise InputError(f"{checkpoint} is damaged ({error}): delete it to repeat that stage") from error
    first_epoch = int(optimizer.iterations) // steps
    log = folder / f"{name}_log.csv"
    keep_epochs(log, first_epoch)
    if first_epoch < epochs:
        model.fit(
            make_dataset(first_epoch).prefetch(tf.data.AUTOTUNE),
            initial_epoch=first_epoch,
            epochs=epochs,
            steps_per_epoch=steps,
            shuffle=False,  # the dataset is shuffled
            verbose=0,
            callbacks=[
                SeedEpoch(seed),
                TimeToGo(label, first_epoch, epochs, steps),
                keras.callbacks.CSVLogger(str(log), append=True),
                keras.callbacks.TensorBoard(str(folder / "tensorboard" / name), write_graph=False),
                Checkpoint(checkpoint),
            ],
        )


def keep_epochs(log, epochs):
    """Cut a log back to its first epochs: those after the checkpoint are trained again."""
    if log.is_file():
        with log.open(newline="") as file:
            rows = list(csv.reader(file))
        kept = rows[:1] + [row for row in rows[1:] if len(row) == len(rows[0]) and int(row[0]) < epochs]
        with log.open("w", newline="") as file:
            csv.writer(file).writerows(kept)


# --- stage 1: the classifier ---------------------------------------------------------------------


def shift_images(x, pixels, seed):
    """Move each image of a batch (B, H, W, C) by up to `pixels` along each axis, filling with 0."""
    count, height, width, _ = tf.unstack(tf.shape(x))
    offsets = tf.random.stateless_uniform((count, 2), seed, 0, 2 * pixels + 1, tf.int32)
    x = tf.pad(x, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))
    x = tf.gather(x, offsets[:, :1] + tf.range(height), axis=1, batch_dims=1)
    return tf.gather(x, offsets[:, 1:] + tf.range(width), axis=2, batch_dims=1)


def train_classifier(config, folder, train, validation, classifier_file=None):
    """Stage 1: a classifier trained on clean images, or the one that was brought along."""
    finished = folder / "classifier.keras"
    if finished.is_file():
        return load_model(finished)
    if classifier_file is not None:
        classifier = load_model(classifier_file)
        check_classifier(classifier, validation)
        write_atomically(finished, classifier.save)
        return classifier

    def build():
        return getattr(classifiers, config.classifier)(train.x.shape[1:], train.classes, config.width)

    keras.utils.set_random_seed(config.seed)
    classifier = build()
    size = min(config.classifier_batch_size, len(train))
    steps = len(train) // size
    optimizer = keras.optimizers.Adam(
        learning_rate(config.classifier_learning_rate, config.classifier_epochs * steps, 0)
    )
    optimizer.build(classifier.trainable_variables)
    x, y = tf.constant(train.x), tf.constant(train.y)

    def batch(rows, seed):
        return shift_images(tf.gather(x, rows), config.augment_shift, seed), tf.gather(y, rows)

    model = classifier
    if config.objective == "cross_entropy":
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        classifier.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    else:
        model = robust_training(config, classifier, config.classifier_epochs * steps)
        model.compile(optimizer, jit_compile=False)

    def batch_and_noise(rows, seed):
        noise = tf.random.stateless_uniform((size, *train.x.shape[1:]), seed + 1, -1.0, 1.0)
        return *batch(rows, seed), noise

    def make_dataset(first_epoch):
        batches = epochs_of_batches(len(train), size, config.seed, first_epoch, config.classifier_epochs)
        return batches.map(batch if model is classifier else batch_and_noise, tf.data.AUTOTUNE)

    fit(
        model,
        optimizer,
        make_dataset,
        label=f"training {config.classifier} by {config.objective} on {len(train):,} images",
        folder=folder,
        name="classifier",
        seed=config.seed,
        epochs=config.classifier_epochs,
        steps=steps,
    )
    trained, classifier = classifier, build()  # without the optimizer, which a saved model would drag along
    classifier.set_weights(trained.get_weights())
    flags = evaluation.correct(classifier, validation.x, validation.y)
    print(f"\nvalidation accuracy of {config.classifier}: {100 * flags.mean():.2f}% of {len(flags):,} images")
    write_atomically(finished, classifier.save)
    return classifier


def robust_training(config, classifier, steps):
    """The training of a classifier by one of the baselines' objectives, over so many steps."""
    numbers = {
        "step_size": config.inner_step_size * config.eps,
        "steps": config.inner_steps,
        "one_over_lambda": config.one_over_lambda,
        "penalty": config.gradient_penalty,
    }
    ramp_steps = int(config.ramp_share * steps)
    return baselines.Objective(classifier, config.objective, config.eps, ramp_steps, numbers)


def check_classifier(classifier, images):
    """Refuse a classifier whose inputs or outputs do not fit the images.

    Raises:
        InputError: for another input shape, number of classes, or probabilities.
    """
    shape, outputs = tuple(classifier.input_shape), tuple(classifier.output_shape)
    if shape[1:] != images.x.shape[1:]:
        raise InputError(f"the classifier takes images {shape[1:]}, expected {images.x.shape[1:]}")
    if outputs[1:] != (images.classes,):
        raise InputError(f"the classifier returns {outputs[1:]}, expected ({images.classes},) logits")
    check_logits(classifier.predict(images.x[:100], verbose=0))


def augment(images, copies, pixels, seed):
    """The images, and `copies` - 1 further copies of them, each image moved by up to `pixels`.

    A moved image has another saliency map and other perturbations, so it loses other pixels: it shows E
    another case to restore.
    """
    moved = [images.x]
    for copy in range(1, copies):
        rows = evaluation.batches(len(images), 10_000)
        seeds = [tf.constant([seed, copy * len(images) + part.start], tf.int64) for part in rows]
        moved += [
            shift_images(images.x[part], pixels, key).numpy() for part, key in zip(rows, seeds, strict=True)
        ]
    return dataclasses.replace(
        images,
        x=np.concatenate(moved),
        y=np.tile(images.y, copies),
        indices=np.arange(copies * len(images)),
    )


# --- stage 2: adversarial pairs ------------------------------------------------------------------


def make_attacks(config, names):
    """The attacks of these names at the budget of an experiment."""
    return [attacks.create(name, eps=config.eps) for name in names]


CRAFTED_AT_ONCE = 20_000  # images in a file: what an interruption may cost


def adversarial_images(config, folder, classifier, train, cache=None):
    """Stage 2: the training images under each training attack, a list of (N, H, W, C)."""
    crafted = []
    for attack in make_attacks(config, config.training_attacks):
        attack, labelled = evaluation.with_labels(
            config.attack_labels, attack, classifier, train, config.seed
        )
        if cache is not None:
            label = f"crafting {attack.name} on {len(train):,} training images"
            crafted.append(
                evaluation.craft(attack, classifier, labelled, config.seed, config.batch_size, label, cache)
            )
            continue
        parts = evaluation.batches(len(train), CRAFTED_AT_ONCE)
        paths = [folder / f"adversarial-{attack.name}-{rows.start}.npy" for rows in parts]
        for path, rows in zip(paths, parts, strict=True):
            if not path.is_file():
                label = f"crafting {attack.name} on training images, {rows.stop:,} of {len(train):,}"
                x_adv = evaluation.craft(
                    attack, classifier, labelled.take(rows), config.seed, config.batch_size, label
                )
                write_atomically(path, lambda partial, x_adv=x_adv: np.save(partial, x_adv))
        crafted.append(np.concatenate([read_array(path) for path in paths]))
    return crafted


def read_array(path):
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is damaged ({error}): delete it to craft it again") from error


def remove_salient_pixels(surgery, classifier, versions, batch_size):
    """The trivial components of several arrays of images, one after the other: (sum of N, H, W, C)."""
    if surgery is None:
        return np.concatenate(versions)
    remove = tf.function(lambda batch: surgery.remove(lambda z: classifier(z, training=False), batch))
    x_t = np.empty((sum(map(len, versions)), *versions[0].shape[1:]), np.float32)
    start = 0
    for x in versions:
        size = min(batch_size, len(x))
        for rows in evaluation.batches(len(x), size):
            count = rows.stop - rows.start
            x_t[start : start + count] = remove(evaluation.pad(x[rows], size))[:count]
            start += count
    return x_t


# --- stage 3: the CAE ----------------------------------------------------------------------------


def unfitted_surgery(config):
    """The pixel surgery of an experiment, if any, without the mean over the data set that it may need."""
    surgery = PixelSurgery(config.alpha, config.score, config.channels, config.threshold, config.flat)
    return surgery if config.surgery else None


def train_pssr(config, folder, classifier, train, validation, cache=None):
    """Stages 2 and 3: the pairs, then the CAE; returns the whole defense.

    Args:
        cache: a folder shared by runs that train on the same adversarial images; see `evaluation.craft`.
    """
    finished = folder / "pssr.keras"
    if finished.is_file():
        return load_model(finished)
    train = augment(train, config.cae_copies, config.cae_shift, config.seed)
    versions = [train.x, *adversarial_images(config, folder, classifier, train, cache)]
    surgery = unfitted_surgery(config)
    if surgery is not None and surgery.threshold == "dataset":
        surgery = surgery.fit_mean(classifier, versions)

    keras.utils.set_random_seed(config.seed)
    model = make_cae(config, classifier, train.x.shape[1:])
    size = min(config.cae_batch_size, len(train))
    steps = len(train) // size
    schedule = {"steps": config.cae_epochs * steps, "warmup_steps": config.warmup_steps}
    model.compile(
        keras.optimizers.Adam(learning_rate(config.extrapolator_learning_rate, **schedule)),
        keras.optimizers.Adam(learning_rate(config.discriminator_learning_rate, **schedule), beta_1=0.5),
    )
    x_t = remove_salient_pixels(surgery, classifier, versions, config.batch_size)
    make_dataset = pairs_dataset(config, x_t, train, len(versions), size)
    del versions  # as large as everything that is left
    names = ", ".join(config.training_attacks)
    fit(
        model,
        model.extrapolator_optimizer,
        make_dataset,
        label=f"training the CAE on {len(train):,} images, each benign or under {names}",
        folder=folder,
        name="cae",
        seed=config.seed,
        epochs=config.cae_epochs,
        steps=steps,
    )
    pssr = PSSR(classifier, surgery, model.extrapolator, name="pssr")
    flags = evaluation.correct(pssr, validation.x, validation.y)
    print(f"\nvalidation accuracy of the PSSR: {100 * flags.mean():.2f}% of {len(flags):,} benign images")
    write_atomically(finished, pssr.save)
    return pssr


def make_cae(config, classifier, input_shape):
    """The untrained CAE of an experiment."""
    return cae.CAE(
        cae.extrapolator(
            input_shape, config.extrapolator_channels, config.extrapolator_bottleneck, config.dropout
        ),
        cae.discriminator(input_shape),
        classifier,
        passes=config.passes,
        lambda_adversarial=config.lambda_adversarial,
        lambda_query=config.lambda_query,
        lambda_pixel=config.lambda_pixel,
        lambda_r_drop=config.lambda_r_drop,
        saturating=config.saturating,
        pixel_reduction=config.pixel_reduction,
    )


def pairs_dataset(config, x_t, train, versions, size):
    """Batches (x_t, x, y): each clean image once an epoch, as one of its versions drawn at random.

    Args:
        x_t: (versions * N, H, W, C), the trivial components; benign images come first.
        train: the N clean images.
        versions: number of versions of each image.
        size: images in a batch.

    Returns:
        Function, first epoch -> batches of all epochs from there on.
    """
    count = len(train)

    def pick(rows, version):
        # Large arrays stay in numpy: as TensorFlow constants they would be in memory twice.
        return x_t[version * count + rows], train.x[rows], train.y[rows]

    attacked_share = (1 - config.benign_share) / max(1, versions - 1)
    ends = np.cumsum([config.benign_share] + [attacked_share] * (versions - 1))[:-1].astype(np.float32)

    def batch(rows, seed):
        version = tf.searchsorted(ends, tf.random.stateless_uniform((size,), seed), side="right")
        picked = tf.numpy_function(pick, (rows, version), (tf.float32, tf.float32, tf.int32), stateful=False)
        image = train.x.shape[1:]
        shapes = ((size, *image), (size, *image), (size,))
        return tuple(tf.ensure_shape(part, shape) for part, shape in zip(picked, shapes, strict=True))

    def make_dataset(first_epoch):
        batches = epochs_of_batches(count, size, config.seed, first_epoch, config.cae_epochs)
        return batches.map(batch, tf.data.AUTOTUNE)

    return make_dataset


# --- stage 4: evaluation -------------------------------------------------------------------------


def stages(pssr):
    """The rows of the ablation: the undefended classifier, each stage alone, and the whole PSSR."""
    return {
        "undefended": PSSR(pssr.classifier, None, None, name="undefended"),
        "+PS": PSSR(pssr.classifier, pssr.surgery, None, name="surgery_only"),
        "+CAE": PSSR(pssr.classifier, None, pssr.extrapolator, name="extrapolator_only"),
        "PSSR": pssr,
    }


def evaluate_run(config, pssr, test):
    """Stage 4: all rows under all evaluation attacks, with the whole configuration in the record."""
    suite = make_attacks(config, config.evaluation_attacks)
    start = time.perf_counter()
    record = evaluation.evaluate(
        pssr.classifier,
        stages(pssr),
        test,
        suite,
        seed=config.seed,
        batch_size=config.batch_size,
        progress=True,
    )
    seconds = round(time.perf_counter() - start, 1)
    return {"configuration": dataclasses.asdict(config), "evaluation_seconds": seconds, **record}
