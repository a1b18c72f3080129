"""A study: which models, which images, who attacks whom, in a folder that can be interrupted.

models/<name>/         run folders, see `training`
cache/                 adversarial images, see `evaluation.cache`
records/<table>.json   one a table
"""

import dataclasses
import json
import pathlib

from .. import attacks, config, data, evaluation, pretrained, training
from ..files import load_model, read_json, write_json
from ..inputs import InputError

WEAK = ("fgsm", "bim", "mim", "pgd")

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
        loaded: models that were read already: what was traced for one table serves the next.
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
        return config.experiment(
            self.dataset,
            preset,
            source=self.source,
            exclude_bundled=self.source != "bundled",  # they are held out from the shipped weights too
            **config.parse_changes(changes) | further,
        )

    @property
    def entry(self):
        """The entry of the data set, with the rows of Table 1."""
        return data.DATASETS[self.dataset]

    @property
    def eps(self):
        return self.experiment(()).attack.eps

    def images(self, strong):
        """The test images of the strong attacks, or of the others."""
        wanted = self.settings.n_strong if strong else self.settings.n
        return self.test.take(slice(0, min(wanted, len(self.test))))

    def suite(self, strong):
        names = self.settings.strong_attacks if strong else WEAK
        return [attacks.parse(name, self.eps) for name in names]

    @property
    def cache(self):
        return self.folder / "cache"

    def classifier(self, row="undefended", seed=0, architecture=None):
        """A classifier of one of the rows of Table 1, trained at the first call."""
        if self.shipped and row == "undefended" and seed == 0 and architecture is None:
            return self.shipped_pssr().classifier
        changes = self.settings.main if row == "undefended" else self.settings.robust
        further = {"objective": self.entry.rows[row], "seed": seed}
        if architecture is not None:
            further["architecture"] = architecture
        experiment = self.experiment(changes, **further)
        objective = experiment.classifier.objective.partition(":")[0]
        name = f"{experiment.classifier.architecture}-{objective}-seed{seed}"
        folder = training.prepare_folder(self.folder / "models" / name, experiment)
        finished = folder / "classifier.keras"
        if not finished.is_file():
            train, validation, _ = training.load_splits(experiment, self.data_dir)
            training.train_classifier(experiment, folder, train, validation)
            training.remove_intermediate(folder)
        return self.load(finished)

    def defense(self, row, name="main", **changes):
        """The purifier of a row of `entry.defenses`, or a variant of it, trained at the first call."""
        kind = self.entry.defenses[row]
        if kind == "pssr" and name == "main" and self.shipped:
            return self.shipped_pssr()
        experiment = self.experiment(
            self.settings.main if name == "main" else (*self.settings.main, *self.settings.variant),
            defense=kind,
            **changes,
        )
        folder = training.prepare_folder(self.folder / "models" / f"{kind}-{name}", experiment)
        finished = folder / f"{kind}.keras"
        if not finished.is_file():
            classifier = self.classifier()
            train, validation, _ = training.load_splits(experiment, self.data_dir)
            cache = self.cache if name != "main" else None
            training.train_defense(experiment, folder, classifier, train, validation, cache)
            training.remove_intermediate(folder)
        return self.load(finished)

    def load(self, path, read=load_model):
        """A model of this study, read at the first call."""
        if path not in self.loaded:
            self.loaded[path] = read(path)
        return self.loaded[path]

    def shipped_pssr(self):
        return self.load(self.dataset, pretrained.load_pretrained)

    def defenses(self):
        """The purifiers of the main tables: {row: model}."""
        return {row: self.defense(row) for row in self.entry.defenses}

    def pssr(self, name="main", **changes):
        """The PSSR of the main tables, or a variant of it, trained at the first call."""
        return self.defense("PSSR", name, **changes)

    def ablation(self, row):
        """The PSSR of a row of Table 4, trained at the first call."""
        return self.pssr(f"variant{row}", **ABLATION[row])

    def evaluate(self, crafted_on, judged, strong=False, **options):
        """`evaluation.evaluate` on the images and attacks of this study."""
        options = {"progress": True, "cache": self.cache} | options
        suite = options.pop("suite", self.suite(strong))
        return evaluation.evaluate(crafted_on, judged, self.images(strong), suite, **options)

    def crafted(self, attack, strong):
        """Images attacked on the undefended classifier, as in Table 1."""
        label = f"{attack.name}, {len(self.images(strong))} images"
        return evaluation.craft(attack, self.classifier(), self.images(strong), label=label, cache=self.cache)

    def description(self, images, suite):
        """What a figure's record says beside its cells."""
        return {
            "data": images.source,
            "n": len(images),
            "seed": 0,
            "threat_model": evaluation.OBLIVIOUS,
            "attacks": {attack.name: attack.get_config() for attack in suite},
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
        InputError: for one without `reproductions` in its entry of `data`.
    """
    known = config.reproductions()
    if name not in known:
        raise InputError(f"no tables of data set {name!r} yet, expected one of {', '.join(known)}")


def open_study(dataset, preset, folder, source="auto", data_dir=None, shipped=False):
    """The study of a folder, which must be new or hold the same one."""
    check_dataset(dataset)
    presets = data.DATASETS[dataset].reproductions
    if preset not in presets:
        raise InputError(f"unknown preset {preset!r}, expected one of {', '.join(presets)}")
    settings = presets[preset]
    source = data.resolve_source(dataset, source, data_dir, ("train", "test"))
    test = data.load(dataset, "test", source, data_dir)
    folder = pathlib.Path(folder)
    wanted = {"dataset": dataset, "preset": preset, "source": source, "shipped": shipped}
    wanted = json.loads(json.dumps(wanted | dataclasses.asdict(settings)))
    described = folder / "study.json"
    if folder.is_file():
        raise InputError(f"{folder} is a file, expected a folder: choose another --out")
    if described.is_file():
        found = read_json(described)
        changed = sorted(name for name in wanted | found if found.get(name) != wanted.get(name))
        if changed:
            raise InputError(
                f"{folder} holds another study ({', '.join(changed)} differ): choose another --out"
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty and holds no study: choose another --out")
    try:
        (folder / "records").mkdir(parents=True, exist_ok=True)
        if not described.is_file():
            write_json(described, wanted)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): choose another --out") from error
    return Study(dataset, preset, settings, folder, source, data_dir, shipped, test)
