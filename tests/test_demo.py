"""What the page answers, without a browser and without Streamlit; tests/test_demo_browser.py has the rest."""

import contextlib
import dataclasses
import html.parser
import itertools
import json
import os
import pathlib
import re
import shutil
import sys
import threading

import numpy as np
import pytest
from pictures import bad_uploads, camera, digit, file_of
from PIL import Image

from pssr_keras import PSSR, InputError, PixelSurgery, attacks, command_line, data, pretrained
from pssr_keras.attacks import adaptive
from pssr_keras.demo import answering, choices, markup, pictures, server, walking
from pssr_keras.demo.answering import ADAPTIVE, OBLIVIOUS, Question
from pssr_keras.demo.turns import Turns

# --- walking -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toy_pssr(toy_classifier, toy_extrapolator):
    return PSSR(toy_classifier, PixelSurgery(), toy_extrapolator)


@pytest.fixture(scope="module")
def targets(toy_pssr):
    return {"classifier": toy_pssr.classifier, "frozen_mask": adaptive.surrogate(toy_pssr, "frozen_mask")}


KEEPING = attacks.PGD(0.2, steps=7, step_size=0.05, best=True)
ATTACKS = [
    ("classifier", attacks.FGSM(0.2)),
    ("classifier", attacks.BIM(0.2, steps=5)),
    ("classifier", attacks.MIM(0.2, steps=5)),
    ("classifier", attacks.PGD(0.2, steps=7, step_size=0.05)),
    ("classifier", KEEPING),
    ("classifier", dataclasses.replace(KEEPING, eps=0.01, step_size=0.004)),  # a budget too small to succeed
    ("classifier", attacks.create("apgd-ce", eps=0.2, steps=10)),
    ("classifier", attacks.create("apgd-ce", eps=0.01, steps=10)),
    ("classifier", attacks.create("square", eps=0.3, queries=60)),
    ("frozen_mask", KEEPING),
]


@pytest.mark.parametrize(("through", "attack"), ATTACKS, ids=lambda value: getattr(value, "name", value))
def test_a_walk_ends_where_the_attack_does(through, attack, targets, toy_images):
    """On images that it fools and on images that it does not."""
    for row in (0, 1, 5):
        x, y = toy_images.x[row], toy_images.y[row]
        expected = attack(targets[through], x[None], y[None], seed=3, indices=[row])[0]
        images, steps = walking.walk(attack, targets[through], x, y, seed=3, index=row)
        np.testing.assert_allclose(images[-1], expected, atol=1e-6)
        assert len(images) == len(steps)
        assert (np.diff(steps) >= 0).all()


def test_another_budget_compiles_nothing_again(toy_pssr, toy_images):
    x, y = toy_images.x[0], toy_images.y[0]
    for eps, steps in ((0.1, 3), (0.2, 9)):
        for name in walking.STEPS:
            steps = steps if name in walking.CHOSEN else 20
            walking.walk(walking.attack_of(name, eps, steps), toy_pssr.classifier, x, y)
    assert walking._gradient(toy_pssr.classifier).experimental_get_tracing_count() == 1
    for name in ("apgd-ce", "square"):
        for program in walking._program(walking.attack_of(name, 0.3, 20), toy_pssr.classifier):
            assert program.experimental_get_tracing_count() == 1


def test_few_steps_reach_across_the_budget():
    assert walking.attack_of("pgd", "0.3", 2).step_size == pytest.approx(0.375)
    assert walking.attack_of("bim", 0.3, 100).step_size == pytest.approx(0.06)
    with pytest.raises(InputError, match="unknown attack 'cw', expected one of fgsm"):
        walking.attack_of("cw", 0.3, 2)


# --- pictures ------------------------------------------------------------------------------------

MODES = [("PNG", "L"), ("PNG", "1"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "I;16"), ("JPEG", "RGB")]
MODES += [("JPEG", "CMYK"), ("WEBP", "RGB"), ("BMP", "RGB"), ("GIF", "P")]


@pytest.mark.parametrize(("kind", "mode"), MODES)
def test_a_digit_is_read_from_any_kind_of_file(kind, mode):
    picture = digit()
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    found = pictures.to_image(pictures.decode(file_of(picture, kind)), (28, 28, 1))
    expected = pictures.to_image(pictures.decode(file_of(digit())), (28, 28, 1))
    np.testing.assert_allclose(found, expected, atol=0.1)


