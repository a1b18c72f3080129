"""Numbers of NumPy and TensorFlow in the place of Python's: the same answer, and a record that JSON holds."""

import dataclasses
import fractions
import json

import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import InputError, PixelSurgery, attacks, baselines, checks, config, evaluation, inputs
from pssr_keras.evaluation import shards


def survives(record):
    """Whether JSON gives back what it was given, value by value and type by type."""
    found = json.loads(json.dumps(record))
    return found == record and json.dumps(found) == json.dumps(record)


def of_numpy(value):
    """A number as NumPy has it, without rounding."""
    kinds = {bool: np.bool_, int: np.int64, float: np.float64, str: np.str_}
    return kinds.get(type(value), lambda value: value)(value)


def as_array(value):
    return np.array(value) if isinstance(value, bool | int | float) else value


def of_tensorflow(value):
    return tf.constant(value, tf.float64 if isinstance(value, float) else None)


FORMS = [of_numpy, as_array]
EPS = {"Linf": 0.25, "L2": 2.0}


@pytest.mark.parametrize("name", attacks.REGISTRY)
@pytest.mark.parametrize("form", FORMS)
def test_fields_of_an_attack_become_plain(name, form):
    plain = attacks.create(name, eps=EPS[attacks.REGISTRY[name].norm])
    fields = {field.name: form(getattr(plain, field.name)) for field in dataclasses.fields(plain)}
    found = type(plain)(**fields)
    assert found == plain
    assert hash(found) == hash(plain)
    assert found.get_config() == plain.get_config()
    for value in found.get_config().values():
        assert value is None or isinstance(value, bool | int | float | str)
        assert not isinstance(value, np.generic)
    assert survives(found.get_config())


def test_numbers_of_less_precision_are_kept_as_they_are():
    found = attacks.PGD(
        np.float32(0.3), steps=np.int32(40), step_size=tf.constant(0.01), restarts=np.uint8(1)
    )
    assert found.eps == float(np.float32(0.3))
    assert found.step_size == float(np.float32(0.01))
    assert survives(found.get_config())
    assert attacks.CarliniWagner(np.array(2), confidence=np.float16(0.5)).confidence == 0.5
    assert attacks.PGD(fractions.Fraction(8, 255), step_size="2/255").step_size == 2 / 255
    assert attacks.PGD(0.3, steps=40.0) == attacks.PGD(0.3)
    assert type(attacks.PGD(0.3, steps=40.0).steps) is int
    assert attacks.parse_eps(of_tensorflow(0.25)) == 0.25


REFUSED = [
    ("pgd", {"steps": 2.5}, "steps is 2.5, expected an integer"),
    ("pgd", {"steps": True}, "steps is True, expected an integer"),
    ("pgd", {"steps": "40"}, "steps is '40', expected an integer"),
    ("pgd", {"steps": None}, "steps is None, expected an integer"),
    ("pgd", {"steps": np.float32("nan")}, "steps is nan, expected an integer"),
    ("pgd", {"best": 2}, "best is 2, expected True or False"),
    ("pgd", {"step_size": np.float32("nan")}, "step_size is nan, expected a finite number"),
    ("pgd", {"step_size": np.array([0.1, 0.2])}, "step_size is array"),
    ("pgd", {"eps": np.float64("nan")}, "eps is nan"),
    ("pgd", {"eps": True}, "eps is True"),
    ("mim", {"momentum": float("nan")}, "momentum is nan, expected a finite number"),
    ("apgd-ce", {"rho": float("nan")}, "rho is nan"),
    ("fab-t", {"overshoot": float("inf")}, "overshoot is inf"),
    ("fab-t", {"alpha_max": None}, "alpha_max is None"),
    ("square", {"p": float("nan")}, "p is nan"),
    ("cw", {"confidence": float("nan"), "eps": 1}, "confidence is nan"),
    ("cw", {"eps": float("nan")}, "eps is nan"),
]


@pytest.mark.parametrize(("name", "fields", "message"), REFUSED)
def test_what_is_no_number_of_the_kind_is_refused(name, fields, message):
    with pytest.raises(InputError, match=message):
        attacks.create(name, **({"eps": 0.1} | fields))


