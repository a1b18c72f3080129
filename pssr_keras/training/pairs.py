"""Adversarial pairs: attacked training images, their trivial components, and batches of both."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from .. import attacks, evaluation
from ..data import augmentation
from ..files import write_atomically
from ..inputs import InputError
from ..progress import Progress
from .devices import ONE_DEVICE
from .fitting import drawn


def augment(images, copies, kind, seed):
    """The images, and `copies` - 1 further copies of them, changed by an augmentation such as "shift:1".

    A moved image has another saliency map and other perturbations, so it loses other pixels: it shows E
    another case to restore.
    """
    change = augmentation.parse(kind)
    moved = [images.x]
    for copy in range(1, copies):
        rows = evaluation.batches(len(images), 10_000)
        seeds = [tf.constant([seed, copy * len(images) + part.start], tf.int64) for part in rows]
        moved += [change(images.x[part], key).numpy() for part, key in zip(rows, seeds, strict=True)]
    return dataclasses.replace(
        images,
        x=np.concatenate(moved),
        y=np.tile(images.y, copies),
        indices=np.arange(copies * len(images)),
    )


# --- stage 2: adversarial pairs ------------------------------------------------------------------


def make_attacks(experiment, names):
    """The attacks of these names, with fields if need be, at the budget of an experiment."""
    return [attacks.parse(name, experiment.attack.eps) for name in names]


CRAFTED_AT_ONCE = 5_000  # images in a file: what an interruption may cost; minutes for a large network


def adversarial_images(experiment, folder, classifier, train, cache=None, devices=ONE_DEVICE):
    """Stage 2: the training images under each training attack, a list of (N, H, W, C)."""
    crafted = []
    suite = make_attacks(experiment, experiment.attack.training)
    for attack, named in zip(suite, attacks.names_of(suite), strict=True):
        attack, labelled = evaluation.with_labels(
            experiment.attack.labels, attack, classifier, train, experiment.seed
        )
        options = {"seed": experiment.seed, "batch_size": experiment.batch_size}
        if cache is not None:
            label = f"crafting {named} on {len(train):,} training images"
            craft = functools.partial(
                evaluation.craft, attack, classifier, labelled, label=label, cache=cache, **options
            )
            crafted.append(devices.chief_first(craft))  # the other workers read the cache
            continue
        parts = evaluation.batches(len(train), CRAFTED_AT_ONCE)
        paths = [folder / f"adversarial-{attacks.file_name(named)}-{rows.start}.npy" for rows in parts]
        for path, rows in zip(paths, parts, strict=True):
            if not devices.of_chief(path.is_file()):
                label = f"crafting {named} on training images, {rows.stop:,} of {len(train):,}"
                craft = functools.partial(
                    evaluation.craft, attack, classifier, labelled.take(rows), label=label, **options
                )
                devices.write(path, functools.partial(write_array, path, craft))
        images = [read_array(path, rows.stop - rows.start) for path, rows in zip(paths, parts, strict=True)]
        crafted.append(np.concatenate(images))
    return crafted


def write_array(path, make):
    array = make()
    write_atomically(path, lambda partial: np.save(partial, array))


def read_array(path, count):
    """The array in a file, of so many images."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is damaged ({error}): delete it to craft it again") from error
    if len(array) != count:
        raise InputError(
            f"{path} holds {len(array):,} images, expected {count:,}: delete it to craft it again"
        )
    return array


def remove_salient_pixels(surgery, classifier, versions, batch_size):
    """The trivial components of several arrays of images, one after the other: (sum of N, H, W, C)."""
    if surgery is None:
        return np.concatenate(versions)
    remove = tf.function(lambda batch: surgery.remove(lambda z: classifier(z, training=False), batch))
    x_t = np.empty((sum(map(len, versions)), *versions[0].shape[1:]), np.float32)
    start = 0
    progress = Progress(f"removing salient pixels of {len(x_t):,} images, benign and attacked", len(x_t))
    for x in versions:
        size = min(batch_size, len(x))
        for rows in evaluation.batches(len(x), size):
            count = rows.stop - rows.start
            x_t[start : start + count] = remove(evaluation.pad(x[rows], size))[:count]
            start += count
            progress.update(start)
    return x_t


def pairs_dataset(experiment, x_t, train, versions, size):
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

    change = augmentation.parse(experiment.cae.pair_augmentation)
    attacked_share = (1 - experiment.cae.benign_share) / max(1, versions - 1)
    ends = np.cumsum([experiment.cae.benign_share] + [attacked_share] * (versions - 1))[:-1].astype(
        np.float32
    )

    def batch(rows, seed):
        version = tf.searchsorted(ends, tf.random.stateless_uniform((size,), seed), side="right")
        picked = tf.numpy_function(pick, (rows, version), (tf.float32, tf.float32, tf.int32), stateful=False)
        image = train.x.shape[1:]
        shapes = ((size, *image), (size, *image), (size,))
        x_t_batch, x_batch, y_batch = (
            tf.ensure_shape(part, shape) for part, shape in zip(picked, shapes, strict=True)
        )
        both = change(tf.concat([x_t_batch, x_batch], axis=-1), seed + 1)
        return *tf.split(both, 2, axis=-1), y_batch

    return drawn(batch, count, size, experiment.seed, experiment.cae.epochs)