# One colour, as it is kept and as it should be read, or None where it shows white instead.
ORANGE, GREY = (240, 120, 40), (120, 120, 120)
KEPT = {
    "rgb": (Image.new("RGB", (40, 40), ORANGE), "PNG", ORANGE),
    "palette": (
        Image.new("RGB", (40, 40), ORANGE).convert("P", palette=Image.Palette.ADAPTIVE),
        "PNG",
        ORANGE,
    ),
    "grey": (Image.new("L", (40, 40), 120), "PNG", GREY),
    "grey_of_16_bits": (Image.fromarray(np.full((40, 40), 120 * 257 + 100, np.uint16)), "PNG", GREY),
    "bright_grey_of_16_bits": (Image.fromarray(np.full((40, 40), 65_535, np.uint16)), "PNG", (255,) * 3),
    "one_bit": (Image.new("1", (40, 40), 1), "PNG", (255,) * 3),
    "grey_half_transparent": (Image.new("LA", (40, 40), (120, 128)), "PNG", (187,) * 3),
    "half_transparent": (Image.new("RGBA", (40, 40), (*ORANGE, 128)), "PNG", (247, 187, 147)),
    "cmyk": (Image.new("CMYK", (40, 40), (0, 128, 255, 0)), "JPEG", (255, 127, 0)),
    "jpeg": (Image.new("RGB", (40, 40), ORANGE), "JPEG", ORANGE),
    "bmp": (Image.new("RGB", (40, 40), ORANGE), "BMP", ORANGE),
    "gif": (Image.new("RGB", (40, 40), ORANGE), "GIF", ORANGE),
    "webp": (Image.new("RGB", (40, 40), ORANGE), "WEBP", ORANGE),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_colour_is_read_as_it_was_kept(name):
    picture, kind, expected = KEPT[name]
    found = np.asarray(pictures.decode(file_of(picture, kind)))
    assert found.shape == (40, 40, 3)
    np.testing.assert_allclose(found.reshape(-1, 3), np.tile(expected, (1600, 1)), atol=3)


def quarters():
    """A picture whose four quarters differ, twice as wide as high."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:10, :20], pixels[:10, 20:], pixels[10:, :20] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    return Image.fromarray(pixels)


def test_of_a_camera_s_file_with_a_preview_the_first_picture_is_read():
    found = pictures.decode(camera(quarters(), quality=100, subsampling=0))
    assert found.size == (40, 20)
    np.testing.assert_allclose(np.asarray(found), np.asarray(quarters()), atol=12)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "MPO"])
def test_a_picture_is_turned_upright(orientation, kind):
    """The pixels are kept as the camera had them; the eight ways of EXIF, each undone by hand."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    upside = np.asarray(quarters()).astype(int)
    kept = {
        1: upside, 2: upside[:, ::-1], 3: upside[::-1, ::-1], 4: upside[::-1],
        5: upside.swapaxes(0, 1), 6: np.rot90(upside), 7: np.rot90(upside.swapaxes(0, 1), 2),
        8: np.rot90(upside, -1),
    }[orientation]  # fmt: skip
    picture = Image.fromarray(np.ascontiguousarray(kept).astype(np.uint8))
    content = (
        file_of(picture, exif=exif)
        if kind == "PNG"
        else camera(picture, exif=exif, quality=100, subsampling=0)
    )
    np.testing.assert_allclose(np.asarray(pictures.decode(content)), upside, atol=12)


def test_exif_that_makes_no_sense_turns_nothing():
    content = file_of(quarters(), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\xff" + b"\xff" * 9)
    np.testing.assert_array_equal(np.asarray(pictures.decode(content)), np.asarray(quarters()))


def on_nothing(ink, kind="RGBA"):
    """The digit of a one in an ink, on nothing."""
    opacity = Image.fromarray(255 - np.asarray(digit()))
    picture = Image.new("RGB" if kind != "LA" else "L", opacity.size, ink)
    picture.putalpha(opacity)
    return picture.quantize(4) if kind == "P" else picture


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("ink", [0, 60, 128, 200, 230, 255])
def test_ink_of_any_shade_on_nothing_is_seen(ink, kind):
    picture = on_nothing(ink if kind == "LA" else (ink,) * 3, kind)
    found = pictures.to_image(pictures.decode(file_of(picture)), (28, 28, 1))
    expected = pictures.to_image(pictures.decode(file_of(digit())), (28, 28, 1))
    np.testing.assert_allclose(found, expected, atol=0.02)
    page = np.asarray(pictures.decode(file_of(picture)))[0, 0]
    assert page.tolist() == [0 if ink > 204 else 255] * 3


def test_a_white_card_with_a_margin_of_nothing_stays_white():
    card = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    card.paste(digit(mode="RGBA"), (60, 60))
    found = pictures.to_image(pictures.decode(file_of(card)), (28, 28, 1))
    expected = pictures.to_image(pictures.decode(file_of(digit())), (28, 28, 1))
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_a_light_picture_on_nothing_shows_on_black():
    """Of a colour data set too."""
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    picture.paste((255, 255, 230, 255), (16, 16, 48, 48))
    found = pictures.to_image(pictures.decode(file_of(picture)), (32, 32, 3))
    np.testing.assert_allclose(found[0, 0], 0, atol=0.02)
    np.testing.assert_allclose(found[16, 16], np.array([255, 255, 230]) / 255, atol=0.02)


@pytest.mark.parametrize("name", bad_uploads())
def test_a_bad_upload_is_refused_in_a_line(name):
    content, message = bad_uploads()[name]
    with pytest.raises(InputError, match=message) as raised:
        pictures.to_image(pictures.decode(content), (28, 28, 1))
    assert "\n" not in str(raised.value)


def test_what_is_transparent_is_paper_and_a_photograph_stands_upright():
    ink = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    ink.paste((0, 0, 0, 255), (40, 20, 55, 80))
    bar = pictures.to_image(pictures.decode(file_of(ink)), (28, 28, 1))
    assert bar[14, 14] == 1
    assert bar[14, 2] == 0
    rotated = Image.Exif()
    rotated[274] = 6  # to be turned by a quarter
    turned = pictures.decode(file_of(digit(mode="RGB"), "JPEG", exif=rotated))
    upright = pictures.decode(file_of(digit(mode="RGB").transpose(Image.Transpose.ROTATE_270), "JPEG"))
    assert np.abs(np.asarray(turned, int) - np.asarray(upright, int)).max() < 40


def test_a_digit_is_scaled_and_centred_whatever_its_place_size_and_colours():
    expected = pictures.to_image(digit(), (28, 28, 1))
    rows, columns = np.nonzero(expected[..., 0])
    assert np.ptp(rows) == 19  # fills the box of 20 pixels
    assert abs(rows.mean() - 13.5) <= 0.5
    assert abs(columns.mean() - 13.5) <= 0.5
    for picture in (digit(560), digit(paper=0, ink=255), digit(paper=230, ink=60)):
        np.testing.assert_allclose(pictures.to_image(picture, (28, 28, 1)), expected, atol=0.02)
    moved = Image.new("L", (400, 300), 255)
    moved.paste(digit(), (100, 10))
    np.testing.assert_allclose(pictures.to_image(moved, (28, 28, 1)), expected, atol=0.02)


def test_an_image_of_the_right_size_is_taken_as_it_is(bundled_test):
    x = bundled_test.x[0]
    picture = Image.fromarray(data.to_pixels(x[..., 0]))
    np.testing.assert_array_equal(pictures.to_image(pictures.decode(file_of(picture)), x.shape), x)
    tile = data.load("cifar10", "test", source="bundled").x[3]
    picture = Image.fromarray(data.to_pixels(tile))
    np.testing.assert_array_equal(pictures.to_image(pictures.decode(file_of(picture)), tile.shape), tile)
    photograph = pictures.to_image(picture.resize((900, 600)), tile.shape)
    assert photograph.shape == tile.shape
    assert photograph.dtype == np.float32
    assert photograph.min() >= 0
    assert photograph.max() <= 1


def test_digits_drawn_large_are_still_recognised(bundled_test):
    """MNIST's own digits, ten times as large, dark on light and off the middle: they come back as digits."""
    images = bundled_test.take(slice(0, None, 20))
    drawn = []
    for x in images.x:
        page = Image.new("L", (500, 400), 255)
        page.paste(Image.fromarray(255 - data.to_pixels(x[..., 0])).resize((280, 280)), (190, 15))
        drawn.append(pictures.to_image(page, (28, 28, 1)))
    answers = answering.defense_of("mnist").classifier.predict(np.stack(drawn), verbose=0).argmax(1)
    assert (answers == images.y).mean() >= 0.94


# --- answers -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answer(bundled_test):
    """PGD on the first digit, before both attackers."""
    return answering.answer(Question("mnist", bundled_test.x[0], int(bundled_test.y[0])))


def test_the_main_lesson(answer):
    label, sides = answer.label, answer.sides
    assert list(sides) == ["clean", OBLIVIOUS, ADAPTIVE]
    assert sides["clean"].says("PSSR") == sides["clean"].says("classifier") == label
    assert sides[OBLIVIOUS].says("classifier") != label
    assert sides[OBLIVIOUS].says("PSSR") == label
    assert sides[ADAPTIVE].says("PSSR") != label


def test_an_answer_is_what_the_package_computes(answer, bundled_test):
    pssr, side = pretrained.load_pretrained("mnist"), answer.sides[ADAPTIVE]
    x_adv, x = side.x[None], bundled_test.x[:1]
    assert np.abs(x_adv - x).max() <= 0.3 + 1e-6
    np.testing.assert_allclose(side.stages["x_t"], np.asarray(pssr.remove(x_adv))[0], atol=1e-6)
    np.testing.assert_array_equal(side.stages["x_t"], side.x * side.stages["mask"])
    np.testing.assert_allclose(side.stages["restored"], np.asarray(pssr.purify(x_adv))[0], atol=1e-4)
    removed = side.stages["mask"] == 0
    assert side.stages["saliency"][removed].min() >= side.stages["saliency"][~removed].max()
    logits = pssr.predict(x_adv, verbose=0)[0].astype(np.float64)
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose(side.probabilities["PSSR"], expected, atol=1e-4)
    assert side.losses["PSSR"][-1] == pytest.approx(-np.log(expected[answer.label]), abs=1e-2)


def test_the_loss_rises_where_the_attacker_looks(answer):
    oblivious, adapted = answer.sides[OBLIVIOUS], answer.sides[ADAPTIVE]
    assert oblivious.losses["classifier"][-1] > 5 > 0.5 > oblivious.losses["PSSR"][-1]
    assert adapted.losses["PSSR"][-1] > np.log(2)
    for side in (oblivious, adapted):
        assert len(side.steps) == len(side.losses["PSSR"]) <= answering.CURVE
        assert side.steps[0] == 0
    assert oblivious.steps[-1] == 40


def test_without_a_label_the_attack_leaves_what_the_classifier_sees(bundled_test):
    question = Question("mnist", bundled_test.x[0], None, "fgsm", threats=(OBLIVIOUS,))
    found = answering.answer(question)
    assert found.label == found.sides["clean"].says("classifier")
    assert list(found.sides) == ["clean", OBLIVIOUS]


MISTAKES = [
    ({"model": "imagenet"}, "no shipped weights for 'imagenet'"),
    ({"label": 10}, "labels range from 10"),
    ({"attack": "cw"}, "unknown attack 'cw'"),
    ({"eps": "9/8"}, "eps is '9/8'"),
    ({"steps": 0}, "steps is 0"),
    ({"threats": ("psychic",)}, "threat model is 'psychic', expected one of oblivious, adaptive"),
    ({"surrogate": "mirror"}, "unknown surrogate 'mirror', expected one of identity"),
    ({"x": np.zeros((32, 32, 3), np.float32)}, r"expected \(28, 28, 1\)"),
]


@pytest.mark.parametrize(("fields", "message"), MISTAKES)
def test_a_question_that_does_not_fit_is_refused(fields, message, bundled_test):
    question = {"model": "mnist", "x": bundled_test.x[0], "label": 0} | fields
    with pytest.raises(InputError, match=message):
        answering.answer(Question(**question))


@pytest.fixture
def also_hardened(monkeypatch, tmp_path):
    """A second shipped model of MNIST, without surgery, beside the shipped ones."""
    for path in pretrained.FOLDER.iterdir():
        shutil.copy(path, tmp_path)
    pssr = pretrained.load_pretrained("mnist")
    PSSR(pssr.classifier, None, pssr.extrapolator).save(tmp_path / "mnist-hardened.keras")
    card = json.loads((tmp_path / "mnist.json").read_text())
    card["sha256"] = pretrained.file_hash(tmp_path / "mnist-hardened.keras")
    (tmp_path / "mnist-hardened.json").write_text(json.dumps(card))
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)


def test_what_is_shipped_for_a_data_set_answers_too(also_hardened, bundled_test):
    assert list(answering.shipped()["mnist"]) == ["mnist", "mnist-hardened"]
    fields = {"label": int(bundled_test.y[0]), "attack": "fgsm"}
    found = answering.answer(Question("mnist", bundled_test.x[0], **fields))
    assert list(found.sides[ADAPTIVE].probabilities) == ["classifier", "PSSR", "mnist-hardened"]
    attacked = answering.answer(Question("mnist-hardened", bundled_test.x[0], surrogate="identity", **fields))
    assert attacked.defense == "mnist-hardened"
    assert list(attacked.sides[ADAPTIVE].stages) == ["restored"]
    assert "mnist-hardened" in markup.page(attacked)
    with pytest.raises(InputError, match="expected one of identity, frozen_mask"):
        answering.answer(Question("mnist-hardened", bundled_test.x[0], surrogate="soft_mask", **fields))


def test_everything_that_can_be_asked_is_prepared(monkeypatch):
    asked = []
    monkeypatch.setattr(answering, "answer", asked.append)
    monkeypatch.setattr(server, "most_steps", lambda name, surrogate=None: 40)
    for prepare in server.preparations("mnist"):
        prepare()
    prepared = {(question.attack, question.steps, question.threats, question.surrogate) for question in asked}
    assert ("bim", 2, answering.BOTH, "frozen_mask") in prepared
    assert ("square", 120, answering.BOTH, "frozen_mask") in prepared
    assert ("apgd-ce", 30, (OBLIVIOUS,), "frozen_mask") in prepared
    for surrogate in adaptive.SURROGATES:
        assert ("apgd-ce", 30, (ADAPTIVE,), surrogate) in prepared


@pytest.mark.parametrize(("seconds", "most"), [(0.0, 100), (0.03, 40), (9.0, 10)])
def test_steps_are_no_more_than_a_visitor_waits_for(seconds, most, monkeypatch):
    """A machine whose clock goes on by three steps' worth of seconds whenever it is read."""
    times = itertools.count(0, 3 * seconds)
    monkeypatch.setattr(choices.time, "perf_counter", lambda: next(times))
    monkeypatch.setattr(choices, "walk", lambda *arguments: None)
    assert choices.most_steps.__wrapped__("mnist", "frozen_mask") == most
    assert choices.most_of("apgd-ce", most) == min(30, most)


@pytest.mark.parametrize(("eps", "usual", "highest"), [(0.3, "0.3", "0.5"), (8 / 255, "8/255", "32/255")])
def test_budgets_lie_around_that_of_the_data_set(eps, usual, highest):
    texts, chosen = choices.budgets(eps)
    assert chosen == usual
    assert texts[-1] == highest
    assert [attacks.parse_eps(text) for text in texts] == sorted(map(attacks.parse_eps, texts))


# --- markup --------------------------------------------------------------------------------------


class Balanced(html.parser.HTMLParser):
    """A reader that wants every tag closed, and remembers the pictures."""

    def __init__(self):
        super().__init__()
        self.open, self.pictures = [], []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.pictures.append(dict(attrs))
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_an_answer_is_told_in_words_pictures_bars_and_curves(answer):
    text, reader = markup.page(answer), Balanced()
    reader.feed(text)
    assert reader.open == []
    assert len(reader.pictures) == 5 + 6 + 6 + 2
    assert all(picture["alt"] and picture["src"].startswith("data:image/") for picture in reader.pictures)
    assert len({picture["alt"] for picture in reader.pictures}) == len(reader.pictures)
    assert "http" not in re.sub(r'src="data:[^"]*"', "", text)
    # The classifier, the PSSR and the hardened E, each on the clean image and on both attacked ones.
    models = answer.sides[OBLIVIOUS].probabilities
    assert text.count('class="bar"') == 3 * len(models) * markup.MOST_LIKELY
    assert "PSSR stands only as long as the attacker does not know it" in text
    shares = [float(share) for share in re.findall(r"width: ([\d.]+)%;", text)]
    assert 0 <= min(shares) <= max(shares) <= 100


def test_a_perturbation_is_blue_where_it_darkens_and_red_where_it_lightens():
    pixels = markup.signed(np.array([[[-0.3], [0.0], [0.3]]]), 0.3)[0]
    assert pixels[0][2] > pixels[0][0]
    assert pixels[1].min() > 240
    assert pixels[2][0] > pixels[2][2]
    assert markup.signed(np.zeros((1, 1, 3)), 0.0)[0, 0].tolist() == [128, 128, 128]


def test_colour_images_and_many_models_are_told_as_well(monkeypatch):
    """CIFAR-100, a mask for each channel, and three defenses, whose names might be anything."""
    monkeypatch.setattr(markup, "dataset_of", lambda name: data.DATASETS["cifar100"])
    generator = np.random.default_rng(0)
    images = generator.uniform(0, 1, (4, 32, 32, 3)).astype(np.float32)
    stages = dict(zip(("saliency", "mask", "x_t", "restored"), images, strict=True))
    titles = ["classifier", "PSSR", "cifar100-hardened", "<b>&"]
    chances = dict.fromkeys(titles, generator.dirichlet(np.ones(100)))
    losses = dict.fromkeys(titles, np.array([0.1, 3.0]))
    sides = {
        threat: answering.Side(
            threat, "the <classifier>", images[0], stages, chances, np.array([0, 9]), losses
        )
        for threat in ("clean", *answering.BOTH)
    }
    question = Question("cifar100", images[0], attack="square", eps="8/255")
    text = markup.page(answering.Answer(question, 0, "PSSR", sides), dark=True)
    reader = Balanced()
    reader.feed(text)
    assert reader.open == []
    assert "&lt;b&gt;&amp;" in text
    assert ": 9 queries" in text
    assert "_" not in "".join(re.findall(r'<span title="([^"]*)"', text))


def shipped_for(dataset):
    """Names of the shipped models of a data set."""
    cards = {name: pretrained.model_card(name) for name in pretrained.names()}
    return [name for name, card in cards.items() if card["configuration"]["dataset"] == dataset]


def test_a_curve_lies_within_its_drawing(answer):
    for side in (answer.sides[OBLIVIOUS], answer.sides[ADAPTIVE]):
        drawing = markup.chart(side, "steps")
        drawn = re.findall(r'id="loss of \d+">\s*<path d="([^"]*)"', drawing)
        assert len(drawn) == len(side.losses) == 1 + len(shipped_for("mnist"))
        (size,) = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawing)
        for path in drawn:
            places = np.array(re.findall(r"[ML] ([\d.-]+) ([\d.-]+)", path), float)
            assert len(places) >= 2
            assert (places >= 0).all()
            assert (places <= np.array(size, float)).all()