@pytest.mark.parametrize("form", FORMS)
def test_the_answer_is_that_of_plain_numbers(form, toy_classifier, toy_images):
    few = toy_images.take(slice(0, 6))
    suite = [
        attacks.FGSM(form(0.1)),
        attacks.PGD(form(0.1), steps=form(3), best=form(True), restarts=form(2)),
        attacks.MIM(form(0.1), steps=form(2), momentum=form(0.5)),
        attacks.create("apgd-ce", eps=form(0.1), steps=form(4)),
        attacks.create("square", eps=form(0.1), queries=form(10), p=form(0.5)),
        attacks.create("cw", eps=form(1.0), steps=form(2), searches=form(1)),
    ]
    plain = [type(a)(**{f.name: getattr(a, f.name) for f in dataclasses.fields(a)}) for a in suite]
    options = {"seed": form(7), "batch_size": form(4)}
    record = evaluation.evaluate(toy_classifier, {"c": toy_classifier}, few, suite, **options)
    expected = evaluation.evaluate(toy_classifier, {"c": toy_classifier}, few, plain, seed=7, batch_size=4)
    assert record == expected
    assert survives(record)


def test_a_shard_and_checks_take_them_too(toy_classifier, toy_images, tmp_path):
    few = toy_images.take(slice(0, 8))
    options = {"seed": np.int64(1), "cache": tmp_path}
    record = shards.evaluate(
        shards.parse("1/2"), toy_classifier, {"c": toy_classifier}, few, [attacks.FGSM(0.1)],
        batch_size=np.int32(4), **options,
    )  # fmt: skip
    assert survives(record)
    for given in (0, 2.5, -1):
        with pytest.raises(InputError, match=f"batch_size is {given}"):
            evaluation.evaluate(toy_classifier, {"c": toy_classifier}, few, [], batch_size=given)
    with pytest.raises(InputError, match=r"seed is np\.float32\(1\.0\)"):
        evaluation.evaluate(toy_classifier, {"c": toy_classifier}, few, [], seed=np.float32(1))
    measured = checks.Measurements(toy_classifier, few, np.float32(0.1), seed=np.int64(1), steps=np.int64(5))
    assert [type(value) for value in (measured.eps, measured.seed, measured.steps)] == [float, int, int]


@pytest.mark.parametrize("form", FORMS)
def test_surgery_experiments_and_objectives_become_plain(form):
    surgery = PixelSurgery(alpha=form(1.25), dataset_mean=form(0.5), threshold="dataset", at_most=form(0.5))
    assert survives(surgery.get_config())
    assert surgery == PixelSurgery(alpha=1.25, dataset_mean=0.5, threshold="dataset", at_most=0.5)
    changes = {
        "seed": 3,
        "cae.epochs": 5,
        "cae.dropout": 0.125,
        "cae.saturating": False,
        "surgery.alpha": 1.25,
    }
    changed = {name: form(value) for name, value in changes.items()}
    experiment = config.experiment("mnist", "cpu", **changed)
    assert experiment == config.experiment("mnist", "cpu", **changes)
    json.dumps(dataclasses.asdict(experiment))
    json.dumps(dataclasses.asdict(dataclasses.replace(experiment, batch_size=form(50))))
    objective = baselines.TRADES(one_over_lambda=form(3.0))
    assert survives(objective.get_config())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cae.epochs": 2.5}, "cae.epochs is 2.5, expected an integer"),
        ({"surgery.alpha": np.float32("nan")}, "surgery.alpha is nan, expected a finite number"),
        ({"cae.dropout": "much"}, "cae.dropout is 'much', expected a finite number"),
        ({"data.train_limit": "all"}, "data.train_limit is 'all', expected an integer"),
    ],
)
def test_an_experiment_refuses_what_is_no_number_of_the_kind(change, message):
    with pytest.raises(InputError, match=message):
        config.experiment("mnist", "cpu", **change)


def test_surgery_refuses_nan():
    for field in ("alpha", "temperature", "at_most", "dataset_mean"):
        with pytest.raises(InputError, match=f"{field} is nan"):
            PixelSurgery(**{field: np.float32("nan")})


def test_what_is_no_number_stays_as_it_is():
    assert inputs.of_type("mode", np.str_("fast"), str) == "fast"
    assert type(inputs.of_type("mode", np.str_("fast"), str)) is str
    assert inputs.of_type("names", ("fgsm",), tuple[str, ...]) == ("fgsm",)
    assert inputs.of_type("limit", None, int | None) is None
    assert inputs.of_type("key", np.int64(3), "int") == 3
