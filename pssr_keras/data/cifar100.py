"""CIFAR-100: colour images of a hundred kinds of things, the paper's third data set, every number of it."""

from ..settings import (
    MINUTES_OF_SMOKE,
    AttackSettings,
    CAESettings,
    ClassifierSettings,
    DataSettings,
    Experiment,
    Reproduction,
    RobustSettings,
    SurgerySettings,
)
from . import cifar10, tiles
from .dataset import DataSet

SHAPE, CLASSES = (32, 32, 3), 100

CLASS_NAMES = """
    apple aquarium-fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
    camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
    dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn-mower
    leopard lion lizard lobster man maple-tree motorcycle mountain mouse mushroom oak-tree orange orchid
    otter palm-tree pear pickup-truck pine-tree plain plate poppy porcupine possum rabbit raccoon ray
    road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
    sunflower sweet-pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow-tree wolf woman worm
"""

EXPERIMENT = Experiment(
    dataset="cifar100",
    preset="cpu",
    data=DataSettings(
        validation_size=1_000,  # ours, because the paper mentions none; enough for +-2 points
    ),
    classifier=ClassifierSettings(
        architecture="densenet121_strided",  # paper, section 4.1, at half the resolution: see the width
        width=0.5,  # ours, because width 1 at the whole resolution takes ten times as long
        epochs=20,  # ours, because 200 (section 4.3) take fifteen hours on two cores
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
        training=("fgsm", "pgd:steps=10,step_size=2/255"),  # ours, because 40 steps take four times as long
    ),
    surgery=SurgerySettings(
        score="magnitude",  # ours, because it is the best reading on MNIST
        channels="each",  # paper, eq. 4 to the letter; benign images lose less, see results/cifar10/levers.md
        threshold="image",  # paper, eq. 6, where the mean is a function of the image
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
        epochs=12,  # ours, because 100 (section 4.3) take eleven hours on two cores
        batch_size=128,  # ours, because the paper is silent
        extrapolator_learning_rate=2e-3,  # ours, because 1e-3 (section 4.3) converges more slowly
        discriminator_learning_rate=1e-3,  # paper, section 4.3
        warmup_steps=200,  # ours, because the first steps at full rate can blank every image
    ),
    hardened=cifar10.EXPERIMENT.hardened,  # ours, because nobody measured others for a hundred classes
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
    },
    "cpu": {},
    "paper": {
        "classifier.architecture": "densenet121",  # paper, section 4.1
        "classifier.width": 1.0,  # paper, section 4.1: the published architecture
        "classifier.epochs": 200,  # paper, section 4.3
        "cae.epochs": 100,  # paper, section 4.3
    },
}

REPRODUCTIONS = {
    "smoke": Reproduction(
        n=40,  # ours, because a smoke test needs few images
        n_iterated=20,  # ours, because a smoke test needs few images
        n_strong=10,  # ours, because a smoke test needs few images
        strong_attacks=("apgd-ce", "cw:steps=20,searches=2"),  # ours, because AutoAttack takes minutes
        adaptive_attacks=("pgd:steps=5", "square:queries=10"),  # ours, because each surrogate is attacked
        surrogates=("identity", "frozen_mask"),  # ours, because each takes long to compile
        alphas=(1.0, 1.5),  # ours, because two points show that the figure works
        passes=(1, 2),  # ours, because each is a training of its own
        seeds=(0, 1),  # ours, because each is a training of its own
        architecture="lenet5",  # ours, because the data set's own takes minutes to compile so often
        main=(
            "classifier.width=1",
            "classifier.learning_rate=0.01",
            "train_limit=400",
            "classifier.epochs=1",
            "cae.epochs=1",
            "extrapolator_channels=4",
        ),  # ours, because a smoke test is short
        robust=(
            "classifier.width=1",
            "classifier.learning_rate=0.01",
            "train_limit=400",
            "classifier.epochs=1",
            "warm_start=true",
            "inner_steps=2",
            "held_out=20",
            "held_out_steps=2",
        ),  # ours, because a smoke test is short
        variant=("train_limit=200", "attack.training=fgsm"),  # ours, because a smoke test is short
        transfer_rows=("undefended", "TRADES"),  # ours, because each is a training of its own
        minutes=MINUTES_OF_SMOKE,
    ),
    "cpu": Reproduction(
        n=10_000,  # ours, because the paper names no number; this is the whole test split
        n_iterated=2_000,  # ours, because the standard error is a point, in a fifth of the time
        n_strong=500,  # ours, because 1,000 take hours on two cores; the standard error is two points
        strong_attacks=(
            "autoattack",
            "cw:steps=100,searches=6",
        ),  # ours, because a third of CW's usual steps finds images two percent farther away, as many of them
        robust=(
            "warm_start=true",
            "classifier.learning_rate=0.04",
            "classifier.epochs=3",
            "inner_steps=1",
            "inner_step_size=1",
        ),  # ours, because random weights end at half of its accuracies after as long
        variant=("train_limit=12000", "cae.epochs=5"),  # ours, because there are eleven
        other=("classifier.learning_rate=0.01",),  # ours, because the perceptron has no normalisation
        minutes={
            "table_1": 390,  # ours, because it took so long; so for all below
            "table_2": 230,
            "table_3": 130,
            "table_4": 75,
            "figure_1": 6,
            "figure_7": 9,
            "mask_exchange": 20,
            "seeds": 45,
        },
        main_minutes=330,  # ours, because it took five hours to six
        measured_on="one core",  # ours, because two processes share two cores best, each with its rows
    ),
    "paper": Reproduction(
        n=10_000,  # ours, because the paper names no number; this is the whole test split
        n_strong=10_000,  # ours, because a GPU can attack the whole test split
        robust=(
            "classifier.epochs=100",
            "inner_steps=10",
            "inner_step_size=0.25",
        ),  # ours, because it is usual
        other=("classifier.learning_rate=0.01",),  # ours, because the perceptron has no normalisation
    ),
}

CIFAR100 = DataSet(
    name="cifar100",
    title="CIFAR-100",
    class_names=tuple(CLASS_NAMES.split()),
    shape=SHAPE,
    classes=CLASSES,
    train=50_000,
    test=10_000,
    statistics={"mean": (0.5071, 0.4865, 0.4409), "variance": (0.0715, 0.0658, 0.0763)},
    by_content=True,
    bundled=tiles.bundled("cifar100", SHAPE, CLASSES),
    experiment=EXPERIMENT,
    presets=PRESETS,
    reproductions=REPRODUCTIONS,
    rows={
        "undefended": "cross_entropy",
        "gradient regularisation": "gradient_regularisation",
        # a search of one step cannot begin where the divergence is flat
        "TRADES": "trades:start=8/255",
        "adversarial training": "adversarial_training",
        "RO": "early_stopping",
        "BagT": "bag_of_tricks",
    },
    last_epochs={"RO, last epoch": "RO", "BagT, last epoch": "BagT"},
    transfer_rows=("undefended", "TRADES", "adversarial training"),
    other_architecture="multilayer_perceptron",
    cw_budget=0.5,  # ours, because it is the usual budget in L2 on CIFAR
)
