"""What the experiments on CIFAR-10 and CIFAR-100 share: nearly all but network and lengths of training.

"Section" and "eq." name the paper's; where it is silent or our choice differs, the reason stands beside the
number. What was tried for CIFAR-10 is told in results/cifar10/levers.md.
"""

from .. import setting_names
from ..settings import (
    AttackSettings,
    CAESettings,
    ClassifierSettings,
    DataSettings,
    Experiment,
    HardenedSettings,
    Reproduction,
    RobustSettings,
    SurgerySettings,
)
from . import base

EXPERIMENT = Experiment(
    dataset="cifar10",
    data=DataSettings(validation_size=1_000),  # enough for +-2 points
    # Short schedules of SGD learn most from one cycle; Adam (section 4.3) ends points below it on ResNets.
    classifier=ClassifierSettings(
        architecture="resnet18",
        batch_size=128,
        optimizer="sgd",
        learning_rate=0.1,
        weight_decay=5e-4,
        warmup_share=0.25,
        augmentation="crop_and_flip:4",
    ),
    robust=RobustSettings(
        inner_steps=4,  # ten take twice as long
        inner_step_size=0.4,  # four steps then reach well across the budget
        ramp_share=0.0,  # these networks learn at the whole budget from the start
    ),
    attack=AttackSettings(
        eps=8 / 255,  # section 4.3
        training=("fgsm", "pgd:steps=10,step_size=2/255"),  # 40 steps take four times as long
    ),
    surgery=SurgerySettings(
        score="magnitude",  # the best reading on MNIST
        channels="each",  # eq. 4 to the letter; benign images lose less
        threshold="image",  # eq. 6; the mean of the data set removes nothing under attack
        flat="keep",
    ),
    cae=CAESettings(
        extrapolator="unet",  # an attack of 8/255 shows in neighbouring pixels, at the full resolution alone
        extrapolator_channels=32,
        extrapolator_bottleneck=256,  # of a U-Net no part
        extrapolator_start="neighbours",  # photographs have no blank background
        dropout=0.2,
        pixel_reduction="sum",  # eq. 9 to the letter
        lambda_pixel=0.003,  # with 1 (section 3.2) E copies pixels, attack and all
        benign_share=0.5,  # benign images, with no noise to lean on, are learned last
        # A second copy of 50,000 colour images exceeds 6 GiB; crops and flips of the pairs stand for copies.
        copies=1,
        augmentation="none",
        pair_augmentation="crop_and_flip:2",
        batch_size=128,
        extrapolator_learning_rate=2e-3,  # 1e-3 (section 4.3) converges more slowly
        discriminator_learning_rate=1e-3,  # section 4.3
        warmup_steps=200,  # the first steps at full rate can blank every image
    ),
    # Not in the paper; measured on CIFAR-10 alone.
    hardened=HardenedSettings(
        extrapolator="autoencoder",  # an E that starts with the image ends up blanking it
        extrapolator_channels=48,  # 64 take a third longer
        extrapolator_bottleneck=256,
        inner_steps=1,  # does most of what ten do (Wong et al. 2020)
        inner_step_size=1.0,  # one step must reach across the budget
        ramp_share=0.05,
        attacked_share=1.0,  # clean images cost half as much again
        lambda_pixel=0.0,  # what E draws need not look like the image to be told apart
        augmentation="crop_and_flip:4",
        epochs=12,  # 80 minutes of one core
    ),
)

SMOKE = base.SMOKE | {"classifier.width": 0.125}
# The published schedules: widths of section 4.1, epochs of section 4.3.
PAPER = {"classifier.width": 1.0, "classifier.epochs": 200, "cae.epochs": 100}

SMOKE_NETWORK = ("classifier.width=1", "classifier.learning_rate=0.01")
SMOKE_MAIN = (
    *SMOKE_NETWORK,
    "train_limit=400",
    "classifier.epochs=1",
    "cae.epochs=1",
    "extrapolator_channels=4",
)
PERCEPTRON = ("classifier.learning_rate=0.01",)  # it has no normalisation


def experiment(dataset, changes):
    """The numbers of preset "cpu" of one of the two, {name: value} beside those that both have."""
    return setting_names.changed(EXPERIMENT, {"dataset": dataset} | changes)


def smoke(**more):
    """The `Reproduction` of preset "smoke": LeNet5, as their own networks take minutes to compile."""
    numbers = vars(base.SMOKE_REPRODUCTION) | {
        "n_iterated": 20,
        "architecture": "lenet5",
        "main": SMOKE_MAIN,
        "robust": (
            *SMOKE_NETWORK,
            "train_limit=400",
            "classifier.epochs=1",
            "warm_start=true",
            "inner_steps=2",
            "held_out=20",
            "held_out_steps=2",
        ),
        "transfer_rows": ("undefended", "TRADES"),
        "minutes": base.MINUTES_OF_SMOKE,
    }
    return Reproduction(**numbers | more)


def cpu(robust_epochs, **more):
    """The `Reproduction` of preset "cpu", robust classifiers trained for some epochs from a warm start.

    Two processes share two cores best, each with rows of its own, so that minutes are those of one core.
    """
    return Reproduction(
        n=10_000,
        n_iterated=2_000,  # the standard error is a point, in a fifth of the time
        n_strong=500,  # 1,000 take hours; the standard error is two points
        # A third of CW's usual steps finds as many images, two percent farther away.
        strong_attacks=("autoattack", "cw:steps=100,searches=6"),
        robust=(
            "warm_start=true",
            "classifier.learning_rate=0.04",
            f"classifier.epochs={robust_epochs}",
            "inner_steps=1",
            "inner_step_size=1",
        ),
        variant=("train_limit=12000", "cae.epochs=5"),  # as there are eleven of them
        other=PERCEPTRON,
        measured_on="one core",
        **more,
    )


def paper(**more):
    """The `Reproduction` of preset "paper": the whole test split, the usual schedule of robust training."""
    return Reproduction(
        n=10_000,
        n_strong=10_000,
        robust=("classifier.epochs=100", "inner_steps=10", "inner_step_size=0.25"),
        other=PERCEPTRON,
        **more,
    )
