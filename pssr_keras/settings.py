"""What an experiment consists of: composed groups of numbers, and the names by which a user changes them.

The numbers themselves, each with its reason, stand with the data set they are for: `data/mnist.py` and its
neighbours. Only what the paper gives for every data set is a default here. Learning rates are peak values;
lengths of training are in epochs, passes over the clean training images, so on fewer images the same
schedule takes proportionally less time.
"""

import dataclasses
import difflib
import fractions
import re
import types
import typing

from .inputs import InputError, check_seed, plain_fields

# What adaptive attackers use where nothing else is asked for.
ADAPTIVE_ATTACKS = (
    "pgd:steps=100,restarts=5,best=true",  # ours, because 40 steps of one start leave out what more find
    "apgd-ce",  # ours, because it needs no step size that might be chosen badly
    "square:queries=1000",  # ours, because it needs no gradient; 5,000 queries find few images more
)
# What they use on a defense that claims to stand: all of AutoAttack through every surrogate, and more.
STANDARD_ATTACKS = (
    "pgd:steps=100,restarts=5,best=true",  # ours, because 40 steps of one start leave out what more find
    "autoattack",  # ours, because its four attacks are the field's standard
    "cw",  # ours, because its distances tell how far from the budget an image stands
    "hop-skip-jump",  # ours, because it needs answers alone, whatever becomes of gradients and logits
)
# What is crafted on other models: the last iterates, as whoever stops when a substitute falls stops early.
TRANSFER_ATTACKS = (
    "pgd:steps=100",  # ours, because it goes on where the substitute has long fallen
    "mim",  # ours, because it is made to transfer
)
CHECKED_IMAGES = 100  # ours, because the checks look for failures of tens of percent


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Which images are trained on, validated on and tested on."""

    validation_size: int
    source: str = "tfds"  # resolved from "auto" before a run starts
    exclude_bundled: bool = False  # ours, because only shipped weights must not have seen the bundled images
    train_limit: int | None = None  # ours, because all images are what a data set's numbers are for
    test_limit: int | None = None  # ours, because all images are what a data set's numbers are for


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

    architecture: str
    epochs: int
    batch_size: int
    learning_rate: float
    augmentation: str
    width: float = 1.0  # paper, section 4.1: the published architectures
    optimizer: str = "adam"  # paper, section 4.3
    weight_decay: float = 0.0  # paper, section 4.3 names none
    warmup_share: float = 0.0  # paper, section 4.3 names none
    schedule: str = "cycle"  # ours, because short schedules learn most from one cycle
    objective: str = "cross_entropy"  # paper, Table 1, the undefended row


@dataclasses.dataclass(frozen=True)
class RobustSettings:
    """The attack inside the training of robust classifiers, the same for all objectives that make one.

    After each of their epochs PGD attacks a few validation images: an objective may select by it, and where
    accuracy under PGD breaks down, the training has overfitted to its own attack.

    With a warm start the training begins with the weights of a classifier that cross-entropy made of the same
    labels. A short training then spends its time on robustness (Jeddi et al. 2020).
    """

    inner_steps: int
    inner_step_size: float  # in units of eps
    ramp_share: float  # of the training, over which the budget grows to eps
    held_out: int = 500  # ours, because its standard error is two points; half of the validation images
    held_out_steps: int = 10  # ours, because Rice et al. 2020 select by ten
    held_out_step_size: float = 0.25  # ours, because Rice et al. 2020 take 2/255 of 8/255; in units of eps
    warm_start: bool = False  # ours, because the publications of the objectives begin with random weights


@dataclasses.dataclass(frozen=True)
class AttackSettings:
    """Budget and attacks of training and evaluation."""

    eps: float
    training: tuple[str, ...] = ("fgsm", "pgd")  # paper, section 4.3
    evaluation: tuple[str, ...] = ("fgsm", "bim", "mim", "pgd")  # paper, section 4.4
    labels: str = "true"  # ours, because the paper names none; others are a control of label leaking


@dataclasses.dataclass(frozen=True)
class SurgerySettings:
    """The readings of `surgery.PixelSurgery`."""

    score: str
    channels: str
    threshold: str
    flat: str
    enabled: bool = True  # paper, eq. 7; the row +CAE of Table 4 leaves it out
    alpha: float = 1.5  # paper, section 4.5
    removal: str = "hard"  # paper, eq. 4
    temperature: float = 0.3  # ours, because a mask of removal "soft" then spans half its mean score
    at_most: float = 1.0  # paper, eq. 4, which has no bound


@dataclasses.dataclass(frozen=True)
class CAESettings:
    """The extrapolator E, the losses of equation 12, and their training."""

    extrapolator: str  # a kind, see `cae.create`
    extrapolator_channels: int
    extrapolator_bottleneck: int
    extrapolator_start: str  # see `cae.STARTS`
    dropout: float
    pixel_reduction: str
    benign_share: float
    copies: int
    augmentation: str  # of the copies, see `data.augmentation`
    pair_augmentation: str  # of x_t and x alike, anew whenever they are drawn
    epochs: int
    batch_size: int
    extrapolator_learning_rate: float
    discriminator_learning_rate: float
    warmup_steps: int
    extrapolator_weights: str = ""  # ours, because a name of shipped weights would let E begin as theirs
    passes: int = 2  # paper, eq. 11: k
    lambda_adversarial: float = 1.0  # paper, eq. 12
    lambda_query: float = 1.0  # paper, section 3.2
    lambda_pixel: float = 1.0  # paper, section 3.2
    lambda_r_drop: float = 0.5  # paper, section 3.2
    saturating: bool = True  # paper, eq. 8 to the letter


@dataclasses.dataclass(frozen=True)
class HardenedSettings:
    """A hardened E and its training, see `hardened.HardenedCAE`; the method is ours, and so is every number.

    Attributes:
        mask: what removes pixels before E: "none", or the surgery of the experiment by the saliency of the
            "classifier" or of the "pipeline" F(E(x)).
        extrapolator_contrast: with which E sees its input, see `cae.with_contrast`.
        surrogates: through which the training attacks, names of `attacks.adaptive.SURROGATES`, in turn.
        inner_steps, inner_step_size: of the attack inside the training; the size in units of eps.
        inner_loss: what it raises, a name of `hardened.INNER_LOSSES`.
        ramp_share: of the training, over which the budget grows to eps.
        attacked_share: weight of attacked images in the cross-entropy; clean ones have the rest.
        trades_weight: of KL(F(E(x)) || F(E(x'))), the pairing of TRADES.
        averaging: how much of a moving average of the weights stays at each step; 0 leaves it out.
        augmentation: of the training images, see `data.augmentation`.
        evaluation: attacks through surrogates at the end of a run; commands/evaluate.py runs all others.
        evaluated_images: the first test images, under those.
    """

    extrapolator: str = "bottleneck"  # ours, because it is the kind that was measured
    extrapolator_channels: int = 16  # ours, because it carries most of what 24 channels do at half the time
    extrapolator_bottleneck: int = 128  # ours, because it carries most of what 256 do
    extrapolator_start: str = "identity"  # ours, because it assumes least of the images
    extrapolator_contrast: float = 0.0  # ours, because only images of black and white have a middle to leave
    dropout: float = 0.0  # ours, because an attack through other weights than those that are judged is weak
    mask: str = "none"  # ours, because an attacker moves a mask without gradient
    surrogates: tuple[str, ...] = ("frozen_mask",)  # ours, because it is exact where no mask changes
    inner_steps: int = 7  # ours, because it is usual in adversarial training (Madry et al. 2018)
    inner_step_size: float = 0.25  # ours, because seven steps then reach across the budget and back
    inner_loss: str = "cross_entropy"  # ours, because it is what the attacks of the evaluation raise first
    ramp_share: float = 0.4  # ours, because nothing is learned if a large budget is there from the start
    attacked_share: float = 0.5  # ours, because clean images are to stay right
    trades_weight: float = 0.0  # ours, because cross-entropy alone is the simplest objective
    pixel_reduction: str = "sum"  # paper, eq. 9 to the letter
    passes: int = 1  # ours, because without dropout all passes are one
    lambda_adversarial: float = 0.0  # ours, because what looks real need not be right
    lambda_pixel: float = 0.01  # ours, because it keeps E near images at hardly any cost
    lambda_r_drop: float = 0.0  # ours, because it repeats what the cross-entropy asks for
    saturating: bool = True  # paper, eq. 8 to the letter
    averaging: float = 0.0  # ours, because nobody measured yet what it brings
    augmentation: str = "none"  # ours, because what helps depends on the images
    epochs: int = 4  # ours, because each takes several minutes on two cores
    batch_size: int = 128  # ours, because it is usual in the field
    extrapolator_learning_rate: float = 2e-3  # ours, because it is that of the CAE
    discriminator_learning_rate: float = 1e-3  # paper, section 4.3
    warmup_steps: int = 200  # ours, because it is that of the CAE
    evaluation: tuple[str, ...] = ("pgd:steps=100,best=true", "apgd-ce")  # ours, because more takes hours
    evaluated_images: int = 1_000  # ours, because it is usual in the field


@dataclasses.dataclass(frozen=True)
class ARNSettings:
    """The purifier ARN of the paper's Table 1, see `arn`, trained on the attacks of `AttackSettings`."""

    encoder_channels: int = 16  # ours, because an eighth of the width of Zhou et al. 2021 fits two cores
    encoder_stages: int = 5  # ours, because Zhou et al. 2021 have five on MNIST, down to one pixel
    code_channels: int = 256  # ours, because it is as wide as the last stage
    attack_units: int = 256  # ours, because the code is as wide
    image_channels: int = 16  # ours, because it is as wide as the encoder
    versions_augmentation: str = "none"  # ours, because Zhou et al. 2021 have none on MNIST
    epochs: int = 10  # ours, because 100 passes (Zhou et al. 2021) take ten hours on one core
    batch_size: int = 128  # ours, because 300 (Zhou et al. 2021) leave too few steps in so few epochs
    peak_rate: float = 5e-4  # ours, because 1e-4 (Zhou et al. 2021) is for four times as many steps
    lambda_reconstruction: float = 200.0  # ours, because Zhou et al. 2021 have it
    lambda_prior: float = 1e-3  # ours, because 1e-6 of a sum over 900 images (Zhou et al. 2021) is as much
    lambda_invariance: float = 0.5  # ours, because Zhou et al. 2021 have it
    lambda_image: float = 0.01  # ours, because Zhou et al. 2021 have it
    lambda_penalty: float = 30.0  # ours, because Zhou et al. 2021 have it


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
    preset: str
    data: DataSettings
    classifier: ClassifierSettings
    robust: RobustSettings
    attack: AttackSettings
    surgery: SurgerySettings
    cae: CAESettings
    hardened: HardenedSettings = HardenedSettings()  # ours, because it is no part of the paper
    arn: ARNSettings = ARNSettings()  # ours, because what they are for has them as defaults
    defense: str = "pssr"  # a name of `training.DEFENSES`
    seed: int = 0
    batch_size: int = 500  # ours, because attacks and evaluation of small images are fastest there

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
        n: images under FGSM, BIM, MIM and PGD, and benign ones.
        n_iterated: images under BIM, MIM and PGD, and wherever parts of a PSSR are compared; n if None.
        n_strong: images under AutoAttack, CW and adaptive attacks.
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
        minutes: {table: minutes, its training included}, those of one run, rounded up.
        main_minutes: the training of the classifier and of the long PSSR.
        measured_on: the cores that took so long.
    """

    n: int
    n_strong: int
    n_iterated: int | None = None  # ours, because small images are attacked fast enough
    strong_attacks: tuple[str, ...] = ("autoattack", "cw")  # paper, section 4.2
    adaptive_attacks: tuple[str, ...] = (*ADAPTIVE_ATTACKS, "apgd-t")  # ours, because it is the strongest
    standard_attacks: tuple[str, ...] = STANDARD_ATTACKS[:2]  # ours, because the rest took hours for nothing
    surrogates: tuple[str, ...] | None = None  # ours, because the worst case is that of all
    alphas: tuple[float, ...] = (0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0)  # paper, Fig. 7
    passes: tuple[int, ...] = (1, 2, 3, 4)  # paper, Fig. 10(b)
    seeds: tuple[int, ...] = (0, 1, 2)  # ours, because one training tells nothing of the next
    main: tuple[str, ...] = ()
    robust: tuple[str, ...] = ()
    variant: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    rows: dict[str, str] = dataclasses.field(default_factory=dict)
    transfer_rows: tuple[str, ...] | None = None  # ours, because only a smoke test has no time for them
    architecture: str | None = None  # ours, because only a smoke test has no time for the paper's
    minutes: dict[str, float] = dataclasses.field(default_factory=dict)
    main_minutes: float = 0.0
    measured_on: str = "two cores"  # ours, because a laptop has as many


TABLES_AND_FIGURES = (
    "table_1", "table_2", "table_3", "table_4", "figure_1", "figure_7", "figure_10b", "label_leak",
    "mask_exchange", "seeds",
)  # fmt: skip
MINUTES_OF_SMOKE = dict.fromkeys(TABLES_AND_FIGURES, 0.3)  # ours, because all ten took two to three minutes


# --- names of numbers ----------------------------------------------------------------------------


def _types(cls, prefix=""):
    """{dotted name: type} of all numbers of an experiment."""
    found = {}
    for name, kind in typing.get_type_hints(cls).items():
        found |= _types(kind, f"{prefix}{name}.") if dataclasses.is_dataclass(kind) else {prefix + name: kind}
    return found


TYPES = _types(Experiment)
SET_BY_OPTION = {
    "dataset": "--dataset",
    "preset": "--preset",
    "seed": "--seed",
    "data.source": "--source",
    "data.exclude_bundled": "--exclude-bundled",
    "classifier.architecture": "--classifier, a file of your own",
}

# What a number was called while all of them stood in one list.
FORMER_NAMES = {
    "classifier": "classifier.architecture",
    "classifier_epochs": "classifier.epochs",
    "classifier_batch_size": "classifier.batch_size",
    "classifier_learning_rate": "classifier.learning_rate",
    "training_attacks": "attack.training",
    "evaluation_attacks": "attack.evaluation",
    "attack_labels": "attack.labels",
    "surgery": "surgery.enabled",
    "cae_copies": "cae.copies",
    "cae_epochs": "cae.epochs",
    "cae_batch_size": "cae.batch_size",
}
# What became a field of something else, and how to say it now.
REPLACED = {
    "augment_shift": "classifier.augmentation=shift:{}",
    "cae_shift": "cae.augmentation=shift:{}",
    "one_over_lambda": "classifier.objective=trades:one_over_lambda={}",
    "gradient_penalty": "classifier.objective=gradient_regularisation:penalty={}",
}


def full_name(name, typed=None):
    """The dotted name of a number, from that name, from its last part if no other number has it, or from
    a former name.

    Args:
        name: the name.
        typed: what a user typed, for errors; the name itself if None.

    Raises:
        InputError: for an unknown or ambiguous name.
    """
    typed = name if typed is None else typed
    name = FORMER_NAMES.get(name, name)
    if name in TYPES:
        return name
    found = [known for known in TYPES if known.rpartition(".")[2] == name]
    # What was clear before there was this group stays clear: where both have a name, its own is the full one.
    found = [known for known in found if not known.startswith("hardened.")] or found
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"the setting {typed!r} is ambiguous, expected one of {', '.join(found)}")
    near = {full: max(likeness(name, full), likeness(name, full.rpartition(".")[2])) for full in TYPES}
    nearest = sorted((full for full in near if near[full] > 0.6), key=lambda full: (-near[full], full))[:5]
    expected = f"one such as {', '.join(nearest)}" if nearest else f"one of {', '.join(sorted(TYPES))}"
    raise InputError(f"unknown setting {typed!r}, expected NAME=VALUE with {expected}")


def likeness(first, second):
    """How alike two names are, from 0 to 1."""
    return difflib.SequenceMatcher(None, first, second).ratio()


def parse_value(name, text):
    """The value of a number from what a user types.

    Raises:
        InputError: if it has not the type of the number.
    """
    kind = TYPES[name]
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not types.NoneType)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if typing.get_origin(kind) is tuple:
            return tuple(re.split(r",(?![^:,]*=)", text))  # not where a field of an attack begins
        return float(fractions.Fraction(text)) if kind is float else kind(text)
    except (KeyError, ValueError, ZeroDivisionError):
        expected = {bool: "true or false", int: "an integer", float: "a number such as 0.3 or 8/255"}
        raise InputError(f"{name} is {text!r}, expected {expected[kind]}") from None


def parse_changes(texts):
    """Changes to an experiment from texts such as "cae.epochs=5" or "score=signed": {dotted name: value}.

    Raises:
        InputError: for an unknown or ambiguous name, or a value of another type.
    """
    changes = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if name in REPLACED:
            raise InputError(f"{name} is no setting of its own any more: type {REPLACED[name].format(value)}")
        if not equals:
            raise InputError(f"unknown setting {text!r}, expected NAME=VALUE")
        name = full_name(name, text)
        if name in SET_BY_OPTION:
            raise InputError(f"{name} is not changed by --set {text}: use the option {SET_BY_OPTION[name]}")
        changes[name] = parse_value(name, value)
    return changes


def changed(experiment, changes):
    """An experiment with some of its numbers changed, {name: value}; see `full_name`."""
    own, sections = {}, {}
    for name, value in changes.items():
        section, dot, field = full_name(name).rpartition(".")
        if dot:
            sections.setdefault(section, {})[field] = value
        else:
            own[field] = value
    for section, fields in sections.items():
        own[section] = dataclasses.replace(getattr(experiment, section), **fields)
    return dataclasses.replace(experiment, **own)


def flat(content):
    """An experiment, or any nested dictionaries such as its record, as one: {dotted name: value}."""
    found = {}
    for name, value in (content if isinstance(content, dict) else dataclasses.asdict(content)).items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": leaf for inner, leaf in flat(value).items()}
        else:
            found[name] = value
    return found


def from_record(content):
    """{dotted name: value} from the record of an experiment, also of one from before the numbers had groups.

    Names that mean nothing here stay as they are.
    """
    if any(isinstance(value, dict) for value in content.values()):
        return flat(content)
    found = {}
    for name, value in content.items():
        if name in REPLACED:
            setting, _, text = REPLACED[name].partition("=")
            if setting != "classifier.objective" or content.get("objective", "") == text.partition(":")[0]:
                found[setting] = text.format(value)
            continue
        try:
            found.setdefault(full_name(name), value)
        except InputError:
            found[name] = value
    return found
