"""What the experiments on a data set consist of, and the presets of a data set that has none of its own."""

import dataclasses

from ..settings import Experiment, Reproduction

TABLES_AND_FIGURES = (
    "table_1", "table_2", "table_3", "table_4", "figure_1", "figure_7", "figure_10b", "label_leak",
    "mask_exchange", "seeds",
)  # fmt: skip
MINUTES_OF_SMOKE = dict.fromkeys(TABLES_AND_FIGURES, 0.3)  # measured: all ten take two to three minutes

# Smoke tests show in a minute or two that everything runs; their accuracies mean nothing.
SMOKE = {
    "data.train_limit": 1_000,
    "data.validation_size": 100,
    "data.test_limit": 100,
    "classifier.epochs": 4,
    "cae.extrapolator_channels": 8,
    "cae.epochs": 2,
}
SMOKE_REPRODUCTION = Reproduction(
    n=40,
    n_strong=10,
    strong_attacks=("apgd-ce", "cw:steps=20,searches=2"),
    adaptive_attacks=("pgd:steps=5", "square:queries=10"),
    surrogates=("identity", "frozen_mask"),
    alphas=(1.0, 1.5),
    passes=(1, 2),
    seeds=(0, 1),
    main=("train_limit=400", "classifier.epochs=1", "cae.epochs=1"),
    robust=(
        "train_limit=400",
        "classifier.epochs=1",
        "inner_steps=2",
        "held_out=20",
        "held_out_steps=2",
    ),
    variant=("train_limit=200", "attack.training=fgsm"),
)


@dataclasses.dataclass(frozen=True)
class Experiments:
    """The experiments on one data set: their numbers, and what stands in the tables.

    Attributes:
        experiment: the numbers of preset "cpu".
        presets: {preset: {name: value}}, changes to them.
        rows: {row of Table 1: objective of `baselines`}, how each classifier is trained; no tables without.
        reproductions: {preset: `Reproduction`}, how much goes into the tables.
        last_epochs: {row of Table 1: row of `rows`}, the last epoch of a training that keeps its best one.
        transfer_rows: rows of Table 2; all of `rows` if None.
        published_as: {row: what the paper calls it}, where the names differ.
        defenses: {row of the tables: a name of `training.DEFENSES`}, the purifiers.
        adaptive_defenses: the same of purifiers that claim to stand before an attacker who knows them: in
            Table 3 alone.
        other_architecture: of a second substitute in Table 2, a name of `classifiers.CLASSIFIERS`.
        cw_budget: L2 distance within which success of CW is counted in the tables.
    """

    experiment: Experiment
    presets: dict[str, dict] = dataclasses.field(default_factory=lambda: {"smoke": SMOKE, "cpu": {}})
    rows: dict[str, str] = dataclasses.field(default_factory=dict)
    reproductions: dict[str, Reproduction] = dataclasses.field(
        default_factory=lambda: {"smoke": SMOKE_REPRODUCTION, "cpu": Reproduction()}
    )
    last_epochs: dict[str, str] = dataclasses.field(default_factory=dict)
    transfer_rows: tuple[str, ...] | None = None
    published_as: dict[str, str] = dataclasses.field(default_factory=dict)
    defenses: dict[str, str] = dataclasses.field(default_factory=lambda: {"PSSR": "pssr"})
    adaptive_defenses: dict[str, str] = dataclasses.field(default_factory=dict)
    other_architecture: str | None = None
    cw_budget: float = 0.5  # usual in L2 for small colour images

    @property
    def purifiers(self):
        """All purifiers, {row of the tables: a name of `training.DEFENSES`}."""
        return self.defenses | self.adaptive_defenses
