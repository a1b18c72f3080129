"""The defense of the paper, trained: adversarial pairs, then the CAE under a frozen classifier."""

import keras

from .. import cae, evaluation
from ..data import augmentation
from ..defense import PSSR
from ..files import load_model, write_atomically
from ..surgery import PixelSurgery
from .fitting import fit, learning_rate
from .pairs import adversarial_images, augment, make_attacks, pairs_dataset, remove_salient_pixels


def unfitted_surgery(experiment):
    """The pixel surgery of an experiment, if any, without the mean over the data set that it may need."""
    numbers = experiment.surgery
    surgery = PixelSurgery(numbers.alpha, numbers.score, numbers.channels, numbers.threshold, numbers.flat)
    return surgery if numbers.enabled else None


def check_names(experiment):
    """Refuse unknown attacks, readings and augmentations of an experiment before any work."""
    make_attacks(experiment, experiment.attack.training)
    unfitted_surgery(experiment)
    evaluation.check_labels_kind(experiment.attack.labels)
    augmentation.parse(experiment.cae.augmentation)


def train_pssr(experiment, folder, classifier, train, validation, cache=None):
    """Stages 2 and 3: the pairs, then the CAE; returns the whole defense.

    Args:
        cache: a folder shared by runs that train on the same adversarial images; see `evaluation.craft`.
    """
    finished = folder / "pssr.keras"
    if finished.is_file():
        return load_model(finished)
    numbers = experiment.cae
    train = augment(train, numbers.copies, numbers.augmentation, experiment.seed)
    versions = [train.x, *adversarial_images(experiment, folder, classifier, train, cache)]
    surgery = unfitted_surgery(experiment)
    if surgery is not None and surgery.threshold == "dataset":
        surgery = surgery.fit_mean(classifier, versions)

    keras.utils.set_random_seed(experiment.seed)
    model = make_cae(experiment, classifier, train.x.shape[1:])
    size = min(numbers.batch_size, len(train))
    steps = len(train) // size
    schedule = {"steps": numbers.epochs * steps, "warmup_steps": numbers.warmup_steps}
    model.compile(
        keras.optimizers.Adam(learning_rate(numbers.extrapolator_learning_rate, **schedule)),
        keras.optimizers.Adam(learning_rate(numbers.discriminator_learning_rate, **schedule), beta_1=0.5),
    )
    x_t = remove_salient_pixels(surgery, classifier, versions, experiment.batch_size)
    make_dataset = pairs_dataset(experiment, x_t, train, len(versions), size)
    del versions  # as large as everything that is left
    names = ", ".join(experiment.attack.training)
    fit(
        model,
        model.extrapolator_optimizer,
        make_dataset,
        label=f"training the CAE on {len(train):,} images, each benign or under {names}",
        folder=folder,
        name="cae",
        seed=experiment.seed,
        epochs=numbers.epochs,
        steps=steps,
    )
    pssr = PSSR(classifier, surgery, model.extrapolator, name="pssr")
    flags = evaluation.correct(pssr, validation.x, validation.y)
    print(f"\nvalidation accuracy of the PSSR: {100 * flags.mean():.2f}% of {len(flags):,} benign images")
    write_atomically(finished, pssr.save)
    return pssr


def make_cae(experiment, classifier, input_shape):
    """The untrained CAE of an experiment."""
    numbers = experiment.cae
    return cae.CAE(
        cae.extrapolator(
            input_shape, numbers.extrapolator_channels, numbers.extrapolator_bottleneck, numbers.dropout
        ),
        cae.discriminator(input_shape),
        classifier,
        passes=numbers.passes,
        lambda_adversarial=numbers.lambda_adversarial,
        lambda_query=numbers.lambda_query,
        lambda_pixel=numbers.lambda_pixel,
        lambda_r_drop=numbers.lambda_r_drop,
        saturating=numbers.saturating,
        pixel_reduction=numbers.pixel_reduction,
    )
