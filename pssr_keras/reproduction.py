"""The paper's tables and figures of numbers, made anew: which models, which images, who attacks whom.

A study is a folder. Models are trained there once, adversarial images are cached, and each table leaves a
record; what is finished is read, not repeated, so the same command goes on where it stopped.

    models/<name>/         run folders, see `training`
    cache/                 adversarial images, see `cache`
    records/<table>.json   one a table

A table's record holds `parts`, each a record of `evaluation.evaluate`; `row_of` puts a row together.
"""

import dataclasses
import json
import pathlib
import time

import numpy as np
import tensorflow as tf

from . import attacks, checks, config, data, evaluation, pretrained, surgery, training
from .attacks import adaptive
from .defense import PSSR
from .inputs import InputError

# Rows of Table 1: how each classifier is trained.
OBJECTIVES = {
    "undefended": "cross_entropy",
    "gradient regularisation": "gradient_regularisation",
    "TRADES": "trades",
    "adversarial training": "adversarial_training",
}
WEAK = ("fgsm", "bim", "mim", "pgd")
OTHER_ARCHITECTURE = "multilayer_perceptron"  # of a second substitute in Table 2

# The PSSRs that are compared with each other: changes of the variant's numbers. Where neither E nor its
# passes differ, the same training serves several tables.
NO_R_DROP = {"passes": 1, "lambda_r_drop": 0.0}
ABLATION = {
    "+CAE": {"surgery": False, **NO_R_DROP},
    "+PS&CAE": NO_R_DROP,
    "+PS&CAE&ARD": {},
    "+CAE&ARD": {"surgery": False},
}


@dataclasses.dataclass(frozen=True)
class Study:
    """Everything a table needs: the numbers, the folder, the test images.

    Attributes:
        dataset, preset: see `config`.
        settings: `config.Reproduction`.
        folder: of models, cache and records.
        source, data_dir: of the data, see `data.load`.
        shipped: take classifier and PSSR from the shipped weights instead of training them.
        test: the test images.
    """

    dataset: str
    preset: str
    settings: config.Reproduction
    folder: pathlib.Path
    source: str
    data_dir: str | None
    shipped: bool
    test: data.Images

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

    def images(self, strong):
        """The test images of the strong attacks, or of the others."""
        wanted = self.settings.n_strong if strong else self.settings.n
        return self.test.take(slice(0, min(wanted, len(self.test))))

    def suite(self, strong):
        names = self.settings.strong_attacks if strong else WEAK
        return [attacks.parse(name, self.experiment(()).eps) for name in names]

    @property
    def cache(self):
        return self.folder / "cache"

    def classifier(self, row="undefended", seed=0, architecture=None):
        """A classifier of one of the rows of Table 1, trained at the first call."""
        if self.shipped and row == "undefended" and seed == 0 and architecture is None:
            return pretrained.load_pretrained(self.dataset).classifier
        changes = self.settings.main if row == "undefended" else self.settings.robust
        further = {"objective": OBJECTIVES[row], "seed": seed}
        if architecture is not None:
            further["classifier"] = architecture
        experiment = self.experiment(changes, **further)
        name = f"{experiment.classifier}-{OBJECTIVES[row]}-seed{seed}"
        folder = training.prepare_folder(self.folder / "models" / name, experiment)
        finished = folder / "classifier.keras"
        if not finished.is_file():
            train, validation, _ = training.load_splits(experiment, self.data_dir)
            training.train_classifier(experiment, folder, train, validation)
            training.remove_intermediate(folder)
        return training.load_model(finished)

    def pssr(self, name="main", **changes):
        """The PSSR of the main tables, or a variant of it, trained at the first call."""
        if name == "main" and self.shipped:
            return pretrained.load_pretrained(self.dataset)
        experiment = self.experiment(
            self.settings.main if name == "main" else (*self.settings.main, *self.settings.variant), **changes
        )
        folder = training.prepare_folder(self.folder / "models" / f"pssr-{name}", experiment)
        finished = folder / "pssr.keras"
        if not finished.is_file():
            classifier = self.classifier()
            train, validation, _ = training.load_splits(experiment, self.data_dir)
            cache = self.cache if name != "main" else None
            training.train_pssr(experiment, folder, classifier, train, validation, cache)
            training.remove_intermediate(folder)
        return training.load_model(finished)

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
            name: getattr(experiment, name)
            for name in ("train_limit", "cae_copies", "cae_epochs", "cae_batch_size")
        }


CW_WITHIN = "cw within budget"


