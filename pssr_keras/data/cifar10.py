"""CIFAR-10: colour images of ten kinds of things, the paper's second data set, and every number of it."""

from ..settings import (
    AttackSettings,
    CAESettings,
    ClassifierSettings,
    DataSettings,
    Experiment,
    HardenedSettings,
    RobustSettings,
    SurgerySettings,
)
from . import tiles
from .dataset import DataSet

SHAPE, CLASSES = (32, 32, 3), 10

CLASS_NAMES = "airplane automobile bird cat deer dog frog horse ship truck"

EXPERIMENT = Experiment(
    dataset="cifar10",
    preset="cpu",
    data=DataSettings(
        validation_size=1_000,  # ours, because the paper mentions none; enough for +-2 points
    ),
    classifier=ClassifierSettings(
        architecture="resnet18",  # paper, section 4.1
        width=0.25,  # ours, because width 1 takes ten times as long on two cores
        epochs=30,  # ours, because 200 (section 4.3) take five hours on two cores
        batch_size=128,  # ours, because the paper is silent; usual in the field
        optimizer="sgd",  # ours, because Adam (section 4.3) ends points below it on ResNets
        learning_rate=0.1,  # ours, because it is usual for SGD with batch normalisation
        weight_decay=5e-4,  # ours, because it is usual for ResNets on CIFAR
        warmup_share=0.25,  # ours, because short schedules learn most from one cycle
        augmentation="crop_and_flip:4",  # ours, because the paper is silent; usual in the field
    ),
    robust=RobustSettings(
        inner_steps=4,  # ours, because ten steps take twice as long
        inner_step_size=0.4,  # ours, because four steps reach well across the budget
        ramp_share=0.0,  # ours, because ResNets learn at the whole budget from the start
    ),
    attack=AttackSettings(
        eps=8 / 255,  # paper, section 4.3
        training=("fgsm", "pgd"),  # paper, section 4.3; after ten steps E knows no others
    ),
    surgery=SurgerySettings(
        score="magnitude",  # ours, because it is the best reading on MNIST
        channels="max",  # ours, because of the evidence in results/cifar10/levers.md
        threshold="dataset",  # paper, section 4.5, where the mean is computed before; see levers.md
        flat="keep",  # ours, because removing every pixel of a flat map leaves no image
    ),
    cae=CAESettings(
        extrapolator="unet",  # ours, because a stroke's surroundings do not tell how it ran
        extrapolator_channels=32,  # ours, because the paper is silent
        extrapolator_bottleneck=256,  # ours, because the paper is silent
        extrapolator_start="neighbours",  # ours, because photographs have no blank background
        dropout=0.2,  # ours, because the paper is silent on the rate
        pixel_reduction="sum",  # paper, eq. 9 to the letter
        lambda_pixel=0.003,  # ours, because with 1 (section 3.2) E copies pixels, attack and all
        benign_share=0.5,  # ours, because benign images, with no noise to lean on, are learned last
        copies=1,  # ours, because a second copy of 50,000 colour images exceeds 6 GiB
        augmentation="none",  # ours, because there are no copies
        pair_augmentation="crop_and_flip:2",  # ours, because 50,000 images are soon learned by heart
        epochs=16,  # ours, because 100 (section 4.3) take six hours on two cores
        batch_size=128,  # ours, because the paper is silent
        extrapolator_learning_rate=2e-3,  # ours, because 1e-3 (section 4.3) converges more slowly
        discriminator_learning_rate=1e-3,  # paper, section 4.3
        warmup_steps=200,  # ours, because the first steps at full rate can blank every image
    ),
    hardened=HardenedSettings(
        extrapolator_channels=32,  # ours, because it is the size of the CAE's, and nobody measured others yet
        extrapolator_bottleneck=256,  # ours, because it is the size of the CAE's
        extrapolator_start="identity",  # ours, because no pixels are removed that might be filled
        inner_steps=4,  # ours, because ten steps take twice as long
        inner_step_size=0.4,  # ours, because four steps reach well across the budget
        ramp_share=0.0,  # ours, because ResNets learn at the whole budget from the start
        lambda_pixel=0.003,  # ours, because it is the weight of the CAE for these images
        augmentation="crop_and_flip:4",  # ours, because 50,000 images are soon learned by heart
        epochs=10,  # ours, because nobody measured yet how many it takes
    ),
)

PRESETS = {
    "smoke": {
        "data.train_limit": 1_000,  # ours, because a smoke test needs few images
        "data.validation_size": 100,  # ours, because a smoke test needs few images
        "data.test_limit": 100,  # ours, because a smoke test needs few images
        "classifier.width": 0.125,  # ours, because a smoke test takes minutes
        "classifier.epochs": 4,  # ours, because a smoke test takes minutes
        "cae.extrapolator_channels": 8,  # ours, because a smoke test takes minutes
        "cae.epochs": 2,  # ours, because a smoke test takes minutes
        "hardened.extrapolator_channels": 8,  # ours, because a smoke test takes minutes
        "hardened.inner_steps": 2,  # ours, because a smoke test takes minutes
        "hardened.epochs": 1,  # ours, because a smoke test takes minutes
        "hardened.evaluation": ("pgd:steps=5,best=true",),  # ours, because a smoke test takes minutes
        "hardened.evaluated_images": 50,  # ours, because a smoke test takes minutes
    },
    "cpu": {},
    "paper": {
        "classifier.width": 1.0,  # paper, section 4.1: the published architecture
        "classifier.epochs": 200,  # paper, section 4.3
        "cae.epochs": 100,  # paper, section 4.3
    },
}

CIFAR10 = DataSet(
    name="cifar10",
    title="CIFAR-10",
    class_names=tuple(CLASS_NAMES.split()),
    shape=SHAPE,
    classes=CLASSES,
    train=50_000,
    test=10_000,
    statistics={"mean": (0.4914, 0.4822, 0.4465), "variance": (0.0610, 0.0593, 0.0684)},
    by_content=True,
    bundled=tiles.bundled("cifar10", SHAPE, CLASSES),
    experiment=EXPERIMENT,
    presets=PRESETS,
)
