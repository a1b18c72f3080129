"""Every number of an experiment, in one place, with where it comes from.

`experiment("mnist", "cpu")` is one frozen set of numbers; whatever is not said in `PRESETS` is a
default of `Experiment`. Epochs count passes over the clean training images, so on fewer images the
same preset takes proportionally less time.
"""

import dataclasses

from .inputs import InputError, check_seed

PRESET_NAMES = ("smoke", "cpu", "paper")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One experiment, from data to table. Learning rates are peak values; lengths are in images."""

    dataset: str
    preset: str
    classifier: str  # paper, section 4.1

    # Data
    source: str = "tfds"  # resolved from "auto" before a run starts
    exclude_bundled: bool = False  # ours, because the shipped weights must not have seen the bundled digits
    train_limit: int | None = None  # ours, because a smoke test needs few images
    validation_size: int = 1_000  # ours, because the paper does not mention one; enough for +-0.5 points
    test_limit: int | None = None  # ours, because a smoke test needs few images
    seed: int = 0

    # Classifier
    width: float = 1.0  # paper, section 4.1: the published architectures
    classifier_epochs: int = 30  # ours, because 200 (section 4.3) give no more on MNIST
    classifier_batch_size: int = 128  # ours, because the paper is silent
    classifier_learning_rate: float = 1e-3  # paper, section 4.3, with Adam
    augment_shift: int = 2  # ours, because it lifts LeNet5 to the paper's clean accuracy; in pixels
    objective: str = "cross_entropy"  # paper, Table 1, the undefended row; others are in baselines.py
    inner_steps: int = 10  # ours, because 40 (Madry et al. 2018) take four times as long
    inner_step_size: float = 0.25  # ours, because ten steps reach well across the budget; in units of eps
    ramp_share: float = 0.4  # ours, because LeNet5 learns nothing if eps 0.3 is there from the start
    one_over_lambda: float = 6.0  # paper, Table 1, TRADES
    gradient_penalty: float = 1.0  # ours, because more costs clean accuracy, which the paper's row keeps

    # Attacks
    eps: float = 0.3  # paper, section 4.3
    training_attacks: tuple[str, ...] = ("fgsm", "pgd")  # paper, section 4.3
    attack_labels: str = "true"  # ours, because the paper names none; others are a control of label leaking
    evaluation_attacks: tuple[str, ...] = ("fgsm", "bim", "mim", "pgd")  # paper, section 4.4

    # Pixel surgery
    surgery: bool = True  # paper, eq. 7; the row +CAE of Table 4 leaves it out
    alpha: float = 1.5  # paper, section 4.5
    score: str = "magnitude"  # ours, because of the evidence in results/mnist/surgery_readings.md
    channels: str = "max"  # ours, because a pixel is salient if any of its channels is
    threshold: str = "image"  # paper, eq. 6, where the mean is a function of the image
    flat: str = "keep"  # ours, because removing every pixel of a flat map leaves no image

    # CAE
    extrapolator_channels: int = 32  # ours, because the paper is silent
    extrapolator_bottleneck: int = 256  # ours, because the paper is silent
    dropout: float = 0.2  # ours, because the paper is silent on the rate
    passes: int = 2  # paper, eq. 11: k
    lambda_adversarial: float = 1.0  # paper, eq. 12
    lambda_query: float = 1.0  # paper, section 3.2
    lambda_pixel: float = 1.0  # paper, section 3.2
    lambda_r_drop: float = 0.5  # paper, section 3.2
    pixel_reduction: str = "sum"  # paper, eq. 9 to the letter; with "mean" E draws patterns, not digits
    saturating: bool = True  # paper, eq. 8 to the letter
    benign_share: float = 0.5  # ours, because benign images, with no noise to lean on, are learned last
    cae_copies: int = 3  # ours, because further copies, slightly moved, show E other removed pixels
    cae_shift: int = 1  # ours, because digits are centred to about a pixel; see cae_copies
    cae_epochs: int = 15  # ours, because 100 (section 4.3) exceed an hour on two cores
    cae_batch_size: int = 128  # ours, because the paper is silent
    extrapolator_learning_rate: float = 2e-3  # ours, because 1e-3 (section 4.3) converges more slowly
    discriminator_learning_rate: float = 1e-3  # paper, section 4.3
    warmup_steps: int = 200  # ours, because the first steps at full rate can blank every image

    batch_size: int = 500  # ours, because attacks and evaluation are fastest there

    def __post_init__(self):
        check_seed(self.seed)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not value >= 0:
                raise InputError(f"{field.name} is {value}, expected a number >= 0")
            if field.name.endswith(("epochs", "batch_size", "copies", "limit", "passes")) and value == 0:
                raise InputError(f"{field.name} is 0, expected at least 1")
        for name, limit in {"benign_share": 1, "dropout": 0.99}.items():
            if getattr(self, name) > limit:
                raise InputError(f"{name} is {getattr(self, name)}, expected 0 to {limit}")


PRESETS = {
    "mnist": {
        "smoke": {
            "train_limit": 1_500,
            "validation_size": 200,
            "test_limit": 200,
            "classifier_epochs": 4,
            "cae_copies": 1,
            "cae_epochs": 2,
        },
        "cpu": {},
        "paper": {
            "classifier_epochs": 200,  # paper, section 4.3
            "cae_epochs": 100,  # paper, section 4.3
        },
    },
}


# What adaptive attackers use where nothing else is asked for.
ADAPTIVE_ATTACKS = (
    "pgd:steps=100,restarts=5,best=true",  # ours, because 40 steps of one start leave out what more find
    "apgd-ce",  # ours, because it needs no step size that might be chosen badly
    "square:queries=1000",  # ours, because it needs no gradient; 5,000 queries find few images more
)
CW_BUDGET = 2.0  # ours, because half of the images under CW on LeNet5 move by 1.3, nearly all by less than 2
CHECKED_IMAGES = 100  # ours, because the checks look for failures of tens of percent


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """How much of everything goes into the paper's tables: `reproduction.run` makes them."""

    # Images under FGSM, BIM, MIM and PGD, and under AutoAttack, CW and adaptive attacks.
    n: int  # ours, because the paper names no number; 10,000 is the whole test split
    n_strong: int  # ours, because these attacks take hundreds of times longer; 1,000 is usual in the field
    strong_attacks: tuple[str, ...] = ("autoattack", "cw")  # paper, section 4.2
    adaptive_attacks: tuple[str, ...] = (*ADAPTIVE_ATTACKS, "apgd-t")  # ours, because it is the strongest
    alphas: tuple[float, ...] = (0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0)  # paper, Fig. 7
    passes: tuple[int, ...] = (1, 2, 3, 4)  # paper, Fig. 10(b)
    seeds: tuple[int, ...] = (0, 1, 2)  # ours, because one training tells nothing of the next
    # Changes to the preset's experiment: for the undefended classifier and its PSSR, for classifiers trained
    # by another objective, and for the PSSRs that are compared with each other, all alike.
    main: tuple[str, ...] = ()  # ours, because a smoke test needs little
    robust: tuple[str, ...] = ()  # ours, because each of their epochs takes as long as ten others
    variant: tuple[str, ...] = ()  # ours, because eleven of them must fit into an hour


