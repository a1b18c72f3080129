"""The defense of the paper, trained: adversarial pairs, then the CAE under a frozen classifier."""

import dataclasses

from .. import cae, evaluation, pretrained
from ..data import DATASETS, augmentation
from ..defense import PSSR
from ..inputs import InputError
from ..surgery import PixelSurgery
from .devices import ONE_DEVICE
from .fitting import extrapolator_optimizers, fit_networks, made_once
from .pairs import adversarial_images, augment, make_attacks, pairs_dataset, remove_salient_pixels

LOSS = (
    "passes",
    "lambda_adversarial",
    "lambda_query",
    "lambda_pixel",
    "lambda_r_drop",
    "saturating",
    "pixel_reduction",
)  # the numbers of equation 12


def surgery_of(experiment):
    """The pixel surgery of an experiment, without the mean over the data set that it may need."""
    readings = dataclasses.asdict(experiment.surgery)
    del readings["enabled"]
    return PixelSurgery(**readings)


def unfitted_surgery(experiment):
    """As `surgery_of`; None where the experiment leaves it out."""
    surgery = surgery_of(experiment)
    return surgery if experiment.surgery.enabled else None


def check_names(experiment):
    """Refuse unknown attacks, readings and augmentations of an experiment before any work."""
    make_attacks(experiment, experiment.attack.training)
    unfitted_surgery(experiment)
    evaluation.check_labels_kind(experiment.attack.labels)
    augmentation.parse(experiment.cae.augmentation)
    augmentation.parse(experiment.cae.pair_augmentation)
    if experiment.cae.extrapolator_weights:  # before hours of crafting, whether they fit
        untrained = untrained_extrapolator(experiment.cae, DATASETS[experiment.dataset].shape)
        begin_as(untrained, experiment.cae.extrapolator_weights)


def train_pssr(experiment, folder, classifier, train, validation, cache=None, devices=ONE_DEVICE):
    """Stages 2 and 3: the pairs, then the CAE; returns the whole defense.

    Args:
        cache: a folder shared by runs that train on the same adversarial images; see `evaluation.craft`.
        devices: on which to train; see `devices.select`.
    """

    def make():
        surgery = unfitted_surgery(experiment)
        return fitted_pssr(experiment, folder, classifier, train, surgery, cache, devices)

    return made_once("pssr", folder, validation, devices, "the PSSR", make)


def fitted_pssr(experiment, folder, classifier, train, surgery, cache=None, devices=ONE_DEVICE):
    """`train_pssr` without a file of the result, with a surgery or None; intermediate files stay behind."""
    numbers = experiment.cae
    train = augment(train, numbers.copies, numbers.augmentation, experiment.seed)
    versions = [train.x, *adversarial_images(experiment, folder, classifier, train, cache, devices)]
    if surgery is not None and surgery.threshold == "dataset" and surgery.dataset_mean is None:
        surgery = surgery.fit_mean(classifier, versions)

    x_t, count = remove_salient_pixels(surgery, classifier, versions, experiment.batch_size), len(versions)
    del versions  # as large as everything that is left
    extrapolator, model = fit_networks(
        lambda steps: make_cae(experiment, classifier, train.x.shape[1:], devices),
        lambda steps: extrapolator_optimizers(numbers, steps),
        lambda model, size: pairs_dataset(experiment, x_t, train, count, size),
        numbers,
        len(train),
        seed=experiment.seed,
        folder=folder,
        name="cae",
        label=f"training the CAE on {len(train):,} images, each benign or under "
        f"{', '.join(experiment.attack.training)}",
        devices=devices,
    )
    extrapolator.set_weights(model.extrapolator.get_weights())  # on one device they are the same
    return PSSR(classifier, surgery, extrapolator, name="pssr")


def make_cae(experiment, classifier, input_shape, devices=ONE_DEVICE):
    """The untrained E of an experiment, and the CAE that trains it, or on several devices a copy of it."""
    numbers = experiment.cae
    extrapolator = untrained_extrapolator(numbers, input_shape)
    if numbers.extrapolator_weights:
        begin_as(extrapolator, numbers.extrapolator_weights)
    discriminator = cae.discriminator(input_shape)
    parts = [devices.mirrored(part, numbers.passes) for part in (extrapolator, discriminator, classifier)]
    with devices.scope():
        return extrapolator, cae.CAE(*parts, **{name: getattr(numbers, name) for name in LOSS})


def untrained_extrapolator(numbers, input_shape, contrast=0.0):
    """The untrained E of `settings.CAESettings` or `HardenedSettings`, (B, H, W, C) -> the same."""
    return cae.create(
        numbers.extrapolator,
        input_shape,
        numbers.extrapolator_channels,
        numbers.extrapolator_bottleneck,
        numbers.dropout,
        numbers.extrapolator_start,
        contrast,
    )


def begin_as(extrapolator, name):
    """Give E the weights of the E of shipped weights, which restores images of the same shape.

    Raises:
        InputError: if nothing is shipped under that name, or its E is another network.
    """
    other = pretrained.load_pretrained(name).extrapolator
    if [tuple(w.shape) for w in other.weights] != [tuple(w.shape) for w in extrapolator.weights]:
        raise InputError(
            f"cae.extrapolator_weights is {name!r}, whose E has {other.count_params():,} weights, expected "
            f"the network of this experiment with {extrapolator.count_params():,}: set the same channels"
        )
    extrapolator.set_weights(other.get_weights())
