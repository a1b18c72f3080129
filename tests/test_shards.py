"""Shards merged are the record of one process, and whatever is no whole set of shards is refused."""

import copy
import dataclasses
import json

import numpy as np
import pytest

from pssr_keras import PSSR, InputError, PixelSurgery, attacks, evaluation
from pssr_keras.attacks import adaptive
from pssr_keras.evaluation import provenance, shards
from pssr_keras.evaluation.shards import Shard

ONE_OF_EACH = [
    attacks.FGSM(0.2),
    attacks.BIM(0.2),
    attacks.MIM(0.2),
    attacks.PGD(0.1, steps=5),
    attacks.APGDCE(0.1, steps=5),
    attacks.FABT(0.1, steps=5),
    attacks.Square(0.2, queries=20),
    attacks.AutoAttack(0.1, few_classes=True),
    attacks.CarliniWagner(steps=10, searches=3),
]


def through_json(record):
    return json.loads(json.dumps(record))


@pytest.fixture(scope="module")
def judged(toy_classifier, toy_extrapolator):
    return {
        "undefended": PSSR(toy_classifier, None),
        "PSSR": PSSR(toy_classifier, PixelSurgery(), toy_extrapolator),
    }


def split(count, *arguments, **options):
    return [
        (f"part-{i}.json", through_json(shards.evaluate(Shard(i, count), *arguments, **options)))
        for i in range(1, count + 1)
    ]


def test_every_image_is_in_one_shard():
    for images, count, batch_size in [(64, 3, 16), (64, 3, 500), (10, 10, 4), (1000, 8, 500), (1000, 3, 300)]:
        rows = [Shard(i, count).rows(images, min(batch_size, images)) for i in range(1, count + 1)]
        covered = np.concatenate([np.arange(images)[part] for part in rows])
        np.testing.assert_array_equal(covered, np.arange(images))
        assert min(part.stop - part.start for part in rows) > 0


def test_shards_are_whole_batches_where_there_are_enough():
    rows = [Shard(i, 3).rows(1000, 150) for i in (1, 2, 3)]
    assert [(part.start, part.stop) for part in rows] == [(0, 300), (300, 600), (600, 1000)]
    rows = [Shard(i, 3).rows(1000, 500) for i in (1, 2, 3)]
    assert [(part.start, part.stop) for part in rows] == [(0, 333), (333, 666), (666, 1000)]


@pytest.mark.parametrize("text", ["2", "0/3", "4/3", "2/", "/3", "a/b", "-1/3", "1/0", "1.5/3", "1/2/3", ""])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="expected a number of 1 to the number of shards, such as 2/8"):
        shards.parse(text)


def test_a_shard_is_parsed_and_never_empty():
    assert shards.parse("2/8") == Shard(2, 8)
    with pytest.raises(InputError, match="shard 2/8 of 7 images leaves shards empty: use at most 7"):
        shards.parse("2/8").rows(7, 500)


def test_positions_are_read_as_they_were_written():
    for indices in ([0, 1, 2, 5, 7, 8], [3], [9, 4, 5, 0], list(range(10))):
        text = provenance.text_of_indices(np.array(indices))
        np.testing.assert_array_equal(provenance.indices_of(text), indices)


def test_three_shards_of_whole_batches_are_the_record_of_one_process(toy_classifier, judged, toy_images):
    """64 images in 4 batches make shards of 1, 1 and 2 batches."""
    images = toy_images.take(np.random.default_rng(1).permutation(64))
    options = {"batch_size": 16, "seed": 3}
    whole = evaluation.evaluate(toy_classifier, judged, images, ONE_OF_EACH, **options)
    parts = split(3, toy_classifier, judged, images, ONE_OF_EACH, **options)
    assert [record["n"] for _, record in parts] == [16, 16, 32]
    for order in (parts, parts[::-1]):
        merged = shards.merge(order)
        for row, cells in whole["cells"].items():
            for column, cell in cells.items():
                assert merged["cells"][row][column]["correct"] == cell["correct"], (row, column)
        for column, config in whole["attacks"].items():
            assert merged["attacks"][column] == through_json(config), column
        assert json.dumps(merged) == json.dumps(whole)  # the order of the entries, too