def row_of(record, row):
    """The cells of a row, {column: cell}, from the parts of a table's record; the first to name one wins.

    Beside CW without a budget stands CW within `config.CW_BUDGET`.
    """
    cells = {}
    for part in record["parts"]:
        found = dict(part["cells"].get(row, {}))
        if "cw" in found and "distances" in part["attacks"]["cw"]:
            distances = part["attacks"]["cw"]["distances"]
            found[CW_WITHIN] = evaluation.within_budget(found, "cw", distances, config.CW_BUDGET)
        cells = found | cells
    return cells


# --- the tables ----------------------------------------------------------------------------------


def table_1(study):
    """Oblivious: every attack crafted on the classifier of its row; that of PSSR is the undefended one."""
    parts = []
    for row in OBJECTIVES:
        classifier = study.classifier(row)
        judged = {row: classifier}
        if row == "undefended":
            judged["PSSR"] = study.pssr()
        parts += [study.evaluate(classifier, judged, strong) for strong in (False, True)]
    return {"parts": parts}


def table_2(study):
    """Transfer: crafted on a substitute, trained as the row is, on the same data, with another seed.

    Beside the PSSR stand two rows of Table 4, with and without surgery: does it matter to this attacker?
    """
    parts = []
    substitutes = [(row, None) for row in OBJECTIVES] + [("undefended", OTHER_ARCHITECTURE)]
    for row, architecture in substitutes:
        substitute = study.classifier(row, seed=1, architecture=architecture)
        suffix = "" if architecture is None else ", other architecture"
        judged = {f"{row}{suffix}": study.classifier(row)}
        if row == "undefended":
            judged[f"PSSR{suffix}"] = study.pssr()
            for variant in ("+CAE&ARD", "+PS&CAE&ARD"):
                judged[f"{variant}{suffix}"] = study.ablation(variant)
        name = f"{architecture or study.experiment(()).classifier} of seed 1, trained by {OBJECTIVES[row]}"
        for strong in (False, True):
            part = study.evaluate(substitute, judged, strong, threat_model=evaluation.TRANSFER)
            parts.append({"substitute": name, **part})
    return {"parts": parts}


def table_3(study):
    """Adaptive: through every surrogate of the PSSR, and by queries; the worst case; checks of each."""
    pssr = study.pssr()
    eps = study.experiment(()).eps
    sources = {"classifier": pssr.classifier}
    sources |= {name: adaptive.surrogate(pssr, name) for name in adaptive.SURROGATES}
    suite = [attacks.parse(name, eps) for name in study.settings.adaptive_attacks]
    part = study.evaluate(
        sources,
        {"PSSR": pssr},
        strong=True,
        suite=suite,
        queried={"PSSR": pssr},
        threat_model=evaluation.ADAPTIVE,
    )
    images = study.images(strong=True)
    few = images.take(slice(0, min(len(images), config.CHECKED_IMAGES)))
    # What a few images of a smoke test cannot show anyway costs little there.
    effort = {"steps": 5, "queries": 10, "draws": 3} if study.preset == "smoke" else {}
    part["checks"] = {
        name: [
            dataclasses.asdict(found) for found in checks.run(pssr, few, eps, source, progress=True, **effort)
        ]
        for name, source in sources.items()
    }
    part["checked_images"] = len(few)
    return {"parts": [part]}


def table_4(study):
    """Ablation: a CAE trained for each row, all on the same short schedule; oblivious as Table 1."""
    classifier = study.classifier()
    pssr = {row: study.ablation(row) for row in ABLATION}
    shared = pssr["+PS&CAE&ARD"].surgery
    judged = {"undefended": classifier, "+PS": PSSR(classifier, shared), **pssr}
    parts = [study.evaluate(classifier, judged, strong) for strong in (False, True)]
    oracle = {}
    for strong in (False, True):
        images = study.images(strong)
        for attack in study.suite(strong):
            x_adv = study.crafted(attack, strong)
            oracle[attack.name] = decomposed(classifier, images, x_adv, shared)["trivial perturbation"]
    return {"parts": parts, "oracle": oracle, "training": study.variants()}


# --- the figures ---------------------------------------------------------------------------------


def decomposed(classifier, images, x_adv, reading):
    """Accuracy of the classifier on the parts into which pixel surgery splits attacked images.

    "full": x + delta; "salient perturbation": x + delta M_s; "trivial perturbation": x + delta M_t (Fig. 1;
    both need the clean image x); "trivial component": (x + delta) M_t (eq. 7).

    Returns:
        {part: measurement}.
    """

    @tf.function(reduce_retracing=True)
    def predicted(x, x_adv):
        salient, trivial = reading.masks(classify, x_adv)
        parts = (
            x_adv,
            surgery.perturbation_component(x, x_adv, salient),
            surgery.perturbation_component(x, x_adv, trivial),
            surgery.component(x_adv, trivial),
        )
        return [tf.argmax(classify(part), axis=-1) for part in parts]

    def classify(x):
        return classifier(x, training=False)

    found = [
        [part.numpy() for part in predicted(images.x[rows], x_adv[rows])]
        for rows in evaluation.batches(len(images), 500)
    ]
    names = ("full", "salient perturbation", "trivial perturbation", "trivial component")
    return {
        name: evaluation.measurement(np.concatenate(classes) == images.y)
        for name, classes in zip(names, zip(*found, strict=True), strict=True)
    }


