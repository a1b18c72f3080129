"""pssr-verify: what is right passes, and whatever was changed in a record is told in the right words."""

import argparse
import copy
import json
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import pssr_keras
from pssr_keras import PSSR, InputError, PixelSurgery, attacks, evaluation, training
from pssr_keras.attacks import adaptive
from pssr_keras.commands import verify as command
from pssr_keras.evaluation import consistency, matching, verification

RESULTS = pathlib.Path(__file__).parents[1] / "results"
RECORDS = sorted(RESULTS.glob("*/*.json"))
SUITE = (attacks.FGSM(0.3), attacks.PGD(0.5, steps=5, step_size=0.2))


@pytest.fixture(scope="module")
def pssr(toy_classifier, toy_extrapolator):
    return PSSR(toy_classifier, PixelSurgery(), toy_extrapolator, name="pssr")


@pytest.fixture(scope="module")
def made(pssr, toy_images):
    return evaluation.evaluate(pssr.classifier, training.stages(pssr), toy_images, SUITE)


@pytest.fixture
def record(made):
    return copy.deepcopy(made)


def with_flags(cell, flags):
    """Tamper with a cell so that it agrees with itself."""
    cell.update(evaluation.measurement(np.asarray(flags)))


def cells_of(found):
    return [cell for cells in found["cells"].values() for cell in cells.values()]


def test_a_right_record_holds(record, pssr, toy_images):
    found = evaluation.verify(record, training.stages(pssr), toy_images, n=20, seed=1)
    assert found["holds"] is True
    assert (found["problems"], found["remarks"], found["missing"]) == ([], [], {})
    assert list(found["cells"]) == ["undefended", "+PS", "+CAE", "PSSR"]
    for cell in cells_of(found):
        assert (cell["verdict"], cell["differing"], cell["p"], cell["n"]) == ("holds", [], 1.0, 20)
    assert found["seed"] == 1
    assert len(evaluation.indices_of(found["indices"])) == 20
    json.dumps(found)


def test_what_was_made_without_digests_is_told_by_weights_and_rows(record, pssr, toy_images):
    del record["digests"]
    found = evaluation.verify(record, training.stages(pssr), (toy_images.x, toy_images.y), n=None)
    assert found["holds"]
    assert all(cell["differing"] == [] for cell in cells_of(found))


def test_an_adaptive_record_is_judged_through_its_surrogates_with_its_worst_case(pssr, toy_images):
    suite = [attacks.PGD(0.3, steps=2)]
    sources = {"frozen_mask": adaptive.surrogate(pssr, "frozen_mask")}
    made = evaluation.evaluate_adaptively(pssr, toy_images, 0.3, attacks=suite, surrogates=sources)
    found = evaluation.verify(made, [pssr], toy_images, n=12)
    assert found["holds"]
    assert all(cell["differing"] == [] for cell in cells_of(found))
    assert list(found["cells"]["pssr"]) == ["benign", "frozen_mask pgd", "worst case"]
    made["crafted_on"]["frozen_mask"]["surgery"]["alpha"] = 1.1
    worst = made["cells"]["pssr"]["worst case"]
    with_flags(worst, ~evaluation.flags_of(worst["correct"]))
    other = evaluation.verify(made, [pssr], toy_images, n=12, columns=["benign", "worst case"])
    assert re.match(r"pssr, worst case: its flags say \d+, but \d+ stand in all", other["problems"][0])
    assert list(other["cells"]["pssr"]) == ["benign", "worst case"]
    assert other["cells"]["pssr"]["worst case"]["why"] == "it needs columns that were not judged"
    missing = matching.plan(made, matching.held_models([pssr])).runs["frozen_mask pgd"]
    assert "in no PSSR of the same surgery and guide, as FrozenMask needs" in str(missing)


