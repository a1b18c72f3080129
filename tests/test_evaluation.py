import json
from statistics import NormalDist

import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import PSSR, InputError, PixelSurgery, attacks, evaluation
from pssr_keras.attacks import adaptive
from pssr_keras.evaluation import provenance


def test_wilson_interval_is_that_of_the_formula():
    z = NormalDist().inv_cdf(0.975)
    p, n = 0.9, 1000
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert evaluation.wilson_interval(900, 1000) == pytest.approx((centre - half, centre + half))
    assert evaluation.wilson_interval(0, 1000) == pytest.approx((0, 0.0038), abs=1e-4)


@pytest.mark.parametrize(("successes", "total"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_interval_of_nonsense_is_refused(successes, total):
    with pytest.raises(InputError, match="no proportion"):
        evaluation.wilson_interval(successes, total)


def test_crafting_covers_every_image_whatever_the_batch(toy_classifier, toy_images):
    attack = attacks.PGD(0.2, steps=3)
    whole = evaluation.craft(attack, toy_classifier, toy_images, seed=5)
    parts = evaluation.craft(attack, toy_classifier, toy_images, seed=5, batch_size=10)
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    assert (np.abs(whole - toy_images.x).reshape(64, -1).max(axis=1) > 0.15).all()


def test_a_subset_gets_the_same_random_starts(toy_classifier, toy_images):
    attack = attacks.PGD(0.2, steps=1)
    whole = evaluation.craft(attack, toy_classifier, toy_images)
    rows = np.array([40, 3, 17])
    np.testing.assert_allclose(
        evaluation.craft(attack, toy_classifier, toy_images.take(rows)), whole[rows], atol=1e-6
    )


def test_each_model_is_identified_once(toy_classifier, toy_extrapolator, toy_images, monkeypatch):
    pssr, seen = PSSR(toy_classifier, PixelSurgery(), toy_extrapolator), []
    digest = provenance.models.digest
    monkeypatch.setattr(provenance.models, "digest", lambda model: (seen.append(model), digest(model))[1])
    few, sources = toy_images.take(slice(0, 4)), {"classifier": toy_classifier, "PSSR": pssr}
    record = evaluation.evaluate(sources, {"PSSR": pssr}, few, [attacks.FGSM(0.1)], threat_model="adaptive")
    assert len({id(model) for model in seen}) == len(seen) == 2
    assert record["digests"]["PSSR"] == record["crafted_on"]["PSSR"]["digest"] == digest(pssr)
    assert record["weights"]["PSSR"] == record["crafted_on"]["PSSR"]["weights"]


@pytest.fixture(scope="module")
def record(toy_classifier, toy_extrapolator, toy_images):
    judged = {
        "undefended": PSSR(toy_classifier, None),
        "PSSR": PSSR(toy_classifier, PixelSurgery(), toy_extrapolator),
    }
    return evaluation.evaluate(
        toy_classifier, judged, toy_images, [attacks.FGSM(0.2), attacks.PGD("0.2")], seed=4
    )


def test_a_record_tells_everything_and_survives_json(record, toy_classifier, toy_images):
    record = json.loads(json.dumps(record))
    assert record["n"] == 64
    assert record["data"] == "toy bands"
    assert record["seed"] == 4
    assert record["threat_model"] == "oblivious: crafted on the classifier alone"
    assert record["attacks"]["pgd"]["steps"] == 40
    assert record["indices"] == "0-63"
    assert record["crafted_on"] == record["weights"]["undefended"] == evaluation.weights_hash(toy_classifier)
    assert record["weights"]["PSSR"] != record["weights"]["undefended"]
    assert set(record["versions"]) >= {"python", "keras", "tensorflow", "cleverhans", "numpy"}


def test_cells_agree_with_a_count_by_hand(record, toy_classifier, toy_images):
    x_adv = attacks.FGSM(0.2)(toy_classifier, toy_images.x, toy_images.y)
    right = tf.argmax(toy_classifier(x_adv), axis=1).numpy() == toy_images.y
    cell = record["cells"]["undefended"]["fgsm"]
    assert cell["accuracy"] == right.mean()
    assert cell["correct"] == "".join(str(int(flag)) for flag in right)
    assert cell["interval_95"][0] <= right.mean() <= cell["interval_95"][1]


def test_the_table_names_threat_model_n_eps_seed_and_data(record):
    text = evaluation.table(record)
    for part in (
        "undefended",
        "PSSR",
        "benign",
        "fgsm",
        "pgd",
        "n = 64",
        "eps 0.2",
        "seed 4",
        "toy bands",
        "oblivious",
    ):
        assert part in text


def test_label_leaking_is_reported():
    cells = {"benign": {"accuracy": 0.9}, "fgsm": {"accuracy": 0.95}, "pgd": {"accuracy": 0.85}}
    assert evaluation.label_leaks(cells) == {"fgsm": None}
    (remark,) = evaluation.remarks({"cells": {"PSSR": cells}})
    assert "PSSR is more accurate under fgsm than on the same benign images" in remark
    cells["fgsm"]["accuracy"] = 0.9
    assert evaluation.remarks({"cells": {"PSSR": cells}}) == []


def test_a_rise_under_attack_comes_with_its_chance():
    """Six images won and none lost: two tails of six fair coins."""
    right = {"benign": [1] * 90 + [0] * 10, "pgd": [1] * 96 + [0] * 4}
    cells = {name: evaluation.measurement(np.array(flags, bool)) for name, flags in right.items()}
    assert evaluation.label_leaks(cells) == {"pgd": pytest.approx(2 / 2**6)}
    assert "under pgd (p = 0.031)" in evaluation.remarks({"cells": {"PSSR": cells}})[0]


def test_nan_logits_are_refused(toy_classifier, toy_images):
    with pytest.raises(InputError, match="NaN"):
        evaluation.correct(lambda x: toy_classifier(x) * float("nan"), toy_images.x, toy_images.y)


def test_hashes_tell_weights_and_files_apart(toy_classifier, toy_extrapolator, tmp_path):
    assert evaluation.weights_hash(toy_classifier) == evaluation.weights_hash(toy_classifier)
    assert evaluation.weights_hash(toy_classifier) != evaluation.weights_hash(toy_extrapolator)
    with pytest.raises(InputError, match="cannot be read"):
        evaluation.file_hash(tmp_path / "nothing")


def test_an_image_is_robust_in_the_worst_case_only_if_it_survives_all(toy_classifier, toy_images):
    """Several models are attacked; Square queries the defense itself; CW has another norm and stays out."""
    pssr = PSSR(toy_classifier, PixelSurgery())
    sources = {"classifier": toy_classifier, "frozen_mask": adaptive.surrogate(pssr, "frozen_mask")}
    suite = [attacks.FGSM(0.15), attacks.Square(0.15, queries=20), attacks.CarliniWagner(steps=5, searches=2)]
    record = evaluation.evaluate(
        sources,
        {"PSSR": pssr},
        toy_images,
        suite,
        black_box={"PSSR": pssr},
        threat_model=evaluation.ADAPTIVE,
    )
    cells = record["cells"]["PSSR"]
    linf = ["classifier fgsm", "frozen_mask fgsm", "PSSR square"]
    assert set(cells) == {"benign", "worst case", *linf, "classifier cw", "frozen_mask cw"}
    flags = [evaluation.flags_of(cells[column]["correct"]) for column in ["benign", *linf]]
    assert cells["worst case"]["correct"] == evaluation.text_of(np.all(flags, axis=0))
    assert cells["worst case"]["accuracy"] <= min(cells[column]["accuracy"] for column in linf)
    assert set(record["crafted_on"]) == {"classifier", "frozen_mask", "PSSR"}
    assert record["attacks"]["PSSR square"]["crafted_on"] == "PSSR"

    lines = evaluation.table(record).splitlines()
    assert lines[0].split() == ["PSSR"]  # many attacks, one model: a row for each attack
    assert lines[-1].startswith("threat model adaptive")
    assert "frozen_mask cw moves" in "\n".join(evaluation.remarks(record))


def test_a_failed_check_marks_what_was_crafted_there(record):
    findings = [{"name": "loss rises", "verdict": "FAIL", "figure": "3%", "expected": "99%"}]
    marked = evaluation.remarks({**record, "checks": {"identity": findings}})
    assert "UNRELIABLE where crafted on the identity: failed loss rises" in marked
    assert not any("UNRELIABLE" in line for line in evaluation.remarks(record))


def test_mcnemar_counts_the_images_on_which_rows_differ():
    first = np.array([1] * 8 + [0] * 1 + [1] * 50 + [0] * 5, bool)
    second = np.array([0] * 8 + [1] * 1 + [1] * 50 + [0] * 5, bool)
    found = evaluation.mcnemar(first, second)
    assert (found["first_only"], found["second_only"]) == (8, 1)
    assert found["p"] == pytest.approx(2 * (1 + 9) / 2**9)  # both tails of a fair coin thrown nine times
    assert evaluation.mcnemar(first, first)["p"] == 1


def test_labels_of_the_attacker(toy_classifier, toy_images):
    attack = attacks.PGD(0.2)
    predicted = toy_classifier.predict(toy_images.x, verbose=0).argmax(axis=1)
    assert evaluation.with_labels("true", attack, toy_classifier, toy_images) == (attack, toy_images)
    same, labelled = evaluation.with_labels("predicted", attack, toy_classifier, toy_images)
    assert same == attack
    np.testing.assert_array_equal(labelled.y, predicted)
    towards, labelled = evaluation.with_labels("random target", attack, toy_classifier, toy_images)
    assert towards.targeted
    assert (labelled.y != predicted).all()
    assert len(np.unique((labelled.y - predicted) % 3)) == 2  # every other class occurs
    part = toy_images.take(slice(10, 20))
    np.testing.assert_array_equal(
        evaluation.with_labels("random target", attack, toy_classifier, part)[1].y, labelled.y[10:20]
    )
    with pytest.raises(InputError, match="labels are 'none', expected one of true, predicted"):
        evaluation.with_labels("none", attack, toy_classifier, toy_images)


def test_indices_as_text():
    assert evaluation.text_of_indices(np.array([0, 1, 2, 5, 7, 8])) == "0-2,5,7-8"


def test_beyond_a_budget_the_attacker_leaves_the_image():
    cells = {"benign": {"correct": "1101"}, "cw": {"correct": "0100"}}
    found = evaluation.within_budget(cells, "cw", [0.5, 0.5, 3.0, 3.0], 2.0)
    assert found["correct"] == "0101"
    assert evaluation.within_budget(cells, "cw", [0.5, 0.5, 3.0, 3.0], 9.0)["correct"] == "0100"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0.3, "0.3"),
        (0.2, "0.2"),
        (0.125, "0.125"),
        (0, "0"),
        (8 / 255, "8/255"),
        (np.float32(2 / 255), "2/255"),
        (1.6 / 255, "1.6/255"),
    ],
)
def test_budgets_as_people_write_them(number, words):
    assert evaluation.in_pixels(number) == words
