"""A study: which models, which images, who attacks whom, in a folder that can be interrupted.

models/<name>/         run folders, see `training`
cache/                 adversarial images, see `evaluation.cache`
records/<table>.json   one a table
"""

import dataclasses
import functools
import json
import pathlib
import re

from .. import attacks, baselines, config, data, evaluation, locks, pretrained, training
from ..experiments import EXPERIMENTS
from ..files import expanded, load_model, read_json, write_json
from ..inputs import InputError

WEAK = ("fgsm", "bim", "mim", "pgd")
ONE_STEP = ("fgsm",)

# The PSSRs that are compared with each other: changes of the variant's numbers. Where neither E nor its
# passes differ, the same training serves several tables.
NO_R_DROP = {"cae.passes": 1, "cae.lambda_r_drop": 0.0}
ABLATION = {
    "+CAE": {"surgery.enabled": False, **NO_R_DROP},
    "+PS&CAE": NO_R_DROP,
    "+PS&CAE&ARD": {},
    "+CAE&ARD": {"surgery.enabled": False},
}


@dataclasses.dataclass(frozen=True)
class Study:
    """Everything a table needs: the numbers, the folder, the test images.

    Attributes:
        dataset, preset: see `config`.
        settings: `settings.Reproduction`.
        folder: of models, cache and records.
        source, data_dir: of the data, see `data.load`.
        shipped: take classifier and PSSR from the shipped weights instead of training them.
        test: the test images.
        loaded: models and images that were read already; what was traced for one table serves the next.
    """

    dataset: str
    preset: str
    settings: config.Reproduction
    folder: pathlib.Path
    source: str
    data_dir: str | None
    shipped: bool
    test: data.Images
    loaded: dict = dataclasses.field(default_factory=dict, repr=False, compare=False)

    def experiment(self, changes, **further):
        """The numbers of one training."""
        preset = "cpu" if self.preset == "smoke" else self.preset
        if self.settings.architecture is not None:
            further = {"architecture": self.settings.architecture} | further
        return config.experiment(
            self.dataset,
            preset,
            source=self.source,
            exclude_bundled=self.source != "bundled",  # they are held out from the shipped weights too
            **config.parse_changes(changes) | further,
        )

    @property
    def entry(self):
        """The experiments on the data set, with the rows of Table 1."""
        return EXPERIMENTS[self.dataset]

    @property
    def eps(self):
        return self.experiment(()).attack.eps

    def images(self, strong=False, one_step=False):
        """The test images of the strong attacks, of those of one step, or of the others."""
        numbers = self.settings
        wanted = numbers.n_strong if strong else numbers.n
        if not strong and not one_step and numbers.n_iterated is not None:
            wanted = numbers.n_iterated
        return self.test.take(slice(0, min(wanted, len(self.test))))

    def suite(self, strong):
        names = self.settings.strong_attacks if strong else WEAK
        return [attacks.parse(name, self.eps) for name in names]

    def groups(self, strong=True):
        """The attacks with their images, [(images, attacks)]: the more an attack costs, the fewer images.

        Args:
            strong: with the strong attacks, or without.
        """
        weak = self.suite(strong=False)
        found = [(self.images(), weak)]
        if len(self.images()) != len(self.images(one_step=True)):
            quick = [attack for attack in weak if attack.name in ONE_STEP]
            slow = [attack for attack in weak if attack.name not in ONE_STEP]
            found = [(self.images(one_step=True), quick), (self.images(), slow)]
        return found + ([(self.images(strong=True), self.suite(strong=True))] if strong else [])

    @property
    def cache(self):
        return self.folder / "cache"

    def objective(self, row):
        """How the classifier of a row is trained, as `baselines.parse` takes it."""
        return (self.entry.rows | self.settings.rows)[row]

    def classifier(self, row="undefended", seed=0, architecture=None, last=False):
        """A classifier of one of the rows of Table 1, trained at the first call.

        Args:
            row: of `entry.rows`.
            seed: of the training.
            architecture: another one than the data set's.
            last: the last epoch of a training that keeps its best one.
        """
        if self.shipped and row == "undefended" and seed == 0 and architecture is None:
            return self.pssr().classifier
        experiment, folder = self.training_of(row, seed, architecture)

        def train():
            images, validation, _ = self.splits(experiment)
            training.train_classifier(
                experiment, folder, images, validation, start=self.start_of(row, seed, architecture)
            )

        self.make_once(experiment, folder / "classifier.keras", train)
        return self.load(folder / ("classifier_last.keras" if last else "classifier.keras"))

    def make_once(self, experiment, finished, train):
        """Call train(), which ends with the file `finished` of its run folder, unless that is there.

        Another process that trains it is waited for: then it is there.
        """
        if not finished.is_file():
            with training.working_in(finished.parent, wait=True):
                training.prepare_folder(finished.parent, experiment)
                if not finished.is_file():
                    train()
                    training.remove_intermediate(finished.parent)
        training.prepare_folder(finished.parent, experiment)  # whether it is the one that was asked for

    def start_of(self, row, seed, architecture):
        """`start` of `training.train_classifier`: the undefended classifier of the same seed.

        None for a row from which labels are hidden, for that classifier knows them all.
        """
        if baselines.parse(self.objective(row)).hides_labels:
            return None
        return functools.partial(self.classifier, "undefended", seed, architecture)

    def training_of(self, row, seed=0, architecture=None):
        """The numbers and the folder of a classifier's training."""
        changes = self.settings.main if row == "undefended" else self.settings.robust
        further = {"objective": self.objective(row), "seed": seed}
        if architecture is not None:
            changes = (*changes, *self.settings.other)
            further["architecture"] = architecture
        experiment = self.experiment(changes, **further)
        objective = re.sub(r"[^\w.]+", "-", experiment.classifier.objective)
        name = f"{experiment.classifier.architecture}-{objective}-seed{seed}"
        return experiment, self.folder / "models" / name

    def trainings(self):
        """What there is to tell of the trainings of Table 1: {row: contents of its classifier.json}."""
        found = {}
        for row in self.entry.rows:
            path = self.training_of(row)[1] / "classifier.json"
            if path.is_file():
                found[row] = read_json(path)
        return found

    def schedule(self):
        """The network of Table 1 and the schedule of its robust trainings, for captions."""
        experiment = self.experiment(self.settings.robust)
        return {
            "architecture": experiment.classifier.architecture,
            "width": experiment.classifier.width,
            "train_limit": experiment.data.train_limit,
            "epochs": experiment.classifier.epochs,
            "inner_steps": experiment.robust.inner_steps,
            "warm_start": experiment.robust.warm_start,
        }

    def defense(self, row, name="main", **changes):
        """The purifier of a row of `entry.purifiers`, or a variant of it, trained at the first call."""
        kind = self.entry.purifiers[row]
        if name == "main" and self.shipped and self.shipped_name(kind) in pretrained.names():
            return self.load(self.shipped_name(kind), pretrained.load_pretrained)
        experiment = self.experiment(
            self.settings.main if name == "main" else (*self.settings.main, *self.settings.variant),
            defense=kind,
            **changes,
        )
        finished = self.folder / "models" / f"{kind}-{name}" / f"{kind}.keras"

        def train():
            classifier = self.classifier()
            images, validation, _ = self.splits(experiment)
            cache = self.cache if name != "main" else None
            training.train_defense(experiment, finished.parent, classifier, images, validation, cache)

        self.make_once(experiment, finished, train)
        return self.load(finished)

    def splits(self, experiment):
        """Training, validation and test images of an experiment; a study has many, of the same files."""

        def read(dataset, split, **options):
            key = (dataset, split, *sorted(options.items()))
            return self.load(key, lambda _: data.load(dataset, split, **options))

        return training.load_splits(experiment, self.data_dir, read)

    def load(self, path, read=load_model):
        """A model of this study by its path, or what `read` makes of another key, read at the first call."""
        if path not in self.loaded:
            self.loaded[path] = read(path)
        return self.loaded[path]

    def shipped_name(self, kind):
        """What the shipped weights of a purifier are called, if there are any."""
        return self.dataset if kind == "pssr" else f"{self.dataset}-{kind}"

    def pssr(self, name="main", **changes):
        """The PSSR of the main tables, or a variant of it, trained at the first call."""
        return self.defense("PSSR", name, **changes)

    def ablation(self, row):
        """The PSSR of a row of Table 4, trained at the first call."""
        return self.pssr(f"variant{row}", **ABLATION[row])

    def evaluate(self, crafted_on, judged, strong=False, images=None, suite=None, **options):
        """`evaluation.evaluate` on images and attacks of this study, the strong ones or the others.

        Unless another threat model is named, who is judged beside `crafted_on` is a purifier before that
        classifier, whose own copy of it was read from its file: the attacker is oblivious.
        """
        if any(model is not crafted_on for model in judged.values()):
            options = {"threat_model": evaluation.OBLIVIOUS} | options
        options = {"progress": True, "cache": self.cache} | options
        images = self.images(strong) if images is None else images
        suite = self.suite(strong) if suite is None else suite
        return evaluation.evaluate(crafted_on, judged, images, suite, **options)

    def evaluations(self, crafted_on, judged, strong=True, **options):
        """A record of `evaluate` for each of `groups`."""
        return [
            self.evaluate(crafted_on, judged, images=images, suite=suite, **options)
            for images, suite in self.groups(strong)
        ]

    def crafted(self, attack, images):
        """Images attacked on the undefended classifier, as in Table 1."""
        label = f"{attack.name}, {len(images)} images"
        return evaluation.craft(attack, self.classifier(), images, label=label, cache=self.cache)

    def description(self, images, suite):
        """What a figure's record says beside its cells."""
        return {
            "data": images.source,
            "n": len(images),
            "seed": 0,
            "threat_model": evaluation.OBLIVIOUS,
            "attacks": {
                name: attack.get_config() for name, attack in zip(attacks.names_of(suite), suite, strict=True)
            },
            "versions": evaluation.versions(),
            "weights": evaluation.weights_hash(self.classifier()),
        }

    def variants(self):
        """Training numbers of the variants, for captions."""
        experiment = self.experiment((*self.settings.main, *self.settings.variant))
        return {
            "train_limit": experiment.data.train_limit,
            "cae_copies": experiment.cae.copies,
            "cae_epochs": experiment.cae.epochs,
            "cae_batch_size": experiment.cae.batch_size,
        }


