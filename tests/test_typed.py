"""The public interface is annotated, so that an editor and mypy know what a user types."""

import inspect

import pytest

import pssr_keras
from pssr_keras import attacks, classifiers, data, evaluation, pretrained, training
from pssr_keras.attacks import adaptive

MODULES = (pssr_keras, attacks, evaluation, data, classifiers)
FUNCTIONS = [
    *(getattr(module, name) for module in MODULES for name in module.__all__),
    *(adaptive.surrogate, adaptive.surrogates, adaptive.sources),
    *(evaluation.checks.run, evaluation.shards.parse, evaluation.shards.evaluate),
    *(evaluation.shards.read, evaluation.shards.merge),
    *(training.fit_to, training.run, pretrained.names),
    attacks.Attack.__call__,
]  # fmt: skip
MADE_BY_TENSORFLOW = classifiers.relu_of_largest_phase  # a custom gradient has no signature of its own
CLASSES = (pssr_keras.PSSR, pssr_keras.PixelSurgery, pssr_keras.CAE, data.Images, data.DataSet)


def public():
    """{name: function} of functions, and of the methods of classes that are more than their fields."""
    found = {f"{f.__module__}.{f.__qualname__}": f for f in FUNCTIONS if inspect.isfunction(f)}
    for cls in CLASSES:
        for name, member in vars(cls).items():
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            own = inspect.isfunction(function) and function.__module__ == cls.__module__
            if own and not (name.startswith("_") and name != "__init__"):
                found[f"{cls.__module__}.{cls.__name__}.{name}"] = function
    return {name: f for name, f in found.items() if f is not MADE_BY_TENSORFLOW}


def test_what_is_looked_at_is_what_the_documentation_names():
    names = {name.rpartition(".")[2] for name in public()}
    assert {"load_pretrained", "model_card", "experiment", "clear_compiled", "parse", "craft"} <= names
    assert {"evaluate", "evaluate_adaptively", "correct", "table", "load", "images_of", "fit_to"} <= names
    assert {"purify", "remove", "restore", "take", "lenet5", "resnet18", "__call__"} <= names


@pytest.mark.parametrize("name", sorted(public()))
def test_every_parameter_and_what_is_returned_is_annotated(name):
    function = public()[name]
    signature = inspect.signature(function)
    lacking = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")
    ]
    assert not lacking
    built = function.__name__ == "__init__" and not hasattr(function, "__wrapped__")
    assert built or signature.return_annotation is not signature.empty


@pytest.mark.parametrize("name", sorted(attacks.REGISTRY))
def test_every_field_of_an_attack_has_a_type(name):
    cls = attacks.REGISTRY[name]
    for parameter in inspect.signature(cls).parameters.values():
        assert parameter.annotation is not parameter.empty