# --- turns and the server ------------------------------------------------------------------------


def test_visitors_take_turns_in_the_order_in_which_they_came():
    turns = Turns()
    with turns.line() as first, turns.line() as second, turns.line() as third:
        assert (first.ahead, second.ahead, third.ahead) == (0, 1, 2)
        assert first.wait(0)
        assert not third.wait(0.01)
    turns.idle()


def test_who_leaves_the_line_keeps_nobody_waiting():
    turns, came = Turns(), threading.Event()

    def visit():
        with turns.line() as place:
            place.wait()
            came.set()

    waiting = threading.Thread(target=visit)
    with contextlib.suppress(KeyError), turns.line():
        waiting.start()
        assert not came.wait(0.05)
        raise KeyError
    assert came.wait(5)
    waiting.join()


def test_the_server_refuses_what_it_cannot_serve(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "streamlit", None)
    assert command_line.run(server.start, "127.0.0.1", 8501) == 2
    assert capsys.readouterr().err == 'error: the page needs Streamlit: pip install -e ".[demo]"\n'
    for host, port in (("127.0.0.1", 99_999), ("no.such.host.invalid", 8501), ("192.0.2.1", 8501)):
        with pytest.raises(InputError, match="choose another --host or --port") as raised:
            server.check_free(host, port)
        assert "\n" not in str(raised.value)


def test_the_board_is_part_of_the_package():
    folder = pathlib.Path(answering.__file__).parent
    assert {path.name for path in folder.glob("canvas.*")} >= {"canvas.html", "canvas.css", "canvas.js"}
    for path in folder.glob("canvas.*"):
        assert "http" not in path.read_text()
    assert os.access(server.SCRIPT, os.R_OK)