@pytest.mark.parametrize("name", adaptive.SURROGATES)
def test_a_surrogate_is_made_anew_from_its_description(name, pssr):
    options = {"soft_mask": {"temperature": 0.2}, "saliency_aware": {"radius": 0.1}}.get(name, {})
    surrogate = adaptive.surrogate(pssr, name, **options)
    for model in (surrogate, adaptive.Expectation(surrogate, 3), adaptive.Through(surrogate)):
        record = {"crafted_on": {"it": evaluation.identity(model)}, "versions": evaluation.versions()}
        found = matching.attacked(record, "it", matching.held_models([pssr]))
        assert type(found) is type(model)
        assert evaluation.identity(found) == evaluation.identity(model)
    record["crafted_on"]["it"]["defense"]["digest"] = "0" * 64
    with pytest.raises(matching.Missing, match="in no PSSR of the same"):
        matching.attacked(record, "it", matching.held_models([pssr]))


def test_a_flag_that_was_changed_contradicts_the_accuracy(record, pssr, toy_images):
    cell = record["cells"]["PSSR"]["fgsm"]
    cell["correct"] = ("0" if cell["correct"][0] == "1" else "1") + cell["correct"][1:]
    found = evaluation.verify(record, training.stages(pssr), toy_images, n=64)
    assert found["holds"] is False
    assert re.match(r"PSSR, fgsm: the accuracy is [\d.]+, but its flags say \d+ of 64", found["problems"][0])
    assert found["cells"]["PSSR"]["fgsm"]["differing"] == [0]


def test_a_flag_changed_together_with_its_accuracy_is_told(record, pssr, toy_images):
    flags = evaluation.flags_of(record["cells"]["PSSR"]["fgsm"]["correct"])
    flags[7] = ~flags[7]
    with_flags(record["cells"]["PSSR"]["fgsm"], flags)
    found = evaluation.verify(record, training.stages(pssr), toy_images, n=64)
    cell = found["cells"]["PSSR"]["fgsm"]
    assert (cell["verdict"], cell["differing"], cell["p"]) == ("holds", [7], 1.0)
    assert command.flags_in_words(cell) == "1 of 64 differs, place 7 (p = 1)"
    assert sum(len(cell["differing"]) for cell in cells_of(found)) == 1


def test_a_number_that_is_too_good_fails(record, pssr, toy_images):
    assert record["cells"]["undefended"]["pgd"]["accuracy"] < 0.5
    with_flags(record["cells"]["undefended"]["pgd"], np.ones(64, bool))
    found = evaluation.verify(record, training.stages(pssr), toy_images, n=30)
    cell = found["cells"]["undefended"]["pgd"]
    assert (found["holds"], cell["verdict"]) == (False, "fails")
    assert re.match(r"flags differ in one direction \(p = .*; the sample allows [\d.]+ to", cell["why"])
    assert [cell["verdict"] for cell in cells_of(found)].count("fails") == 1


def test_flags_outside_the_sample_are_judged_by_its_interval():
    places = np.arange(50)
    cell = evaluation.measurement(np.r_[np.zeros(50, bool), np.ones(950, bool)])
    found = verification.verdict(cell, np.zeros(50, bool), places)
    assert (found["differing"], found["verdict"]) == ([], "fails")
    assert found["why"] == "the sample allows 0.0 to 14.1%"
    honest = evaluation.measurement(np.r_[np.zeros(50, bool), np.ones(130, bool), np.zeros(820, bool)])
    assert verification.verdict(honest, np.zeros(50, bool), places)["verdict"] == "holds"


def test_flags_that_differ_both_ways_are_rounding():
    recorded = np.tile([True, False], 25)
    flags = recorded.copy()
    flags[:10] = ~flags[:10]
    found = verification.verdict(evaluation.measurement(recorded), flags, np.arange(50))
    assert (found["verdict"], len(found["differing"]), found["p"]) == ("holds", 10, 1.0)


def test_other_weights_are_named(record, pssr, toy_images, toy_network):
    found = evaluation.verify(record, [toy_network], toy_images)
    assert found["holds"] is None
    weights = record["weights"]["PSSR"]
    assert set(found["missing"]) == {weights, record["crafted_on"]}
    assert found["missing"][weights] == ["+CAE", "PSSR"]
    cell = found["cells"]["PSSR"]["fgsm"]
    assert cell == {"verdict": "not checked", "why": f"weights {weights[:12]}... are not here",
                    "recorded": record["cells"]["PSSR"]["fgsm"]["accuracy"]}  # fmt: skip
    record["crafted_on"] = "0" * 64
    found = evaluation.verify(record, training.stages(pssr), toy_images)
    assert found["cells"]["PSSR"]["fgsm"]["why"] == "crafted on weights 000000000000... are not here"
    assert found["cells"]["PSSR"]["benign"]["verdict"] == "holds"


