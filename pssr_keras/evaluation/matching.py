"""Which of the models and attacks at hand are those of a record: by hashes, and by configurations."""

import dataclasses
import functools
import typing

from ..attacks import adaptive
from ..attacks.names import REGISTRY
from ..defense import PSSR
from ..inputs import InputError
from .consistency import same_versions
from .provenance import identity, weights_hash
from .records import EVERY_DISTANCE, WHITE_BOX, WORST_CASE

KINDS = {cls.__name__: name for name, cls in adaptive.SURROGATES.items()}
# What an attack's entry in a record holds beside its configuration.
OF_RESULT = {"crafted_on", "robust_when_crafted", "distance", "distances", EVERY_DISTANCE}
GIVEN = "given"


class Missing(Exception):
    """What a record needs is not here; the message says why.

    Attributes:
        weights: the hash that nobody holds, if that is why.
    """

    def __init__(self, words, weights=None):
        super().__init__(words)
        self.weights = weights


@dataclasses.dataclass(frozen=True)
class Held:
    """A model at hand, or a part of one.

    Attributes:
        model: images -> logits.
        stage: the row in which it stands, such as "+CAE".
        origin: where it comes from, in words; models of one origin are parts of one defense.
        is_whole: whether it is all of what lies there.
    """

    model: typing.Any
    stage: str = ""
    origin: str = GIVEN
    is_whole: bool = False

    @functools.cached_property
    def weights(self):
        return weights_hash(self.model)

    @functools.cached_property
    def known(self):
        return identity(self.model)


def held_models(models):
    """`Held` of what a user gives: {name: model}, models, or `Held` as they are; classifiers within, too."""
    named = models.items() if isinstance(models, dict) else (("", model) for model in models)
    found = []
    for name, model in named:
        if isinstance(model, Held):
            found.append(model)
            continue
        found.append(Held(model, name, is_whole=True))
        if getattr(model, "classifier", None) is not None:
            found.append(Held(model.classifier, "classifier"))
    return found


def of_weights(held, weights):
    """Those of some weights.

    Raises:
        Missing: if there is none.
    """
    found = [one for one in held if weights is not None and one.weights == weights]
    if not found:
        words = f"weights {weights[:12]}... are not here" if weights else "the record names no weights of it"
        raise Missing(words, weights)
    return found


def judged(record, row, held):
    """The model of a row.

    By its weights and, where the record has one, its digest. Of models of the same weights, such as the
    stages of a PSSR, it is that of the row's name, or else a whole one.

    Raises:
        Missing: if it is not here, or if nothing tells which it is.
    """
    found = of_weights(held, record["weights"].get(row))
    digest = record.get("digests", {}).get(row)
    if digest is not None:
        exact = [one for one in found if one.known["digest"] == digest]
        if exact:
            return exact[0]
        if same_versions(record):
            raise Missing(f"its weights are here, but in another model: no digest is {digest[:12]}...")
    named = [one for one in found if one.stage and (row == one.stage or row.startswith(f"{one.stage}, "))]
    chosen = (named or [one for one in found if one.is_whole] or found)[0]
    if chosen.origin != GIVEN and _is_surgery_alone(chosen.model):
        others = {one.weights for one in held if one.origin == chosen.origin} - {chosen.weights}
        if not others & set(record["weights"].values()):
            raise Missing("nothing tells which surgery it has: its weights are those of the classifier")
    return chosen


def _is_surgery_alone(model):
    return isinstance(model, PSSR) and model.surgery is not None and model.extrapolator is None


def attacked(record, source, held):
    """The model on which attacks were crafted; `source` names it where there are several, else it is "".

    Surrogates are made anew of the defense that they stand for.

    Raises:
        Missing: if it is not here.
    """
    known = record["crafted_on"]
    if isinstance(known, dict):
        if source not in known:
            raise Missing(f"the record does not say what {source!r} is, on which it was crafted")
        return _of_identity(known[source], held, record)
    found = of_weights(held, known)
    if record.get("threat_model") == WHITE_BOX:
        rows = [row for row, weights in record["weights"].items() if weights == known]
        if rows:
            return judged(record, rows[0], held).model
    plain = [one for one in found if not hasattr(one.model, "classifier")]
    return (plain or found)[0].model