def test_parts_of_one_batch_are_padded_and_equal_but_for_early_exit(toy_classifier, judged, toy_images):
    """64 images in one batch make shards of 21, 21 and 22; some attacks leave rounding no room to differ."""
    arguments = (toy_classifier, judged, toy_images, ONE_OF_EACH)
    whole = evaluation.evaluate(*arguments)
    parts = split(3, *arguments)
    assert [record["n"] for _, record in parts] == [21, 21, 22]
    merged = shards.merge(parts)
    for row, cells in whole["cells"].items():
        for column, cell in cells.items():
            flags = [evaluation.flags_of(one["correct"]) for one in (cell, merged["cells"][row][column])]
            early_exit = column in ("apgd-ce", "fab-t", "square", "autoattack")
            assert (flags[0] != flags[1]).sum() <= (2 if early_exit else 0), (row, column)


def test_too_few_batches_come_with_advice():
    assert shards.advice(Shard(1, 3), 1000, 300) is None
    text = shards.advice(Shard(1, 8), 1000, 500)
    assert text.startswith("1,000 images in batches of 500 are 2 for 8 shards")
    assert "--batch-size 125 for all shards" in text
    assert shards.advice(Shard(1, 8), 1000, 125) is None
    assert shards.advice(Shard(1, 7), 1000, 1000 // 7) is None


def test_an_adaptive_evaluation_has_the_worst_case_of_all_shards(toy_classifier, toy_images):
    pssr = PSSR(toy_classifier, PixelSurgery())
    sources = {"classifier": toy_classifier, "frozen_mask": adaptive.surrogate(pssr, "frozen_mask")}
    suite = [attacks.PGD(0.15), attacks.Square(0.15, queries=20), attacks.CarliniWagner(steps=5, searches=2)]
    arguments = (sources, {"PSSR": pssr}, toy_images, suite)
    options = {"black_box": {"PSSR": pssr}, "threat_model": evaluation.ADAPTIVE, "batch_size": 16}
    merged = shards.merge(split(3, *arguments, **options))
    assert json.dumps(merged) == json.dumps(evaluation.evaluate(*arguments, **options))
    assert evaluation.WORST_CASE in merged["cells"]["PSSR"]


def test_other_labels_are_those_of_the_whole(toy_classifier, judged, toy_images):
    arguments = (toy_classifier, judged, toy_images, [attacks.PGD(0.1, steps=3)])
    merged = shards.merge(split(3, *arguments, labels="random target"))
    assert json.dumps(merged) == json.dumps(evaluation.evaluate(*arguments, labels="random target"))


@pytest.fixture(scope="module")
def parts(toy_classifier, judged, toy_images):
    return split(3, toy_classifier, judged, toy_images, [attacks.FGSM(0.2)])


def changed(record, path, value):
    """A copy of the record with another value at a path of keys."""
    record = copy.deepcopy(record)
    place = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return record


def test_what_was_added_to_shards_is_kept(parts):
    """The script adds where the weights are from, and the first shard's checks."""
    named = [(name, {"weights_from": "runs/mine", **record}) for name, record in parts]
    named[0][1]["checks"] = {"classifier": []}
    merged = shards.merge(named)
    assert next(iter(merged)) == "weights_from"
    assert merged["checks"] == {"classifier": []}
    assert "shard" not in merged
    assert "every_distance" not in merged["attacks"]["fgsm"]


FOREIGN = {
    "seed": (("seed",), 1),
    "data": (("data",), "other bands"),
    "threat_model": (("threat_model",), "adaptive"),
    "labels": (("labels",), "predicted"),
    "weights.PSSR": (("weights", "PSSR"), "0" * 64),
    "crafted_on": (("crafted_on",), "0" * 64),
    "versions.keras": (("versions", "keras"), "3.0"),
    "attacks.fgsm.eps": (("attacks", "fgsm", "eps"), 0.3),
    "shard.of": (("shard", "of"), 4),
    "shard.batch_size": (("shard", "batch_size"), 8),
    "shard.whole.n": (("shard", "whole", "n"), 65),
    "shard.whole.indices": (("shard", "whole", "indices"), "1-64"),
    "shard.whole.images": (("shard", "whole", "images"), "0" * 64),
    "weights_from": (("weights_from",), "runs/other"),
}


@pytest.mark.parametrize("entry", FOREIGN)
def test_a_foreign_shard_is_named(entry, parts):
    foreign = [parts[0], ("odd.json", changed(parts[1][1], *FOREIGN[entry])), parts[2]]
    for order in (foreign, foreign[::-1], [foreign[1], foreign[0], foreign[2]]):
        with pytest.raises(InputError, match=rf"^odd\.json is a shard of another evaluation .*: {entry} is "):
            shards.merge(order)


def test_a_shard_of_other_attacks_is_named(parts, toy_classifier, judged, toy_images):
    suite = [attacks.FGSM(0.2), attacks.BIM(0.2)]
    other = through_json(shards.evaluate(Shard(2, 3), toy_classifier, judged, toy_images, suite))
    with pytest.raises(InputError, match=r"odd\.json .* attacks\.bim\.attack is bim, expected not there"):
        shards.merge([parts[0], ("odd.json", other), parts[2]])


def test_a_shard_of_other_images_is_named(parts, toy_classifier, judged, toy_images):
    images = dataclasses.replace(toy_images, x=toy_images.x[::-1])
    other = through_json(shards.evaluate(Shard(3, 3), toy_classifier, judged, images, [attacks.FGSM(0.2)]))
    with pytest.raises(InputError, match=r"odd\.json .* shard\.whole\.images is"):
        shards.merge([*parts[:2], ("odd.json", other)])


def test_a_missing_shard_is_named(parts):
    with pytest.raises(InputError, match=r"shard 2/3 is missing: run .* with --shard 2/3, then merge"):
        shards.merge([parts[0], parts[2]])
    with pytest.raises(InputError, match=r"shard 1/3, 3/3 is missing"):
        shards.merge([parts[1]])


def test_a_doubled_shard_is_named(parts):
    with pytest.raises(InputError, match=r"^part-2\.json and copy\.json are both shard 2/3: give each once"):
        shards.merge([*parts, ("copy.json", parts[1][1])])
    with pytest.raises(InputError, match=r"^part-1\.json and part-1\.json are both shard 1/3"):
        shards.merge([parts[0], *parts])


def test_a_record_that_is_no_shard_is_named(parts):
    whole = shards.merge(parts)
    with pytest.raises(InputError, match=r"^whole\.json is no shard: make it by .* with --shard"):
        shards.merge([*parts, ("whole.json", whole)])


DAMAGE = {
    "an image is missing": (("cells", "PSSR", "fgsm", "correct"), "1" * 20),
    "no flags": (("cells", "PSSR", "fgsm"), {"accuracy": 0.5}),
    "distances are missing": (("attacks", "fgsm", "every_distance"), [0.2] * 20),
    "no distances": (("attacks", "fgsm"), {"attack": "fgsm", "norm": "Linf", "eps": 0.2, "targeted": False}),
    "another n": (("n",), 20),
    "other images": (("indices",), "0-20"),
    "another number": (("shard", "number"), 3),
    "cells of text": (("cells",), "much"),
    "no number": (("shard",), "2/3"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_shard_is_named(kind, parts):
    damaged = ("odd.json", changed(parts[1][1], *DAMAGE[kind]))
    with pytest.raises(InputError, match=r"odd\.json"):
        shards.merge([parts[0], damaged, parts[2]])


def test_files_that_are_no_records_are_refused(tmp_path):
    for content, reason in (("", "cannot be read"), ("[1]", "is no record"), ('{"n": 3}', "is no record")):
        (tmp_path / "part.json").write_text(content)
        with pytest.raises(InputError, match=rf"part\.json {reason}"):
            shards.read(tmp_path / "part.json")
    with pytest.raises(InputError, match=r"none\.json cannot be read as a record \(No such file"):
        shards.read(tmp_path / "none.json")