def test_the_same_weights_in_another_model_are_not_those_of_the_record(record, pssr, toy_images):
    other = PSSR(pssr.classifier, PixelSurgery(alpha=1.1), pssr.extrapolator, name="pssr")
    found = evaluation.verify(record, {"PSSR": other}, toy_images)
    assert "in another model: no digest is" in found["cells"]["PSSR"]["fgsm"]["why"]
    record["versions"]["keras"] = "3.0.0"  # of which a digest may be another
    found = evaluation.verify(record, {"PSSR": other}, toy_images, rows=["PSSR"], columns=["benign"])
    assert found["cells"]["PSSR"]["benign"]["verdict"] in ("holds", "fails")


def test_surgery_alone_is_told_by_the_defense_it_belongs_to(record, pssr):
    del record["digests"]
    held = [matching.Held(model, row, "a file") for row, model in training.stages(pssr).items()]
    assert matching.judged(record, "+PS", held).stage == "+PS"
    record["weights"]["PSSR, other architecture"] = record["weights"]["PSSR"]
    assert matching.judged(record, "PSSR, other architecture", held).stage == "PSSR"
    del record["weights"]["PSSR, other architecture"]
    record["weights"] |= {"PSSR": "0" * 64, "+CAE": "0" * 64}
    with pytest.raises(matching.Missing, match="nothing tells which surgery"):
        matching.judged(record, "+PS", held)


def test_another_version_is_a_remark(record, pssr, toy_images):
    record["versions"] |= {"tensorflow": "2.99.0"}
    del record["versions"]["pssr-keras"]
    found = evaluation.verify(record, training.stages(pssr), toy_images, n=8)
    assert found["holds"]
    (remark,) = found["remarks"]
    assert remark.startswith("made with pssr-keras of an unknown version (here ")
    assert "tensorflow 2.99.0 (here " in remark


def test_other_images_are_refused_and_fewer_are_told(record, pssr, toy_images):
    models = training.stages(pssr)
    order = np.arange(64)[::-1]
    for x, y in ((toy_images.x[order], toy_images.y[order]), (1 - toy_images.x, toy_images.y)):
        with pytest.raises(InputError, match=r"are not those of the record, or in another order: their SHA"):
            evaluation.verify(record, models, (x, y))
    with pytest.raises(InputError, match="there are 60 images, expected the record's 64"):
        evaluation.verify(record, models, (toy_images.x[:60], toy_images.y[:60]))
    found = evaluation.verify(record, models, toy_images.take(np.arange(20, 60)), n=5)
    assert found["holds"]
    assert found["remarks"][0].startswith("40 of the record's 64 images are here (toy bands)")
    assert set(evaluation.indices_of(found["indices"])) <= set(range(20, 60))


def test_an_attack_that_nobody_knows_is_told(record, pssr, toy_images):
    record["attacks"]["fgsm"]["attack"] = "deepfool"
    record["attacks"]["pgd"]["warmth"] = 3
    found = evaluation.verify(record, training.stages(pssr), toy_images, n=5)
    whys = {column: cell["why"] for column, cell in found["cells"]["PSSR"].items()}
    assert whys["benign"] == ""
    assert whys["fgsm"].startswith("unknown attack 'deepfool', expected one of apgd-ce, ")
    assert whys["pgd"] == "unknown field warmth of attack 'pgd'"
    assert found["holds"]


@pytest.mark.parametrize("labels", ["predicted", "random target"])
def test_labels_of_an_attacker_are_those_of_the_record(labels, pssr, toy_images):
    made = evaluation.evaluate(pssr.classifier, {"PSSR": pssr}, toy_images, SUITE, labels=labels)
    found = evaluation.verify(made, [pssr], toy_images, n=10, seed=3)
    assert all(cell["differing"] == [] for cell in cells_of(found))


