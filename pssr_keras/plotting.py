"""Figures, from arrays and records, in one style: as wide as the page, with texts of two sizes.

All numbers of the style stand at the top. Colours are such that colour-blind readers and printers keep them
apart.
"""

import textwrap
import typing

import matplotlib
import matplotlib.figure
import numpy as np
from matplotlib.ticker import MaxNLocator

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito 2008
MARKERS = ("o", "s", "^", "D", "v", "x")
# What several figures show has one colour in all of them; others take the free ones in turn.
KNOWN = {"identity": 0, "frozen_mask": 1, "oblivious": 2}

PAGE = 9.6  # inches; a notebook shows 960 pixels without scaling them
HEIGHT = 3.3  # inches of a row of axes
LABEL = 1.4  # inches left of images, for the labels of their rows
CELL = 1.64  # inches, the largest image: five fill the page
GAP = 0.06  # inches between images
LINE = 0.16  # inches of a line of text above an image
CHARACTERS = 13  # of a text, to the inch
STYLE: dict[typing.Any, typing.Any] = {
    "figure.dpi": 100,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "figure.titlesize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
}
SMALL = STYLE["legend.fontsize"]
styled = matplotlib.rc_context(STYLE)


def _page(height, layout="constrained"):
    """A figure as wide as the page; it belongs to no window, so nothing needs closing."""
    figure = matplotlib.figure.Figure(figsize=(PAGE, height), layout=layout)
    figure.patch.set_in_layout(True)  # or notebooks crop what is empty, and widths differ
    return figure


def _figure(columns, height=HEIGHT, sharey=True):
    """A figure with a row of axes."""
    figure = _page(height)
    return figure, np.atleast_1d(figure.subplots(1, columns, sharey=sharey))


def _numbers(names):
    """{name: number of its colour and marker}."""
    taken = {KNOWN[name] for name in names if name in KNOWN}
    free = (number for number in range(len(COLOURS)) if number not in taken)
    return {name: KNOWN[name] if name in KNOWN else next(free) for name in names}


def _wrap(text, inches):
    return "\n".join(textwrap.wrap(text, max(6, int(inches * CHARACTERS))))


def _percent_axis(axes, lowest=0):
    axes.set_ylim(lowest, 100 + 0.04 * (100 - lowest))
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _errors(cells):
    """Accuracies in %, and the two lengths of their error bars."""
    values = np.array([100 * cell["accuracy"] for cell in cells])
    bounds = np.array([[100 * bound for bound in cell["interval_95"]] for cell in cells])
    return values, np.maximum(0, np.stack([values - bounds[:, 0], bounds[:, 1] - values]))


@styled
def bars(panels, names, lowest=0):
    """Bars in groups, one panel beside the other.

    Args:
        panels: {title: {group: {bar: cell}}}, cells as in a record.
        names: {bar: label in the legend}.
        lowest: where the axis of accuracies begins, in %.
    """
    figure, all_axes = _figure(len(panels))
    for axes, (title, groups) in zip(all_axes, panels.items(), strict=True):
        width = 0.8 / len(names)
        numbers = _numbers(names)
        for place, (bar, label) in enumerate(names.items()):
            values, errors = _errors([cells[bar] for cells in groups.values()])
            places = np.arange(len(groups)) + (place - (len(names) - 1) / 2) * width
            colour = COLOURS[numbers[bar]]
            axes.bar(places, values, 0.9 * width, yerr=errors, color=colour, label=label, capsize=2)
        axes.set_xticks(range(len(groups)), list(groups))
        axes.set_title(title)
        _percent_axis(axes, lowest)
    all_axes[0].set_ylabel("accuracy in %")
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(names))
    return figure


