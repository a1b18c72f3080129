"""An answer as HTML: sentences, pictures, bars and curves, in colours that suit a light and a dark page."""

import base64
import html
import io

import matplotlib
import matplotlib.figure
import numpy as np

from ..attacks import parse_eps
from ..data import to_pixels
from ..plotting import COLOURS
from .answering import ADAPTIVE, OBLIVIOUS, dataset_of
from .pictures import to_png

MOST_LIKELY = 3  # classes that have a bar

CAPTIONS = {
    "x": "image {x}",
    "perturbation": "perturbation",
    "saliency": "saliency of {x}",
    "mask": "mask: white stays",
    "x_t": "removed: x<sub>t</sub>",
    "restored": "restored: E(x<sub>t</sub>)",
}
NAMES = {"clean": "clean", OBLIVIOUS: "oblivious", ADAPTIVE: "adaptive"}

STYLE = """
<style>
.stMainBlockContainer { padding-top: 2.5rem; padding-bottom: 2rem; }
.play { display: grid; gap: .5rem .6rem;
  grid-template-columns: repeat(var(--pictures), minmax(0, 1fr)) 14rem; }
.play h3 { grid-column: 1 / -1; margin: .6rem 0 0; padding: 0; font-size: 1rem; line-height: 1.3; }
.play h3 span { font-weight: 400; opacity: .8; }
.play figure { margin: 0; min-width: 0; }
.play figure img { width: 100%; max-width: 11rem; display: block; image-rendering: pixelated;
  border: 1px solid rgba(128, 128, 128, .6); box-sizing: border-box; aspect-ratio: 1; }
.play figcaption { font-size: .75rem; line-height: 1.25; margin-top: .2rem; opacity: .9; }
.play sup, .play sub { line-height: 0; font-size: 80%; }
.play .answers { font-size: .8rem; line-height: 1.3; min-width: 0; }
.play .answers p { margin: 0 0 .1rem; font-size: .8rem; }
.play .bar { display: grid; grid-template-columns: 4.6rem 1fr 2.6rem; gap: 0 .3rem; align-items: center; }
.play .bar > span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.play .bar > i { height: .6rem; background: rgba(128, 128, 128, .25); display: block; }
.play .bar > i > b { height: 100%; display: block; }
.play .bar > span:last-child { text-align: right; font-variant-numeric: tabular-nums; }
.play .model + .model { margin-top: .45rem; }
.right, .wrong { font-weight: 600; padding: 0 .3rem; border-radius: .2rem; color: #fff; }
.right { background: #00664a; } .wrong { background: #b34700; }
.verdict p { margin: 0 0 .3rem; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem; }
.curves figure { margin: 0; } .curves figcaption { font-size: .85rem; }
.curves img { width: 100%; max-width: 34rem; height: auto; display: block; }
@media (max-width: 900px) {
  .play { grid-auto-flow: column; grid-template-columns: none; grid-auto-columns: minmax(0, 1fr);
    grid-template-rows: auto repeat(var(--pictures), auto) auto; }
  .play h3 { grid-column: auto; font-size: .85rem; }
  .play .bar { grid-template-columns: 1fr 2.6rem; margin-bottom: .3rem; }
  .play .bar > i { grid-column: 1 / -1; order: 3; }
}
</style>
"""


def page(answer, dark=False):
    """All of an answer, HTML, for a dark page or a light one."""
    return f"{STYLE}{verdict(answer)}{pictures(answer)}{curves(answer, dark)}"


# --- sentences -----------------------------------------------------------------------------------


def verdict(answer):
    """What happened, in a sentence for each attacker."""
    name, defense = _namer(answer), answer.defense
    lines = []
    for threat, side in answer.sides.items():
        if threat == "clean":
            said = side.says(defense)
            lines.append(f"Clean image: {defense} says {name(said)}, {_mark(said == answer.label)}.")
            continue
        said, undefended = side.says(defense), side.says("classifier")
        stands = said == answer.label
        lines.append(
            f"<b>{NAMES[threat].capitalize()} attacker</b>: {defense} says {name(said)}, {_mark(stands)}; "
            f"the classifier alone says {name(undefended)}."
        )
    stood = [threat for threat, side in answer.sides.items() if side.says(defense) == answer.label]
    if OBLIVIOUS in stood and ADAPTIVE in answer.sides and ADAPTIVE not in stood:
        lines.append(
            f"The same image and the same budget: {defense} stands only as long as the attacker does not "
            "know it."
        )
    paragraphs = "".join(f"<p>{line}</p>" for line in lines)
    return f'<div class="verdict" role="status">{paragraphs}</div>'


def _namer(answer):
    entry = dataset_of(answer.question.model)
    return lambda label: html.escape(entry.name_of(label).replace("_", " "))


def _unit(answer):
    return "queries" if answer.question.attack == "square" else "steps"


def _mark(right):
    return '<span class="right">right</span>' if right else '<span class="wrong">wrong</span>'


# --- pictures and bars ---------------------------------------------------------------------------


