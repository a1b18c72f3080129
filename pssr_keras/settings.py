"""What an experiment consists of: composed groups of numbers; `setting_names` has the names of all of them.

The numbers of a data set stand in `experiments/mnist.py` and its neighbours. Defaults here are the paper's
where it gives a number for every data set ("section" and "eq." name the place), and else what suits small
photographs, so that a new data set needs only what differs. Learning rates are peak values; lengths of
training are in epochs, passes over the clean training images: on fewer images a schedule takes
proportionally less time.
"""

import dataclasses

from .inputs import InputError, check_seed, plain_fields
from .purifiers.arn.settings import ARNSettings
from .purifiers.hardened.settings import HardenedSettings

# What adaptive attackers use where nothing else is asked for: a gradient with a step size and restarts, one
# without a step size that might be chosen badly, and none at all (5,000 queries find few images more).
ADAPTIVE_ATTACKS = (
    "pgd:steps=100,restarts=5,best=true",
    "apgd-ce",
    "square:queries=1000",
)
# What they use on a defense that claims robustness: all of AutoAttack through every surrogate; CW, whose
# distances tell how far from the budget an image stands; and HopSkipJump, which needs answers alone.
STANDARD_ATTACKS = (
    "pgd:steps=100,restarts=5,best=true",
    "autoattack",
    "cw",
    "hop-skip-jump",
)
# What is crafted on other models: the last iterates, as whoever stops when a substitute falls stops early.
TRANSFER_ATTACKS = ("pgd:steps=100", "mim")
CHECKED_IMAGES = 100  # the checks look for failures of tens of percent


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Which images are trained on, validated on and tested on."""

    validation_size: int = 1_000
    source: str = "tfds"  # resolved from "auto" before a run starts
    exclude_bundled: bool = False  # for shipped weights, which must not have seen the bundled images
    train_limit: int | None = None
    test_limit: int | None = None


@dataclasses.dataclass(frozen=True)
class OwnSettings:
    """A data set of a user's own, as it was found; all empty of any other one.

    Attributes:
        path: of the file or folder; a run goes on where only this is another.
        sha256: of the content.
        shape: (H, W, C) of an image.
        classes: number of classes.
        train, test: number of images of each split.
        class_names: of the classes, in order, if they have names.
    """

    path: str = ""
    sha256: str = ""
    shape: tuple[int, ...] = ()
    classes: int = 0
    train: int = 0
    test: int = 0
    class_names: tuple[str, ...] = ()

    def __post_init__(self):
        for name in ("shape", "class_names"):  # a record has lists
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def dataset(self):
        """Its name among the data sets: the same wherever it lies."""
        return f"own-{self.sha256[:8]}"


@dataclasses.dataclass(frozen=True)
class ClassifierSettings:
    """The frozen classifier and its training.

    Attributes:
        architecture: a name of `classifiers.CLASSIFIERS`.
        width: factor on the numbers of channels.
        optimizer: "adam", or "sgd" with Nesterov momentum.
        weight_decay: of "sgd", inside the gradient as Krizhevsky et al. 2012 have it.
        warmup_share: share of the steps over which the learning rate rises.
        schedule: of the learning rate: "cycle" rises, then falls along half a cosine; "steps" begins at its
            peak and falls to a tenth after half, and again after three quarters of the steps.
        augmentation: of the training images, such as "shift:2"; see `data.augmentation`.
        objective: what is minimised, such as "trades:one_over_lambda=3"; see `baselines`.
    """

    architecture: str = "resnet18"
    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 1e-3  # the paper's, section 4.3, with Adam, without decay or warm-up
    augmentation: str = "none"  # what helps depends on the images
    width: float = 1.0
    optimizer: str = "adam"
    weight_decay: float = 0.0
    warmup_share: float = 0.0
    schedule: str = "cycle"  # short schedules learn most from it
    objective: str = "cross_entropy"


@dataclasses.dataclass(frozen=True)
class RobustSettings:
    """The attack inside the training of robust classifiers, the same for all objectives that make one.

    After each of their epochs PGD attacks a few validation images: an objective may select by it, and where
    accuracy under PGD breaks down, the training has overfitted to its own attack.

    With a warm start the training begins with the weights of a classifier that cross-entropy made of the same
    labels. A short training then spends its time on robustness (Jeddi et al. 2020).
    """

    inner_steps: int = 10
    inner_step_size: float = 0.25  # in units of eps
    ramp_share: float = 0.0  # of the training, over which the budget grows to eps
    held_out: int = 500  # a standard error of two points
    held_out_steps: int = 10  # Rice et al. 2020 select by ten steps of 2/255 at 8/255
    held_out_step_size: float = 0.25  # in units of eps
    warm_start: bool = False


@dataclasses.dataclass(frozen=True)
class AttackSettings:
    """Budget and attacks of training and evaluation."""

    eps: float = 8 / 255  # the paper's for colour images, section 4.3
    training: tuple[str, ...] = ("fgsm", "pgd")  # section 4.3
    evaluation: tuple[str, ...] = ("fgsm", "bim", "mim", "pgd")  # section 4.4
    labels: str = "true"  # others are a control of label leaking


@dataclasses.dataclass(frozen=True)
class SurgerySettings:
    """The readings of `surgery.PixelSurgery`."""

    score: str = "magnitude"  # the best reading on MNIST, results/mnist/surgery_readings.md
    channels: str = "each"  # eq. 4 to the letter
    threshold: str = "image"  # eq. 6, where the mean is a function of the image
    flat: str = "keep"  # removing every pixel of a flat map leaves no image
    enabled: bool = True  # the row +CAE of Table 4 leaves it out
    alpha: float = 1.5  # section 4.5
    removal: str = "hard"  # eq. 4
    temperature: float = 0.3  # a mask of removal "soft" then spans half its mean score
    at_most: float = 1.0  # no bound, as in eq. 4


@dataclasses.dataclass(frozen=True)
class CAESettings:
    """The extrapolator E, the losses of equation 12, and their training."""

    extrapolator: str = "unet"  # a kind, see `cae.create`
    extrapolator_channels: int = 32
    extrapolator_bottleneck: int = 256
    extrapolator_start: str = "neighbours"  # see `cae.STARTS`
    dropout: float = 0.2
    pixel_reduction: str = "sum"  # eq. 9 to the letter
    benign_share: float = 0.5  # benign images, with no noise to lean on, are learned last
    copies: int = 1
    augmentation: str = "none"  # of the copies, see `data.augmentation`
    pair_augmentation: str = "none"  # of x_t and x alike, anew whenever they are drawn
    epochs: int = 12
    batch_size: int = 128
    extrapolator_learning_rate: float = 2e-3  # 1e-3 (section 4.3) converges more slowly
    discriminator_learning_rate: float = 1e-3  # section 4.3
    warmup_steps: int = 200  # the first steps at full rate can blank every image
    extrapolator_weights: str = ""  # a name of shipped weights: E begins as theirs
    passes: int = 2  # k of eq. 11
    lambda_adversarial: float = 1.0  # eq. 12; the others are of section 3.2
    lambda_query: float = 1.0
    lambda_pixel: float = 1.0
    lambda_r_drop: float = 0.5
    saturating: bool = True  # eq. 8 to the letter


AT_LEAST_ONE = ("epochs", "batch_size", "copies", "limit", "passes", "images", "held_out")
LIMITS = (
    ("cae", "benign_share", 1),
    ("cae", "dropout", 0.99),
    ("hardened", "dropout", 0.99),
    ("hardened", "ramp_share", 1),
    ("hardened", "attacked_share", 1),
    ("hardened", "averaging", 0.9999),
)  # the largest values that mean something


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One experiment, from data to table.

    Raises:
        InputError: for a number out of its range.
    """

    dataset: str
    preset: str = "cpu"
    data: DataSettings = DataSettings()
    own: OwnSettings = OwnSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    robust: RobustSettings = RobustSettings()
    attack: AttackSettings = AttackSettings()
    surgery: SurgerySettings = SurgerySettings()
    cae: CAESettings = CAESettings()
    hardened: HardenedSettings = dataclasses.field(default_factory=HardenedSettings)
    arn: ARNSettings = dataclasses.field(default_factory=ARNSettings)
    defense: str = "pssr"  # a name of `training.DEFENSES`
    seed: int = 0
    batch_size: int = 500  # of attacks and evaluation, which are fastest there on small images

    def __post_init__(self):
        plain_fields(self)
        for name, group in vars(self).items():
            if dataclasses.is_dataclass(group):
                plain_fields(group, prefix=f"{name}.")
        object.__setattr__(self, "seed", check_seed(self.seed))
        for name, value in flat(self).items():
            if isinstance(value, int | float) and not value >= 0:
                raise InputError(f"{name} is {value}, expected a number >= 0")
            if name.endswith(AT_LEAST_ONE) and value == 0:
                raise InputError(f"{name} is 0, expected at least 1")
        for section, name, limit in LIMITS:
            value = getattr(getattr(self, section), name)
            if value > limit:
                raise InputError(f"{section}.{name} is {value}, expected 0 to {limit}")


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """How much of everything goes into the paper's tables: `reproduction.run` makes them.

    Attributes:
        n: images under FGSM, BIM, MIM and PGD, and benign ones; the whole test split if it has fewer.
        n_iterated: images under BIM, MIM and PGD, and wherever parts of a PSSR are compared; n if None.
        n_strong: images under AutoAttack, CW and adaptive attacks, which take hundreds of times longer.
        strong_attacks, adaptive_attacks: as a user types them.
        standard_attacks: in place of the adaptive ones, on purifiers that claim to stand.
        surrogates: of the purifiers, that adaptive attackers go through; all of them if None.
        alphas: of Fig. 7.
        passes: of Fig. 10(b).
        seeds: of the trainings that are compared.
        main, robust, variant: changes to the preset's experiment: for the undefended classifier and its
            defenses, for classifiers trained by another objective, and for the PSSRs that are compared with
            each other, all alike.
        other: further changes for the substitute of another architecture.
        rows: {row: objective}, in place of those of the data set.
        transfer_rows: of Table 2, in place of those of the data set; those if None.
        architecture: of the classifiers, in place of the data set's.
        minutes: {table: minutes, its training included}, measured in one run and rounded up.
        main_minutes: the training of the classifier and of the long PSSR.
        measured_on: the cores that took so long.
    """

    n: int = 10_000
    n_strong: int = 1_000
    n_iterated: int | None = None
    strong_attacks: tuple[str, ...] = ("autoattack", "cw")  # section 4.2
    adaptive_attacks: tuple[str, ...] = (*ADAPTIVE_ATTACKS, "apgd-t")
    standard_attacks: tuple[str, ...] = STANDARD_ATTACKS[:2]  # the rest took hours and found nothing more
    surrogates: tuple[str, ...] | None = None
    alphas: tuple[float, ...] = (0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0)  # Fig. 7
    passes: tuple[int, ...] = (1, 2, 3, 4)  # Fig. 10(b)
    seeds: tuple[int, ...] = (0, 1, 2)
    main: tuple[str, ...] = ()
    robust: tuple[str, ...] = ()
    variant: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    rows: dict[str, str] = dataclasses.field(default_factory=dict)
    transfer_rows: tuple[str, ...] | None = None
    architecture: str | None = None
    minutes: dict[str, float] = dataclasses.field(default_factory=dict)
    main_minutes: float = 0.0
    measured_on: str = "two cores"


def flat(content):
    """An experiment, or any nested dictionaries such as its record, as one: {dotted name: value}."""
    found = {}
    for name, value in (content if isinstance(content, dict) else dataclasses.asdict(content)).items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": leaf for inner, leaf in flat(value).items()}
        else:
            found[name] = value
    return found