class Noisy(keras.Model):
    """A defense that answers otherwise each time."""

    def __init__(self, classifier, **kwargs):
        super().__init__(**kwargs)
        self.classifier = classifier
        self.built = True

    @property
    def input_shape(self):
        return self.classifier.input_shape

    def purify(self, x):
        return tf.clip_by_value(x + tf.random.normal(tf.shape(x), stddev=0.2), 0.0, 1.0)

    def call(self, x, training=False):
        return self.classifier(self.purify(x), training=False)


def test_a_random_defense_is_judged_by_its_intervals(toy_classifier, toy_images):
    noisy = Noisy(toy_classifier)
    sources = {"mean": adaptive.Expectation(noisy, 2), "through": adaptive.Through(noisy)}
    made = evaluation.evaluate(sources, {"noisy": noisy}, toy_images, SUITE[:1], threat_model="adaptive")
    found = evaluation.verify(made, [noisy], toy_images)
    assert found["holds"]
    assert all(cell["differing"] is None and cell["p"] is None for cell in cells_of(found))
    assert "noisy answers at random: its flags are not compared, only intervals" in found["remarks"]
    with_flags(made["cells"]["noisy"]["mean fgsm"], np.zeros(64, bool))
    with_flags(made["cells"]["noisy"]["worst case"], np.zeros(64, bool))
    assert evaluation.verify(made, [noisy], toy_images)["holds"] is False


def test_what_is_no_record_is_refused(record, pssr, toy_images):
    for content in ([], {"parts": [record]}, {"cells": {}}):
        with pytest.raises(InputError, match="no record of evaluate"):
            evaluation.verify(content, [pssr], toy_images)
    with pytest.raises(InputError, match="row 'ARN' is not in the record, expected one of undefended, "):
        evaluation.verify(record, [pssr], toy_images, rows=["ARN"])
    record["indices"] = "a-b"
    found = evaluation.verify(record, [pssr], toy_images)
    assert found["problems"] == ["the indices are 'a-b', expected positions such as '0-99'"]


# --- a record against itself -----------------------------------------------------------------------


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_published_record_agrees_with_itself(path):
    content = json.loads(path.read_text())
    assert consistency.problems(content) == []
    manifest = command.holdings.Manifest.beside(path)
    assert manifest.entries
    assert manifest.problems(path, content) == []
    for _, record in consistency.evaluations_in(content):
        assert consistency.is_readable(record)
        for config in record["attacks"].values():
            known = matching.attack_of(config).get_config()
            assert known.items() >= {name: config[name] for name in ("attack", "eps", "targeted")}.items()


def changed(record, *keys, to):
    for key in keys[:-1]:
        record = record[key]
    record[keys[-1]] = to


CONTRADICTIONS = {
    "the accuracy is 2, expected 0 to 1": (("cells", "PSSR", "pgd", "accuracy"), 2),
    r"the interval is \[0, 1\], expected": (("cells", "PSSR", "pgd", "interval_95"), [0, 1]),
    "no text of 0 and 1": (("cells", "PSSR", "pgd", "correct"), "0a"),
    "has 2 flags, expected 64": (("cells", "PSSR", "pgd", "correct"), "01"),
    "n is 64, but the indices are 63": (("indices",), "0-62"),
    "an index is there twice": (("indices",), "0-62,3"),
    "weights, PSSR is 'abc', expected a SHA-256": (("weights", "PSSR"), "abc"),
    "images_sha256 is 7, expected": (("images_sha256",), 7),
    "the rows are undefended": (("weights",), {}),
    "PSSR has the columns benign": (("cells", "PSSR"), {"benign": evaluation.measurement(np.ones(64, bool))}),
    "attack pgd does not tell of 64": (("attacks", "pgd", "distances"), [0.0]),
}


@pytest.mark.parametrize("words", CONTRADICTIONS)
def test_a_contradiction_is_told(words, record):
    assert consistency.problems(record) == []
    keys, value = CONTRADICTIONS[words]
    changed(record, *keys, to=value)
    assert any(re.search(words, line) for line in consistency.problems(record)), consistency.problems(record)
    table = {"table": "table_1", "parts": [{}, record]}
    assert [place for place, _ in consistency.evaluations_in({"a": table, "b": [record]})] in (
        ["a, part 2", "b, part 1"],
        [],  # of a record that lost what makes it one
    )
    assert all("part 2" in line for line in consistency.problems(table))