REPRODUCTIONS = {
    "mnist": {
        "smoke": Reproduction(
            n=40,
            n_strong=10,
            strong_attacks=("apgd-ce", "cw:steps=20,searches=2"),
            adaptive_attacks=("pgd:steps=5", "square:queries=10"),
            alphas=(1.0, 1.5),
            passes=(1, 2),
            seeds=(0, 1),
            main=("train_limit=600", "classifier_epochs=2", "cae_epochs=1"),
            robust=("train_limit=600", "classifier_epochs=1", "inner_steps=2"),
            variant=("train_limit=300", "cae_epochs=1"),
        ),
        "cpu": Reproduction(
            n=10_000,
            n_strong=1_000,
            robust=("classifier_epochs=12",),
            variant=("train_limit=20000", "cae_copies=1", "cae_epochs=9"),
        ),
        "paper": Reproduction(n=10_000, n_strong=10_000, robust=("classifier_epochs=100",)),
    },
}


OPTIONS = (
    "dataset",
    "preset",
    "classifier",
    "source",
    "seed",
    "exclude_bundled",
)  # scripts have them by name


def parse_changes(settings):
    """Changes to an experiment from texts such as "cae_epochs=5" or "score=signed".

    Raises:
        InputError: for an unknown field, or a value of another type.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(Experiment)}
    changes = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in defaults or name in OPTIONS:
            raise InputError(
                f"unknown setting {setting!r}, expected NAME=VALUE with a field of config.Experiment"
            )
        default = defaults[name]
        try:
            if isinstance(default, bool):
                changes[name] = {"true": True, "false": False}[text.lower()]
            elif isinstance(default, tuple):
                changes[name] = tuple(text.split(","))
            elif default is None:
                changes[name] = int(text)
            else:
                changes[name] = type(default)(text)
        except (KeyError, ValueError):
            kind = "int" if default is None else type(default).__name__
            raise InputError(f"{name} is {text!r}, expected a value of type {kind}") from None
    return changes


def experiment(dataset, preset, **changes):
    """The experiment of a data set and a preset, with some fields changed.

    Raises:
        InputError: for a data set or preset without an entry in `PRESETS`.
    """
    if dataset not in PRESETS:
        raise InputError(f"unknown data set {dataset!r}, expected one of {', '.join(PRESETS)}")
    if preset not in PRESETS[dataset]:
        raise InputError(f"unknown preset {preset!r}, expected one of {', '.join(PRESETS[dataset])}")
    classifier = {"mnist": "lenet5", "cifar10": "resnet18", "cifar100": "densenet121"}[dataset]
    fields = {"dataset": dataset, "preset": preset, "classifier": classifier, **PRESETS[dataset][preset]}
    return Experiment(**fields | changes)
