import io

import matplotlib.text
import numpy as np
import pytest

from pssr_keras import evaluation, plotting


def cell(share):
    return evaluation.measurement(np.arange(50) < 50 * share)


def drawn(figure):
    """The figure can be drawn, and is no empty page."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=50)
    assert len(stream.getvalue()) > 2000
    return figure


def sizes(figure):
    """Sizes of all texts that are shown."""
    texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text() and text.get_visible()]
    return {text.get_fontsize() for text in texts}


def test_all_figures_are_as_wide_as_the_page_and_have_texts_of_two_sizes():
    generator = np.random.default_rng(0)
    pictures = {
        count: plotting.images(
            {"a label of several words": generator.uniform(0, 1, (count, 8, 8, 1))},
            {"a label of several words": ["a turned 3, says 8"] * count},
            title="title",
        )
        for count in (1, 5, 7, 10)
    }
    points = {"identity": {0: cell(0.1), 1: cell(0.5)}}
    places = generator.normal(size=(5, 2))
    others = [
        plotting.bars({"one": {"FGSM": {"a": cell(0.2)}}}, {"a": "first"}),
        plotting.curves({"one": points, "two": points}, "eps"),
        plotting.lines({"loss": {"a": [3.0, 2.0]}, "accuracy": {"a": [1.0, 2.0]}}, "step"),
        plotting.scatter({"a": places, "b": places, "c": places}, [0, 1, 2, 1, 0]),
    ]
    for figure in [*pictures.values(), *others]:
        assert figure.get_tightbbox().width == pytest.approx(plotting.PAGE, abs=0.01)  # what a notebook shows
        assert sizes(figure) <= {plotting.STYLE["font.size"], plotting.SMALL}
    cells = [figure.axes[0].get_position().width * plotting.PAGE for figure in pictures.values()]
    assert cells == sorted(cells, reverse=True)
    assert (
        cells[0] == cells[1] == pytest.approx(plotting.CELL - plotting.GAP)
    )  # no larger, and left of the page
    for figure in list(pictures.values())[1:]:
        assert figure.axes[-1].get_position().x1 == pytest.approx(1, abs=0.01)


def test_a_known_name_has_one_colour_in_all_figures():
    points = {0: cell(0.1), 1: cell(0.5)}
    (first,) = plotting.curves({"": {"oblivious": points, "other": points, "identity": points}}, "eps").axes
    (second,) = plotting.lines({"": {"identity": [1.0], "frozen_mask": [1.0]}}, "step").axes
    oblivious, other, identity = (container[0].get_color() for container in first.containers)
    assert len({oblivious, other, identity}) == 3
    assert second.lines[0].get_color() == identity


def test_bars_stand_at_their_accuracies():
    panels = {"one": {"FGSM": {"a": cell(0.2), "b": cell(0.9)}, "PGD": {"a": cell(0.0), "b": cell(1.0)}}}
    (axes,) = drawn(plotting.bars(panels, {"a": "first", "b": "second"})).axes
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([20, 0, 90, 100])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["FGSM", "PGD"]


def test_curves_go_through_their_points():
    panels = {
        "one": {"line": {"0.9": cell(0.5), "2": cell(0.7)}},
        "two": {"line": {1: cell(0.1), 2: cell(0.2)}},
    }
    left, right = drawn(plotting.curves(panels, "alpha", lowest=5)).axes
    np.testing.assert_allclose(left.lines[0].get_xydata(), [[0.9, 50], [2, 70]])
    assert right.get_xlabel() == "alpha"
    assert right.get_ylim()[0] == 5


def test_lines_begin_where_told():
    (axes,) = drawn(plotting.lines({"loss": {"a": [3.0, 2.0]}}, "step", ["loss"], start=0)).axes
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[0, 3], [1, 2]])
    assert axes.get_yscale() == "log"


def test_images_of_several_kinds_in_one_grid():
    generator = np.random.default_rng(0)
    grey, colour = generator.uniform(0, 1, (3, 8, 8, 1)), generator.uniform(0, 1, (2, 8, 8, 3))
    rows = {"grey": grey, "difference": grey - 0.5, "colour": colour}
    figure = plotting.images(rows, {"grey": ["a", "b", "c"]}, {"grey": grey[..., 0]}, "title")
    assert len(drawn(figure).axes) == 9
    assert figure.axes[0].get_title() == "a"
    assert len(figure.axes[0].images) == 2  # the image, and the heat map over it
    low, high = figure.axes[3].images[0].get_clim()
    assert low == -high  # white is 0


def test_perturbations_in_colour_lie_about_grey():
    """Outside [0, 1] they would be clipped, and a perturbation that only takes away would be black."""
    change = np.zeros((2, 8, 8, 3))
    change[0, :, :, 0], change[1, :, :, 2] = 0.1, -0.05
    first, second = (axes.images[0].get_array() for axes in plotting.images({"change": change}).axes)
    np.testing.assert_allclose(first[0, 0], [1, 0.5, 0.5])
    np.testing.assert_allclose(second[0, 0], [0.5, 0.5, 0.25])


def test_points_are_drawn_as_their_digits():
    places = np.random.default_rng(0).normal(size=(5, 2))
    left, right = drawn(plotting.scatter({"a": places, "b": 2 * places}, [0, 1, 2, 1, 0])).axes
    assert [text.get_text() for text in left.texts] == ["0", "1", "2", "1", "0"]
    assert left.get_xlim() == right.get_xlim()