def figure_1(study):
    """Full, salient and trivial perturbations under FGSM, PGD and the first strong attack (AutoAttack)."""
    classifier, images = study.classifier(), study.images(strong=True)
    suite = [
        *(a for a in study.suite(strong=False) if a.name in ("fgsm", "pgd")),
        study.suite(strong=True)[0],
    ]
    cells = {
        score: {
            attack.name: decomposed(
                classifier, images, study.crafted(attack, strong=True), surgery.PixelSurgery(score=score)
            )
            for attack in suite
        }
        for score in surgery.SCORES
    }
    return study.description(images, suite) | {"cells": cells}


def figure_7(study):
    """The trivial component for several alpha, under PGD and CW."""
    classifier, images = study.classifier(), study.images(strong=True)
    suite = [study.suite(strong=False)[-1], study.suite(strong=True)[-1]]
    cells = {
        score: {
            attack.name: {
                f"{alpha:g}": decomposed(
                    classifier,
                    images,
                    study.crafted(attack, strong=True),
                    surgery.PixelSurgery(alpha, score=score),
                )
                for alpha in study.settings.alphas
            }
            for attack in suite
        }
        for score in surgery.SCORES
    }
    return study.description(images, suite) | {"cells": cells}


def figure_10b(study):
    """k, the passes of adversarial R-drop: a CAE trained for each, oblivious as Table 1."""
    judged = {
        f"k = {passes}": study.pssr("variant+PS&CAE&ARD" if passes == 2 else f"passes{passes}", passes=passes)
        for passes in study.settings.passes
    }
    return {"parts": [study.evaluate(study.classifier(), judged)], "training": study.variants()}


def label_leak(study):
    """E trained, and judged, with images crafted from true labels, predicted labels and random targets."""
    judged = {
        kind: study.pssr(
            "variant+PS&CAE&ARD" if kind == "true" else f"labels-{kind}".replace(" ", "-"), attack_labels=kind
        )
        for kind in evaluation.LABELS
    }
    suite = [attack for attack in study.suite(strong=False) if attack.name in ("fgsm", "pgd")]
    parts = [
        study.evaluate(study.classifier(), judged, suite=suite, labels=kind) for kind in evaluation.LABELS
    ]
    return {"parts": parts, "training": study.variants()}


def exchanged(pssr, x, x_adv, y):
    """Accuracy of a PSSR whose pixels and mask are of different images: what does an attack change?

    E(z M_t), with z and M_t each of the clean image x or of the attacked x_adv, both (N, H, W, C). Mixtures
    need both images: an instrument of analysis, no defense.

    Returns:
        {"clean pixels, clean mask", and three more: measurement}, and the shares of the ink of x that the
        clean and the attacked mask remove.
    """

    @tf.function(reduce_retracing=True)
    def predicted(x, x_adv):
        masks = [pssr.surgery.masks(pssr.classify, z)[1] for z in (x, x_adv)]
        inputs = [surgery.component(z, trivial) for z in (x, x_adv) for trivial in masks]
        kept = [tf.reduce_sum(surgery.component(x, trivial)) for trivial in masks]
        return [tf.argmax(pssr.classify(pssr.restore(z)), axis=-1) for z in inputs], kept

    found = [predicted(x[rows], x_adv[rows]) for rows in evaluation.batches(len(x), 500)]
    classes, kept = (list(zip(*parts, strict=True)) for parts in zip(*found, strict=True))
    names = [f"{z} pixels, {mask} mask" for z in ("clean", "attacked") for mask in ("clean", "attacked")]
    cells = {
        name: evaluation.measurement(np.concatenate(answers) == y)
        for name, answers in zip(names, classes, strict=True)
    }
    return cells, [float(1 - sum(parts) / x.sum()) for parts in kept]


def mask_exchange(study):
    """Clean and attacked pixels under each other's masks: why can a PSSR gain by an attack?"""
    images, suite = study.images(strong=False), study.suite(strong=False)
    judged = {"PSSR": study.pssr(), "+PS&CAE&ARD": study.ablation("+PS&CAE&ARD")}
    cells, ink = {row: {} for row in judged}, {}
    for attack in suite:
        x_adv = study.crafted(attack, strong=False)
        for row, pssr in judged.items():
            cells[row][attack.name], shares = exchanged(pssr, images.x, x_adv, images.y)
            ink["benign"], ink[attack.name] = shares  # of the classifier's masks, the same for every row
    return study.description(images, suite) | {"cells": cells, "ink_removed": ink}