# --- the command -----------------------------------------------------------------------------------


@pytest.fixture
def published(record, pssr, toy_images, tmp_path):
    """A folder of results with a toy record: (its path, arguments that name weights and images)."""
    folder = tmp_path / "results" / "toy"
    folder.mkdir(parents=True)
    pssr.save(tmp_path / "pssr.keras")
    np.savez(tmp_path / "toy.npz", images=toy_images.x, labels=toy_images.y)
    (folder / "record.json").write_text(json.dumps(record))
    arguments = ["--images", tmp_path / "toy.npz", "--quiet", "--n", 16]
    return folder / "record.json", [*arguments, "--weights", tmp_path / "pssr.keras"]


def run(capsys, path, arguments):
    """(exit status, what was printed, what was complained of)."""
    capsys.readouterr()
    status = command.main([str(path), *map(str, arguments)])
    return status, *capsys.readouterr()


def test_the_command_passes_what_is_right_and_fails_what_is_not(published, record, tmp_path, capsys):
    path, arguments = published
    status, printed, _ = run(capsys, path, [*arguments, "--out", tmp_path / "found.json"])
    assert status == 0
    assert "16 of 64 images, seed 0" in printed
    assert re.search(r"^PSSR +fgsm +[\d.]+ +[\d.]+ of 16 +equal +holds$", printed, re.M)
    assert "0 contradictions; of 12 cells 12 hold, 0 fail, 0 were not checked" in printed
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["holds"] is True
    assert "exists: choose another --out" in run(capsys, path, ["--out", tmp_path / "found.json"])[2]

    with_flags(record["cells"]["undefended"]["pgd"], np.ones(64, bool))
    path.write_text(json.dumps(record))
    status, printed, _ = run(capsys, path, [*arguments, "--rows", "undefended", "--columns", "pgd"])
    assert status == 1
    assert re.search(r"^undefended +pgd .*FAILS: flags differ in one direction", printed, re.M)
    assert "of 1 cells 0 hold, 1 fail, 0" in printed

    record["cells"]["undefended"]["pgd"]["accuracy"] = 0.5
    path.write_text(json.dumps(record))
    status, printed, _ = run(capsys, path, ["--n", 0])
    assert status == 1
    assert "CONTRADICTION: undefended, pgd: the accuracy is 0.5, but its flags say 64 of 64" in printed


def test_missing_weights_are_named_with_the_command_that_brings_them(published, record, capsys):
    path, arguments = published
    weights = record["weights"]["PSSR"]
    status, printed, complaint = run(capsys, path, arguments[:-2])
    assert status == 2
    assert f"not checked: +CAE, PSSR: weights {weights[:12]}... are not here: name their file" in printed
    assert complaint.startswith("error: nothing could be judged: weights ")

    name = "results/toy/pssr.keras"
    entry = {"sha256": "0" * 64, "weights_hash": weights, "record": "results/toy/record.json", "row": "PSSR"}
    manifest = path.parents[1] / "weights.json"
    manifest.write_text(json.dumps({name: entry}))
    status, printed, complaint = run(capsys, path, arguments[:-2])
    assert status == 2
    assert f"python scripts/weights.py fetch {name}" in complaint

    (path.parent / "pssr.keras").write_bytes(b"another file")
    status, printed, _ = run(capsys, path, [*arguments, "--columns", "benign"])
    assert status == 1
    assert "pssr.keras is another file than that of weights.json" in printed
    manifest.write_text(json.dumps({name: entry | {"weights_hash": "1" * 64}}))
    assert "weights.json names 111111111111... of results/toy/pssr.keras" in run(capsys, path, ["--n", 0])[1]


def test_a_record_of_other_shipped_weights_is_told(published, record, capsys):
    path, _ = published
    path.write_text(json.dumps(record | {"weights_from": "shipped mnist"}))
    status, printed, _ = run(capsys, path, ["--n", 0])
    assert status == 0
    weights = record["weights"]["PSSR"][:12]
    assert f"about the shipped mnist, but weights {weights}... are not shipped here" in printed


