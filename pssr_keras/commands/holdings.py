"""Where the weights and images of a record may be: shipped, in a folder of results, or named by a user."""

import dataclasses
import pathlib
import re

from .. import data, evaluation, files, pretrained, training
from ..defense import PSSR
from ..evaluation.matching import Held
from ..inputs import InputError

MANIFEST = "weights.json"


@dataclasses.dataclass(frozen=True)
class Manifest:
    """results/weights.json: weights that are published, and perhaps to be fetched.

    Attributes:
        root: the folder in which its paths begin, or None where there is no manifest.
        entries: {path: entry}.
    """

    root: pathlib.Path | None
    entries: dict

    @classmethod
    def beside(cls, record):
        """That of a record's folder of results, results/<data set>/<record>.json."""
        results = record.resolve().parents[1] if len(record.resolve().parents) > 1 else record.parent
        path = results / MANIFEST
        content = files.read_json(path) if path.is_file() else None
        if not isinstance(content, dict) or not all("weights_hash" in entry for entry in content.values()):
            return cls(None, {})  # a file of another kind has that name
        return cls(results.parent, content)

    def problems(self, record, content):
        """Where the manifest and a record contradict each other, one line each."""
        found = []
        for path, entry in self.entries.items():
            if record.resolve() != (self.root / entry["record"]).resolve():
                continue
            for place, part in evaluation.consistency.evaluations_in(content):
                weights = part["weights"].get(entry["row"], entry["weights_hash"])
                if weights != entry["weights_hash"]:
                    found.append(
                        f"{place}, {entry['row']}: the weights are {str(weights)[:12]}..., but {MANIFEST} "
                        f"names {entry['weights_hash'][:12]}... of {path}"
                    )
        return found

    def advice(self, weights):
        """That weights are not here, and what to do."""
        words = f"weights {weights[:12]}... are not here"
        for path, entry in self.entries.items():
            if entry["weights_hash"] == weights:
                return f"{words}: python scripts/weights.py fetch {path}"
        return f"{words}: name their file or folder by --weights"


def wanted_by(record):
    """The hashes of all weights that a record names."""
    found = {weights for weights in record["weights"].values() if weights}
    crafted_on = record["crafted_on"]
    described = list(crafted_on.values()) if isinstance(crafted_on, dict) else [{"weights": crafted_on}]
    while described:
        known = described.pop()
        found |= {known["weights"]} if known.get("weights") else set()
        described += [known["defense"]] if "defense" in known else []
    return found


def find(evaluations, manifest, named=None):
    """The models at hand of several evaluations: ([Held], contradictions, one line each).

    Args:
        evaluations: [(place, record)].
        manifest: `Manifest`.
        named: .keras files and folders of them.

    Raises:
        InputError: if one that is named cannot be read.
    """
    wanted = set().union(*(wanted_by(record) for _, record in evaluations))
    held, problems = [], []
    for path in files_of(named or ()):
        held += parts_of(files.load_model(path), str(path))
    for name in pretrained.names():
        held += shipped(name, wanted, problems)
    for path in sorted((manifest.root / "results").rglob("*.keras")) if manifest.root else ():
        entry = manifest.entries.get(path.relative_to(manifest.root).as_posix())
        if entry is not None and files.file_hash(path) != entry["sha256"]:
            problems.append(f"{path} is another file than that of {MANIFEST}: move it, and fetch it again")
        elif entry is None or entry["weights_hash"] in wanted:
            held += parts_of(files.load_model(path), str(path))
    for _, record in evaluations:
        held += moved(record, held)
    return held, problems


def shipped(name, wanted, problems):
    """The parts of shipped weights, if any of them are wanted."""
    card = pretrained.model_card(name)
    if not wanted & {*card["weights"].values(), card["crafted_on"]}:
        return []
    found = parts_of(pretrained.load_pretrained(name), f"shipped {name}")
    for row, weights in card["weights"].items():
        if all(one.weights != weights for one in found):
            problems.append(f"shipped {name}: no part has the weights {weights[:12]}... of {row} in its card")
    return found


def files_of(named):
    """The .keras files of files and folders.

    Raises:
        InputError: for one that is not there, or a folder without any.
    """
    for path in map(files.expanded, named):
        if not path.is_dir():
            yield path
            continue
        found = sorted(path.rglob("*.keras"))
        if not found:
            raise InputError(f"{path} holds no .keras file: name one, or the folder of a finished run")
        yield from found


def parts_of(model, origin):
    """[`Held`] of a model: it itself, and of a defense its classifier and its stages."""
    if not hasattr(model, "purify"):
        return [Held(model, origin=origin, is_whole=True)]
    found = [Held(part, row, origin, part is model) for row, part in training.stages(model).items()]
    return [*found, Held(model.classifier, "classifier", origin)]


def remarks_on(record):
    """Where a record says that it is about shipped weights, and those of this version are others."""
    said = re.fullmatch(r"shipped ([\w.-]+)", record.get("weights_from") or "")
    if not said or said[1] not in pretrained.names():
        return []
    card = pretrained.model_card(said[1])
    whole = list(record["weights"].values())[-1]  # the whole defense is the last row
    if whole in card["weights"].values():
        return []
    return [
        f"the record says that it is about the {said[0]}, but weights {whole[:12]}... are not shipped here"
    ]


def moved(record, held):
    """A shipped purifier before another classifier, where a record says that it is about one."""
    said = re.match(r"shipped ([\w.-]+), (?:before|with classifier) ", record.get("weights_from") or "")
    if not said or said[1] not in pretrained.names():
        return []
    purifier = pretrained.load_pretrained(said[1])
    wanted = wanted_by(record)
    found = []
    for one in held:
        if isinstance(purifier, PSSR) and one.weights in wanted and not hasattr(one.model, "purify"):
            stages = (purifier.surgery, purifier.extrapolator, purifier.guide)
            defense = PSSR(one.model, *stages, name=purifier.name)
            found += parts_of(defense, f"{said[1]} before {one.origin}")
    return found


def data_of(record):
    """(source, name, split) of a record's images, from its words.

    Raises:
        InputError: if they are no data set's.
    """
    words = re.match(r"(tfds|bundled) (\w+)\b.*\b(train|test)\b", record["data"])
    if not words or words[2] not in data.DATASETS:
        raise InputError(
            f"the record is about {record['data']!r}: name its images by --images, an .npz file of `images` "
            "and `labels`"
        )
    return words[1], words[2], words[3]