@styled
def curves(panels, x_label, lowest=0):
    """Lines with their intervals, one panel beside the other.

    Args:
        panels: {title: {line: {x: cell}}}, with x as text or number.
        x_label: below the panels.
        lowest: where the axis of accuracies begins, in %.
    """
    figure, all_axes = _figure(len(panels))
    for axes, (title, lines) in zip(all_axes, panels.items(), strict=True):
        numbers = _numbers(lines)
        for label, points in lines.items():
            values, errors = _errors(list(points.values()))
            places = [float(x) for x in points]
            style = {"color": COLOURS[numbers[label]], "marker": MARKERS[numbers[label]]}
            axes.errorbar(places, values, yerr=errors, label=label, capsize=2, **style)
        axes.set_title(title)
        axes.set_xlabel(x_label)
        if all(place.is_integer() for place in places):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _percent_axis(axes, lowest)
    all_axes[0].set_ylabel("accuracy in %")
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@styled
def lines(panels, x_label, logarithmic=(), start=1):
    """Plain curves over successive steps, one panel beside the other.

    Args:
        panels: {title: {line: values}}, or {step: value} in place of values.
        x_label: below the panels.
        logarithmic: titles of panels with a logarithmic axis.
        start: number of the first step.
    """
    figure, all_axes = _figure(len(panels), sharey=False)
    for axes, (title, curves_of) in zip(all_axes, panels.items(), strict=True):
        numbers = _numbers(curves_of)
        for label, values in curves_of.items():
            style = {
                "color": COLOURS[numbers[label]],
                "marker": MARKERS[numbers[label]],
                "markevery": max(1, len(values) // 10),
            }
            points = values if isinstance(values, dict) else dict(enumerate(values, start))
            axes.plot(list(points), list(points.values()), label=label, **style)
        axes.set_title(title)
        axes.set_xlabel(x_label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if title in logarithmic:
            axes.set_yscale("log")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure


@styled
def scatter(panels, labels):
    """Points in a plane, each drawn as the digit of its class, one panel beside the other.

    Args:
        panels: {title: places (N, 2)}.
        labels: (N,) classes from 0 to 9; each has its colour, and the digit tells apart where colours do not.
    """
    figure, all_axes = _figure(len(panels), height=min(PAGE / len(panels), 4.8) + 2 * LINE)
    for axes, (title, places) in zip(all_axes, panels.items(), strict=True):
        for (x, y), label in zip(places, labels, strict=True):
            axes.text(x, y, str(label), color=f"C{label}", fontsize=SMALL, ha="center", va="center")
        everything = np.concatenate(list(panels.values()))
        low, high = everything.min(axis=0), everything.max(axis=0)
        margin = 0.05 * (high - low)
        (left, bottom), (right, top) = low - margin, high + margin
        axes.set(xlim=(left, right), ylim=(bottom, top))
        axes.set(title=title, xticks=[], yticks=[])
    return figure


@styled
def images(rows, columns=None, heat=None, title=None):
    """A grid of images.

    Args:
        rows: {label: images (N, H, W, C) in [0, 1]}, one row each; arrays with values below 0, such as
            perturbations, are shown from blue (-) over white to red (+), those in colour about a middle grey
            that stands for 0, scaled to the largest value of the row.
        columns: N texts above the columns, or {row label: N texts} with a text above each image.
        heat: {row label: maps (N, H, W) in [0, 1]}, drawn over the images of that row.
        title: above all.
    """
    count = max(map(len, rows.values()))
    cell = min(CELL, (PAGE - LABEL) / count)
    above = {label: [] for label in rows}
    for place, label in enumerate(rows):
        texts = columns.get(label) if isinstance(columns, dict) else columns if place == 0 else None
        above[label] = [_wrap(text, cell) for text in texts or []]
    space = {label: LINE * max((1 + text.count("\n") for text in above[label]), default=0) for label in rows}
    height = len(rows) * cell + sum(space.values()) + (2 * LINE if title else 0)
    figure = _page(height, layout=None)
    bottom = height - (2 * LINE if title else 0)
    for label, pictures in rows.items():
        bottom -= cell + space[label]
        line = [
            figure.add_axes(
                [
                    (LABEL + n * cell) / PAGE,
                    (bottom + GAP / 2) / height,
                    (cell - GAP) / PAGE,
                    (cell - GAP) / height,
                ]
            )
            for n in range(count)
        ]
        _draw_row(line, np.asarray(pictures), None if heat is None else heat.get(label))
        line[0].set_ylabel(_wrap(label, LABEL), rotation=0, ha="right", va="center")
        for ax, text in zip(line, above[label], strict=False):
            ax.set_title(text, fontsize=SMALL, pad=3)
    if title:
        figure.suptitle(title, y=1 - 0.5 * LINE / height)
    return figure


def _draw_row(axes, pictures, maps):
    size = np.abs(pictures).max()
    signed = {"cmap": "RdBu_r", "vmin": -size, "vmax": size}
    style = signed if pictures.min() < 0 else {"cmap": "gray", "vmin": 0, "vmax": 1}
    for number, ax in enumerate(axes):
        ax.set(xticks=[], yticks=[])
        if number >= len(pictures):
            ax.axis("off")
            continue
        picture = pictures[number]
        if picture.shape[-1] == 1:
            ax.imshow(picture[..., 0], **style)
        else:
            ax.imshow(0.5 + picture / (2 * size) if pictures.min() < 0 else picture)
        if maps is not None:
            ax.imshow(maps[number], cmap="inferno", alpha=0.55, vmin=0, vmax=1)