def _of_identity(known, held, record):
    """The model that `provenance.identity` described in a record."""
    kind = known.get("kind")
    if kind == adaptive.Expectation.__name__:
        return adaptive.Expectation(_of_identity(known["defense"], held, record), known["draws"])
    if kind == adaptive.Through.__name__ and "defense" in known:
        return adaptive.Through(_of_identity(known["defense"], held, record))
    found = [one for one in of_weights(held, known.get("weights")) if _has_stages_of(one, known)]
    if kind in KINDS:
        options = {name: known[name] for name in ("temperature", "radius") if name in known}
        models = [
            adaptive.surrogate(one.model, KINDS[kind], **options)
            for one in found
            if isinstance(one.model, PSSR)
        ]
        expected = f"PSSR of the same surgery and guide, as {kind} needs"
    else:
        models = [one.model for one in found if type(one.model).__name__ == kind]
        expected = f"{kind} of the same settings"
    if known.get("digest") is not None and same_versions(record):
        models = [model for model in models if identity(model)["digest"] == known["digest"]]
    if not models:
        raise Missing(f"its weights are here, but in no {expected}")
    return models[0]


def _has_stages_of(one, known):
    """Whether a held model has the surgery and the guide of a description."""
    asked, here = known.get("surgery"), one.known.get("surgery")
    if (asked is None) != (here is None) or known.get("guide") != one.known.get("guide"):
        return False
    return asked is None or all(here[name] == value for name, value in asked.items() if name in here)


def attack_of(config):
    """The attack of an entry of a record's `attacks`; fields that it does not name have their defaults.

    Raises:
        Missing: for an attack, a field or a value that this version does not know.
    """
    name = config.get("attack")
    if name not in REGISTRY:
        raise Missing(f"unknown attack {name!r}, expected one of {', '.join(REGISTRY)}")
    cls = REGISTRY[name]
    fields = {key: value for key, value in config.items() if key not in {"attack", "norm", *OF_RESULT}}
    unknown = fields.keys() - {field.name for field in dataclasses.fields(cls)}
    if unknown:
        raise Missing(f"unknown field {', '.join(sorted(unknown))} of attack {name!r}")
    if config.get("norm", cls.norm) != cls.norm:
        raise Missing(f"the norm of {name!r} is {config['norm']!r}, expected {cls.norm!r}")
    try:
        return cls(**fields)
    except (InputError, TypeError) as error:
        raise Missing(f"attack {name!r} cannot be made anew: {error}") from error


@dataclasses.dataclass
class Plan:
    """What of a record can be judged.

    Attributes:
        record: of `evaluate`.
        models: {row: model, or the `Missing` that says why there is none}.
        runs: {column: (attack, attacked model), or the `Missing`}.
    """

    record: dict
    models: dict
    runs: dict

    def missing(self):
        """The weights that nobody holds: {hash: [rows that have them, and columns crafted on them]}."""
        found = {}
        for name, one in (*self.models.items(), *self.runs.items()):
            if isinstance(one, Missing) and one.weights:
                found.setdefault(one.weights, []).append(name)
        return found

    def columns(self):
        """The columns that will be crafted."""
        if not any(is_there(model) for model in self.models.values()):
            return []
        return [column for column, run in self.runs.items() if is_there(run)]


def is_there(found):
    """Whether what a plan has is no `Missing`."""
    return not isinstance(found, Missing)


def plan(record, held, rows=None, columns=None):
    """What of a record the models at hand can judge, `Plan`.

    Args:
        record: of `evaluate`.
        held: [`Held`].
        rows, columns: names of those to judge; all if None. The worst case takes all columns.
    """
    names = [row for row in record["cells"] if rows is None or row in rows]
    models = {row: _or_missing(_model_of, record, row, held) for row in names}
    every = columns is None or WORST_CASE in columns
    wanted = [column for column in record["attacks"] if every or column in columns]
    return Plan(record, models, {column: _or_missing(_run_of, record, column, held) for column in wanted})


def _or_missing(find, *arguments):
    try:
        return find(*arguments)
    except Missing as missing:
        return missing


def _model_of(record, row, held):
    return judged(record, row, held).model


def _run_of(record, column, held):
    config = record["attacks"][column]
    attack = attack_of(config)
    return attack, attacked(record, config.get("crafted_on", ""), held)