def seeds(study):
    """PSSR trained with several seeds for the same classifier."""
    judged = {
        f"seed {seed}": study.pssr("variant+PS&CAE&ARD" if seed == 0 else f"seed{seed}", seed=seed)
        for seed in study.settings.seeds
    }
    return {"parts": [study.evaluate(study.classifier(), judged)], "training": study.variants()}


TABLES = {
    "table_1": table_1,
    "table_3": table_3,
    "table_4": table_4,
    "figure_1": figure_1,
    "figure_7": figure_7,
    "label_leak": label_leak,
    "mask_exchange": mask_exchange,
    "figure_10b": figure_10b,
    "seeds": seeds,
    "table_2": table_2,
}

# Of each table on two cores, its training included: those of `cpu` from one run each, rounded up.
MINUTES = {
    "smoke": dict.fromkeys(TABLES, 0.3),
    "cpu": {
        "table_1": 40,
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
}
MAIN_MINUTES = {"smoke": 0.5, "cpu": 55}  # the training of the classifier and of the long PSSR


def estimate(study, missing):
    """How long the missing tables will take, in words."""
    begun = f"{len(missing)} of {len(TABLES)} tables to make"
    if not missing or study.preset not in MINUTES:
        return begun if not missing else f"{begun}; nobody has measured how long preset {study.preset} takes"
    minutes = sum(MINUTES[study.preset][name] for name in missing)
    if not study.shipped and not (study.folder / "models" / "pssr-main" / "pssr.keras").is_file():
        minutes += MAIN_MINUTES[study.preset]
    return (
        f"{begun}: about {minutes:.0f} minutes on two cores, less where models and images are there already"
    )


def run(dataset, preset, folder, source="auto", data_dir=None, shipped=False, tables=None):
    """Make the records of all tables, or read those that are finished.

    Args:
        dataset, preset: see `config.REPRODUCTIONS`.
        folder: of the study; it is made if need be.
        source, data_dir: of the data, see `data.load`.
        shipped: take classifier and PSSR from the shipped weights instead of training them.
        tables: names of `TABLES`; all if None.

    Returns:
        {table: record}.

    Raises:
        InputError: for an unknown data set, preset or table, or a folder of another study.
    """
    names = list(TABLES) if tables is None else list(tables)
    for name in names:
        if name not in TABLES:
            raise InputError(f"unknown table {name!r}, expected one of {', '.join(TABLES)}")
    study = open_study(dataset, preset, folder, source, data_dir, shipped)
    missing = [name for name in names if not (study.folder / "records" / f"{name}.json").is_file()]
    print(estimate(study, missing), flush=True)
    records = {}
    for name in names:
        path = study.folder / "records" / f"{name}.json"
        if path.is_file():
            records[name] = training.read_json(path)
            continue
        print(f"\n{name.replace('_', ' ')}", flush=True)
        start = time.perf_counter()
        record = {"table": name, "dataset": dataset, "preset": preset, "shipped": shipped} | TABLES[name](
            study
        )
        record["seconds"] = round(time.perf_counter() - start)
        training.write_json(path, record)
        records[name] = record
    return records


def open_study(dataset, preset, folder, source="auto", data_dir=None, shipped=False):
    """The study of a folder, which must be new or hold the same one."""
    if dataset not in config.REPRODUCTIONS:
        known = ", ".join(config.REPRODUCTIONS)
        raise InputError(f"no tables of data set {dataset!r} yet, expected one of {known}")
    if preset not in config.REPRODUCTIONS[dataset]:
        known = ", ".join(config.REPRODUCTIONS[dataset])
        raise InputError(f"unknown preset {preset!r}, expected one of {known}")
    settings = config.REPRODUCTIONS[dataset][preset]
    source = data.resolve_source(dataset, source, data_dir)
    test = data.load(dataset, "test", source, data_dir)
    folder = pathlib.Path(folder)
    wanted = {"dataset": dataset, "preset": preset, "source": source, "shipped": shipped}
    wanted = json.loads(json.dumps(wanted | dataclasses.asdict(settings)))
    described = folder / "study.json"
    if folder.is_file():
        raise InputError(f"{folder} is a file, expected a folder: choose another --out")
    if described.is_file():
        found = training.read_json(described)
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
            training.write_json(described, wanted)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): choose another --out") from error
    return Study(dataset, preset, settings, folder, source, data_dir, shipped, test)