def test_weights_in_the_folder_of_results_are_found(published, pssr, capsys):
    path, arguments = published
    pssr.save(path.parent / "pssr.keras")
    assert run(capsys, path, ["--columns", "benign"])[0] == 2
    (path.parents[1] / "weights.json").write_text("{}")
    assert run(capsys, path, [*arguments[:-2], "--columns", "benign"])[0] == 0


def test_a_mistake_is_one_line(published, capsys, tmp_path):
    path, arguments = published
    for given, words in (
        ((tmp_path / "none.json", []), "none.json cannot be read"),
        ((tmp_path / "toy.npz", []), "is no record, expected a JSON file"),
        ((path, ["--n", -1]), "n is -1"),
        ((path, ["--columns", "deepfool"]), "column 'deepfool' is not in the record, expected one of benign"),
        ((path, arguments[3:]), "the record is about 'toy bands': name its images by --images"),
        ((path, ["--weights", tmp_path / "results"]), "results holds no .keras file"),
    ):
        status, _, complaint = run(capsys, *given)
        assert (status, complaint.count("\n")) == (2, 1)
        assert words in complaint
    (tmp_path / "other.json").write_text('{"name": 1}')
    assert "there is no accuracy in it" in run(capsys, tmp_path / "other.json", [])[2]


def test_a_figure_is_checked_against_itself_alone(capsys):
    status, printed, _ = run(capsys, RESULTS / "mnist" / "figure_1.json", [])
    assert status == 0
    assert "nothing here is re-judged: figure_1" in printed


def test_an_interrupted_command_has_told_what_it_found(published, monkeypatch, capsys):
    def interrupt(attack, *arguments, **options):
        if attack.name == "pgd":
            raise KeyboardInterrupt
        return attacks.Attack.batch_by_batch(attack, *arguments, **options)

    monkeypatch.setattr(attacks.FGSM, "batch_by_batch", interrupt)
    monkeypatch.setattr(attacks.PGD, "batch_by_batch", interrupt)
    path, arguments = published
    status, printed, _ = run(capsys, path, arguments)
    assert status == 130
    assert "1 of 2, fgsm: 4 hold" in printed


def test_the_bundled_digits_of_another_set_are_refused():
    record = json.loads((RESULTS / "mnist" / "shipped_evaluation.json").read_text())
    arguments = argparse.Namespace(images=None, source="bundled", data_dir=None)
    with pytest.raises(InputError, match="which are others: use --source tfds"):
        command.Images(arguments).of(record)


def test_a_record_of_the_shipped_digits_is_verified(tmp_path, capsys, bundled_test):
    """Its weights and images are found without a word of the user's."""
    pssr = pssr_keras.load_pretrained("mnist")
    few = bundled_test.take(slice(0, 5))
    made = evaluation.evaluate(pssr.classifier, {"PSSR": pssr}, few, SUITE[:1])
    (tmp_path / "record.json").write_text(json.dumps(made))
    status, printed, _ = run(capsys, tmp_path / "record.json", ["--n", 5, "--quiet"])
    assert status == 0
    assert printed.count("equal") == 2


# Records about weights and images that the package ships, and those of their columns that took less than 20 s
# on two cores. Left out: bim, mim and pgd of cifar100 (DenseNet121, 22 to 60 s each), frozen_mask pgd of the
# adaptive records (100 steps through E), AutoAttack and CW of the tables. Records of mnist are about images
# that are not bundled.
SHIPPED = {
    "cifar10/shipped_evaluation": ["benign", "fgsm", "bim", "mim", "pgd"],
    "cifar10/shipped_adaptive": ["benign", "classifier pgd"],
    "cifar100/shipped_evaluation": ["benign", "fgsm"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_a_published_record_of_shipped_weights_and_images_holds(name, capsys):
    path, columns = RESULTS / f"{name}.json", SHIPPED[name]
    arguments = ["--source", "bundled", "--quiet", "--n", 50, "--columns", *columns]
    status, printed, _ = run(capsys, path, arguments)
    rows = len(json.loads(path.read_text())["cells"])
    assert status == 0
    assert f"of {rows * len(columns)} cells {rows * len(columns)} hold, 0 fail, 0 were" in printed
