"""A finding is as sure as its images allow, and qualifies only what an attack left."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
from scipy import stats

from pssr_keras import checks, evaluation
from pssr_keras.evaluation import findings, statistics

RECORD = pathlib.Path(__file__).parents[1] / "results" / "mnist" / "table_3.json"


@pytest.mark.parametrize(
    ("bad", "total", "verdict"),
    [
        (0, 100, "PASS"),
        (1, 100, "WARN"),  # one image is 1%, and comes up by chance in 18 of 100 cases
        (2, 100, "FAIL"),
        (2, 1_000, "PASS"),
        (3, 1_000, "WARN"),
        (6, 1_000, "FAIL"),
        (20, 10_000, "PASS"),
        (29, 10_000, "FAIL"),
    ],
)
def test_a_share_fails_only_where_the_images_contradict_the_tolerance(bad, total, verdict):
    found = findings.share(bad, total, 0.002, "it breaks {}")
    assert found.verdict == verdict
    assert found.n == total
    low, high = found.interval
    assert low <= bad / total <= high
    assert (low > 0.002) == (found.p < findings.LEVEL) == (verdict == "FAIL")


def test_a_finding_says_its_resolution():
    found = findings.share(1, 100, 0.002, "Square alone breaks {}")
    assert found.figure == "Square alone breaks 1.0% [0.1, 4.7], n = 100"
    assert found.expected == "<= 0.2%"
    risen = findings.share(4, 100, 0.01, "for {} of the images", complement=True)
    assert risen.figure == "for 96.0% [91.1, 98.6] of the images, n = 100"
    assert (risen.expected, risen.verdict) == (">= 99%", "FAIL")
    assert findings.share(50, 100, 0.1, "{}", worst="WARN").verdict == "WARN"


def test_each_limit_is_wrong_in_five_of_a_hundred_cases():
    low, high = statistics.exact_interval(7, 50)
    assert stats.binom.sf(6, 50, low) == pytest.approx(0.05)
    assert stats.binom.cdf(7, 50, high) == pytest.approx(0.05)
    assert statistics.exact_interval(0, 100)[0] == 0
    assert statistics.exact_interval(100, 100)[1] == 1


def test_without_tolerance_a_rise_is_judged_by_mcnemar_s_exact_test():
    assert statistics.chance_of_rise(5, 0, 100) == pytest.approx(1 / 2**5)
    assert statistics.chance_of_rise(8, 1, 100) == pytest.approx((1 + 9) / 2**9)
    assert statistics.chance_of_rise(0, 0, 100) == 1


@pytest.mark.parametrize("total", [64, 100, 300])
def test_a_rise_that_is_just_tolerated_is_rarely_called_a_failure(total):
    """All outcomes, weighed by their probability, for several shares of images that are lost."""
    for losing in (0, 0.002, 0.01, 0.05):
        gaining = losing + 0.01
        gained = np.arange(int(total * gaining + 10 * np.sqrt(total * gaining)) + 5)
        lost = np.arange(int(total * losing + 10 * np.sqrt(total * losing)) + 5)
        weight = stats.binom.pmf(gained, total, gaining)[:, None] * stats.binom.pmf(
            lost[None], total - gained[:, None], losing / (1 - gaining)
        )
        chance = np.array(
            [[statistics.chance_of_rise(g, x, total, 0.01) for x in lost.tolist()] for g in gained.tolist()]
        )
        assert weight.sum() == pytest.approx(1, abs=1e-4)
        assert weight[chance < 0.05].sum() <= 0.06


def flags(*parts):
    """Flags from (how many, right or not)."""
    return np.concatenate([np.full(count, right) for count, right in parts])


@pytest.mark.parametrize(
    ("won", "lost", "verdict"),
    [(1, 0, "PASS"), (11, 10, "PASS"), (2, 0, "WARN"), (4, 0, "FAIL"), (13, 10, "WARN")]
)  # fmt: skip
def test_accuracy_may_rise_by_a_point_and_by_chance(won, lost, verdict):
    before = flags((50, True), (won, False), (lost, True), (50 - won - lost, False))
    after = flags((50, True), (won, True), (lost, False), (50 - won - lost, False))
    found = findings.no_rise([before, after], 0.01, "before: ..", "rises by <= 1 point")
    assert found.verdict == verdict
    assert (f"{won} won, {lost} lost of 100" in found.figure) == (verdict != "PASS")


def test_of_many_rises_one_may_come_by_chance():
    before = flags((50, True), (50, False))
    after = flags((54, True), (46, False))
    assert findings.no_rise([before, after], 0.01, "", "").verdict == "FAIL"
    assert findings.no_rise([after, before, after], 0.01, "", "").verdict == "WARN"
    much = flags((60, True), (40, False))
    assert findings.no_rise([much, before, much], 0.01, "", "").verdict == "FAIL"


FAILED = checks.Finding("loss rises", "FAIL", "3%", ">= 99%")
FINE = checks.Finding("logits", "PASS", "from -1 to 1", "logits, finite")


@pytest.mark.parametrize("form", [lambda f: f, dataclasses.asdict])
def test_a_failed_check_qualifies_what_is_left_and_nothing_else(form):
    failed, fine = [form(FINE), form(FAILED)], [form(FINE)]
    assert checks.failed(failed) == ["loss rises"]
    assert checks.verdict(failed) == checks.verdict(failed, 0.3) == checks.UNRELIABLE
    assert checks.verdict(failed, 0.0) == checks.verdict(failed, 0.01) == checks.BROKEN
    assert checks.verdict(fine) == checks.verdict(fine, 0.9) == checks.verdict(fine, 0.0) == checks.RELIABLE
    assert checks.verdict_on_row(failed, [0.9, 0.3]) == "UNRELIABLE: 1 FAIL"
    assert checks.verdict_on_row(failed, [0.0, 0.3]) == "UNRELIABLE where more than 1% is left: 1 FAIL"
    assert checks.verdict_on_row(failed, [0.0, 0.0]) == "nothing left; 1 FAIL"
    assert checks.verdict_on_row(fine, [0.0, 0.3]) == "no check failed"


def test_the_published_record_is_unreliable_only_where_something_is_left():
    parts = json.loads(RECORD.read_text())["parts"]
    part = next(part for part in parts if "PSSR" in part["cells"])
    cells = part["cells"]["PSSR"]
    rows = {
        source: checks.verdict_on_row(
            found, [cells[f"{source} {attack}"]["accuracy"] for attack in ("pgd", "apgd-ce", "apgd-t")]
        )
        for source, found in part["checks"].items()
    }
    assert rows["classifier"] == "UNRELIABLE: 4 FAIL"
    assert rows["identity"] == "UNRELIABLE: 3 FAIL"
    assert rows["frozen_mask"] == "no check failed"
    assert rows["straight_through"] == rows["soft_mask"] == "nothing left; 1 FAIL"
    assert rows["saliency_aware"] == "UNRELIABLE where more than 1% is left: 1 FAIL"


def test_remarks_mark_no_attack_that_leaves_nothing():
    cells = {name: {"accuracy": value} for name, value in (("benign", 0.9), ("fgsm", 0.5), ("pgd", 0.0))}
    record = {"n": 100, "cells": {"PSSR": cells}, "checks": {"classifier": [dataclasses.asdict(FAILED)]}}
    record["attacks"] = {"fgsm": {}, "pgd": {}}
    lines = evaluation.remarks(record)
    assert lines[0] == "UNRELIABLE where crafted on the classifier: failed loss rises"
    assert lines[1].startswith("pgd: at most one image in a hundred is left")
    cells["fgsm"]["accuracy"] = 0.01
    (line,) = evaluation.remarks(record)
    assert line.startswith("fgsm, pgd: at most one image in a hundred is left")


def test_the_text_of_findings_knows_what_is_left():
    assert "UNRELIABLE" in checks.text([FINE, FAILED])
    assert "UNRELIABLE" not in checks.text([FINE, FAILED], 0.0)
    assert checks.text([FINE]).endswith("no check failed")