def check_dataset(name):
    """Refuse a data set whose tables cannot be made.

    Raises:
        InputError: for one without `rows` in its entry of `experiments`.
    """
    known = config.reproductions()
    if name not in known:
        raise InputError(f"no tables of data set {name!r} yet, expected one of {', '.join(known)}")


# Estimates: they change no result, so a study outlives their change.
DISPLAY_ONLY = {"minutes", "main_minutes", "measured_on"}
LOCK = "study.lock"


def open_study(dataset, preset, folder, source="auto", data_dir=None, shipped=False, changes=()):
    """The study of a folder, which must be new or hold the same one; see `making.run`."""
    check_dataset(dataset)
    presets = config.reproductions()[dataset]
    if preset not in presets:
        raise InputError(f"unknown preset {preset!r}, expected one of {', '.join(presets)}")
    settings = presets[preset]
    named = "cpu" if preset == "smoke" else preset  # see `Study.experiment`
    training.check_names(config.experiment(dataset, named, **config.parse_changes(changes)))
    lists = {name: (*getattr(settings, name), *changes) for name in ("main", "robust", "variant")}
    settings = dataclasses.replace(settings, **lists)
    source = data.resolve_source(dataset, source, data_dir, ("train", "test"))
    test = data.load(dataset, "test", source, data_dir)
    folder = expanded(folder)
    wanted = {"dataset": dataset, "preset": preset, "source": source, "shipped": shipped}
    wanted = json.loads(json.dumps(wanted | dataclasses.asdict(settings)))
    described = folder / "study.json"
    if folder.is_file():
        raise InputError(f"{folder} is a file, expected a folder: choose another --out")
    try:
        if not described.is_file():
            names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
            others = {name for name in names if name != LOCK and not name.startswith("study.partial-")}
            if others and not described.is_file():
                raise InputError(f"{folder} is not empty and holds no study: choose another --out")
            folder.mkdir(parents=True, exist_ok=True)
            with locks.in_turn(folder / LOCK):  # another process may begin the same study
                if not described.is_file():
                    write_json(described, wanted)
        (folder / "records").mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): choose another --out") from error
    unset = config.Reproduction(n=0, n_strong=0)  # what a study lacks is younger than it is
    found = json.loads(json.dumps(dataclasses.asdict(unset))) | read_json(described)
    names = (wanted | found).keys() - DISPLAY_ONLY
    changed = sorted(name for name in names if found.get(name) != wanted.get(name))
    if changed:
        raise InputError(f"{folder} holds another study ({', '.join(changed)} differ): choose another --out")
    return Study(dataset, preset, settings, folder, source, data_dir, shipped, test)
