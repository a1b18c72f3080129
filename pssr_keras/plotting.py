"""Figures, from arrays and records; colours that colour-blind readers and printers keep apart."""

import matplotlib.figure
import numpy as np
from matplotlib.ticker import MaxNLocator

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito 2008
MARKERS = ("o", "s", "^", "D", "v", "x")


def _figure(columns=1, width=4.8, height=3.4):
    """A figure with a row of axes; it belongs to no window, so nothing needs closing."""
    figure = matplotlib.figure.Figure(figsize=(width * columns, height), layout="constrained")
    return figure, np.atleast_1d(figure.subplots(1, columns, sharey=True))


def _percent_axis(axes, lowest=0):
    axes.set_ylim(lowest, 100 + 0.04 * (100 - lowest))
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _errors(cells):
    """Accuracies in %, and the two lengths of their error bars."""
    values = np.array([100 * cell["accuracy"] for cell in cells])
    bounds = np.array([[100 * bound for bound in cell["interval_95"]] for cell in cells])
    return values, np.maximum(0, np.stack([values - bounds[:, 0], bounds[:, 1] - values]))


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
        for number, (bar, label) in enumerate(names.items()):
            values, errors = _errors([cells[bar] for cells in groups.values()])
            places = np.arange(len(groups)) + (number - (len(names) - 1) / 2) * width
            axes.bar(places, values, 0.9 * width, yerr=errors, color=COLOURS[number], label=label, capsize=2)
        axes.set_xticks(range(len(groups)), list(groups))
        axes.set_title(title)
        _percent_axis(axes, lowest)
    all_axes[0].set_ylabel("accuracy in %")
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(names))
    return figure


def curves(panels, x_label, lowest=0):
    """Lines with their intervals, one panel beside the other.

    Args:
        panels: {title: {line: {x: cell}}}, with x as text or number.
        x_label: below the panels.
        lowest: where the axis of accuracies begins, in %.
    """
    figure, all_axes = _figure(len(panels))
    for axes, (title, lines) in zip(all_axes, panels.items(), strict=True):
        for number, (label, points) in enumerate(lines.items()):
            values, errors = _errors(list(points.values()))
            places = [float(x) for x in points]
            style = {"color": COLOURS[number], "marker": MARKERS[number]}
            axes.errorbar(places, values, yerr=errors, label=label, capsize=2, **style)
        axes.set_title(title)
        axes.set_xlabel(x_label)
        if all(place.is_integer() for place in places):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _percent_axis(axes, lowest)
    all_axes[0].set_ylabel("accuracy in %")
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def lines(panels, x_label, logarithmic=(), start=1):
    """Plain curves over successive steps, one panel beside the other.

    Args:
        panels: {title: {line: values}}, or {step: value} in place of values.
        x_label: below the panels.
        logarithmic: titles of panels with a logarithmic axis.
        start: number of the first step.
    """
    figure = matplotlib.figure.Figure(figsize=(4.8 * len(panels), 3.4), layout="constrained")
    all_axes = np.atleast_1d(figure.subplots(1, len(panels)))
    for axes, (title, curves_of) in zip(all_axes, panels.items(), strict=True):
        for number, (label, values) in enumerate(curves_of.items()):
            style = {
                "color": COLOURS[number],
                "marker": MARKERS[number],
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


def scatter(panels, labels):
    """Points in a plane, each drawn as the digit of its class, one panel beside the other.

    Args:
        panels: {title: places (N, 2)}.
        labels: (N,) classes from 0 to 9; each has its colour, and the digit tells apart where colours do not.
    """
    figure, all_axes = _figure(len(panels), width=4.0, height=4.0)
    for axes, (title, places) in zip(all_axes, panels.items(), strict=True):
        for (x, y), label in zip(places, labels, strict=True):
            axes.text(x, y, str(label), color=f"C{label}", fontsize=8, ha="center", va="center")
        everything = np.concatenate(list(panels.values()))
        low, high = everything.min(axis=0), everything.max(axis=0)
        margin = 0.05 * (high - low)
        (left, bottom), (right, top) = low - margin, high + margin
        axes.set(xlim=(left, right), ylim=(bottom, top))
        axes.set(title=title, xticks=[], yticks=[])
    return figure


def images(rows, columns=None, heat=None, title=None):
    """A grid of images.

    Args:
        rows: {label: images (N, H, W, C) in [0, 1]}, one row each; arrays with values below 0, such as
            perturbations, are shown from blue (-) over white to red (+).
        columns: N texts above the columns, or {row label: N texts} with a text above each image.
        heat: {row label: maps (N, H, W) in [0, 1]}, drawn over the images of that row.
        title: above all.
    """
    count = max(map(len, rows.values()))
    figure = matplotlib.figure.Figure(
        figsize=(1.2 * count + 1.3, 1.38 * len(rows) + 0.3), layout="constrained"
    )
    axes = figure.subplots(len(rows), count, squeeze=False)
    for line, (label, pictures) in zip(axes, rows.items(), strict=True):
        pictures = np.asarray(pictures)
        signed = pictures.min() < 0
        size = np.abs(pictures).max()
        style = (
            {"cmap": "RdBu_r", "vmin": -size, "vmax": size}
            if signed
            else {"cmap": "gray", "vmin": 0, "vmax": 1}
        )
        for number, ax in enumerate(line):
            ax.set(xticks=[], yticks=[])
            if number >= len(pictures):
                ax.axis("off")
                continue
            picture = pictures[number]
            ax.imshow(picture[..., 0] if picture.shape[-1] == 1 else picture, **style)
            if heat and label in heat:
                ax.imshow(heat[label][number], cmap="inferno", alpha=0.55, vmin=0, vmax=1)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    for place, label in enumerate(rows):
        texts = columns.get(label) if isinstance(columns, dict) else columns if place == 0 else None
        for ax, text in zip(axes[place], texts or [], strict=False):
            ax.set_title(text, fontsize=9)
    if title:
        figure.suptitle(title)
    return figure