def pictures(answer):
    """A row of pictures for each image, and what every model says of it; on a narrow page a column."""
    clean, eps = answer.sides["clean"], parse_eps(answer.question.eps)
    shown = ["x", "perturbation", *clean.stages]
    cells = []
    for threat, side in answer.sides.items():
        made = f", crafted on {html.escape(side.crafted_on)}: {side.steps[-1]} {_unit(answer)}"
        on = f"<span>{made}</span>" if side.crafted_on else ""
        cells.append(f"<h3>{NAMES[threat]}{on}</h3>")
        found = {"x": in_colour(side.x), **{n: _coloured(n, stage) for n, stage in side.stages.items()}}
        if threat != "clean":
            found["perturbation"] = signed(side.x - clean.x, eps)
        symbol = "x" if threat == "clean" else "x<sup>adv</sup>"
        cells += [_figure(name, found.get(name), symbol, threat) for name in shown]
        cells.append(f'<div class="answers">{bars(side, answer)}</div>')
    return f'<section class="play" style="--pictures: {len(shown)}">{"".join(cells)}</section>'


def _figure(name, pixels, symbol, threat):
    if pixels is None:
        return "<figure></figure>"  # a clean image has no perturbation; the place stays empty
    source = base64.b64encode(to_png(pixels)).decode()
    caption = CAPTIONS[name].format(x=symbol)
    words = {"x": "image", "x_t": "image without its salient pixels", "restored": "restored image"}
    text = f"{words.get(name, name)}, {NAMES[threat]}"
    return (
        f'<figure><img src="data:image/png;base64,{source}" alt="{text}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _coloured(name, stage):
    return heat(stage) if name == "saliency" else in_colour(stage)


def in_colour(image):
    """Pixels (H, W, 3), uint8, of an image (H, W, 1 or 3) in [0, 1]."""
    return to_pixels(np.broadcast_to(np.clip(image, 0, 1), (*image.shape[:2], 3)))


def heat(scores):
    """Pixels of scores (H, W, C) from 0, black, to the largest, yellow."""
    scores = scores.max(axis=-1)
    largest = scores.max()
    return to_pixels(matplotlib.colormaps["inferno"](scores / largest if largest else scores)[..., :3])


def signed(perturbation, eps):
    """Pixels of a perturbation (H, W, C) from -eps to eps: blue, white, red; of colours, around grey."""
    shares = np.clip(0.5 + perturbation / (2 * max(eps, 1e-6)), 0, 1)
    if perturbation.shape[-1] == 1:
        return to_pixels(matplotlib.colormaps["RdBu_r"](shares[..., 0])[..., :3])
    return in_colour(shares)


def bars(side, answer):
    """The most likely classes that every model sees, as bars with their probabilities."""
    name, models = _namer(answer), []
    for model, probabilities in side.probabilities.items():
        said = side.says(model)
        rows = [f"<p><b>{html.escape(model)}</b>: {name(said)} {_mark(said == answer.label)}</p>"]
        for label in np.argsort(-probabilities, kind="stable")[:MOST_LIKELY]:
            percent = 100 * float(probabilities[label])
            colour = COLOURS[0] if label == answer.label else COLOURS[1]
            rows.append(
                f'<div class="bar"><span title="{name(label)}">{name(label)}</span>'
                f'<i><b style="width: {percent:.1f}%; background: {colour}"></b></i>'
                f"<span>{percent:.0f} %</span></div>"
            )
        models.append(f'<div class="model">{"".join(rows)}</div>')
    return "".join(models)


# --- curves --------------------------------------------------------------------------------------

SIZE = (3.6, 1.9)  # of a chart, in inches
DASHES = ("-", "--", ":", "-.")  # so that curves are told apart without colours


def curves(answer, dark=False):
    """The loss of every model along each attack, each on a scale of its own."""
    sides = [side for threat, side in answer.sides.items() if threat != "clean"]
    figures = []
    for side in sides:
        drawing = base64.b64encode(chart(side, _unit(answer), dark).encode()).decode()
        text = f"loss along the attack, {NAMES[side.threat]}"
        ends = ", ".join(f"{model} {losses[-1]:.3g}" for model, losses in side.losses.items())
        figures.append(
            f'<figure><img src="data:image/svg+xml;base64,{drawing}" '
            f'alt="{text}; at its end {html.escape(ends)}">'
            f"<figcaption>{text}</figcaption></figure>"
        )
    return f'<section class="curves">{"".join(figures)}</section>'


def chart(side, unit, dark=False):
    """The loss of every model along one attack: an SVG drawing.

    Args:
        side: see `answering.Side`.
        unit: of what goes to the right.
        dark: whether the page is.
    """
    ink = "#d8d8d8" if dark else "#404040"
    figure = matplotlib.figure.Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    for number, (model, losses) in enumerate(side.losses.items()):
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}
        axes.plot(side.steps, losses, label=model, gid=f"loss of {number}", clip_on=False, **style)
    highest = max(0.1, *(float(losses.max()) for losses in side.losses.values()))
    last = max(int(side.steps[-1]), 1)
    axes.set(xlim=(0, last), ylim=(0, highest), xticks=[0, last], yticks=[0, highest])
    axes.set_xticklabels(["0", f"{last} {unit}"])
    axes.set_yticklabels(["0", f"{highest:.3g}"])
    axes.tick_params(colors=ink, labelsize=8)
    axes.spines[:].set_color(ink)
    axes.spines[["top", "right"]].set_visible(False)
    named = {"labelcolor": ink, "fontsize": 8, "frameon": False}
    figure.legend(loc="outside lower center", ncols=len(side.losses), **named)
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg", transparent=True)
    return drawing.getvalue()
