"""A shipped model in words: its model card, and what an attacker who knows it leaves of it, as Markdown."""

from .. import config, data, evaluation
from .records import ARCHITECTURES, NAMES, grid, percent


def markdown(card, adaptive=None):
    """The readable form of a model card.

    Args:
        card: see `pretrained.model_card`.
        adaptive: the record of Table 3 of its data set; None if there is none.

    Returns:
        Text. Without a part of `adaptive` about these very weights it says that nobody measured the worst
        case.
    """
    settings = config.read(card["configuration"])
    entry = data.DATASETS[settings["dataset"]]
    paragraphs = [
        f"# Model card: {card['name']}",
        f"A purifier and the frozen classifier that it protects, for {entry}. Load it with "
        f'`pssr_keras.load_pretrained("{card["name"]}")`.',
        *worst_case(card, adaptive),
        "## What it is",
        grid(["", ""], described(card, settings, entry)),
        *([card["note"]] if "note" in card else []),
        "## Accuracy under an attacker who does not know the defense",
        accuracies(card),
        f"n = {card['n']:,}, data: {card['data']}, seed {card['seed']}; Wilson 95% intervals in brackets. "
        f"Threat model {card['threat_model']}; {evaluation.budgets(card)}. It is a weak attacker, and an "
        "accuracy under it is no robustness.",
        "## What it is for",
        "Teaching, and research on attacks and defenses. It is not for the protection of anything. It knows "
        f"images like those of {entry}; on others its answers mean nothing.",
        f"All numbers of the training, and of the attacks, are in `pssr_keras/weights/{card['name']}.json`.",
    ]
    return "\n\n".join(paragraphs) + "\n"


def described(card, settings, entry):
    """Lines of a table: what the weights are, and how they were made."""
    architecture = settings["classifier.architecture"]
    height, width, channels = entry.shape
    limit = settings["data.train_limit"]
    images = f"{entry.train if limit is None else limit:,} training images of {entry}"
    if settings["data.exclude_bundled"]:
        images = f"the {images} without the bundled ones, which are held out for tests without a network"
    factor = settings["classifier.width"]
    channels_are = "the published number" if factor == 1 else f"{factor:g} times the published number"
    hardened = settings["defense"] == "hardened"
    group = "hardened" if hardened else "cae"
    kind, channels_of_e = settings[f"{group}.extrapolator"], settings[f"{group}.extrapolator_channels"]
    bottleneck = settings[f"{group}.extrapolator_bottleneck"]
    of_e = f" of {channels_of_e} channels, bottleneck {bottleneck}"
    if kind == "unet":
        of_e = f", a U-Net of {channels_of_e} channels"
    elif kind == "autoencoder":
        of_e = f", an autoencoder{of_e}"
    in_training = (
        f"{settings['hardened.inner_steps']} steps of PGD inside each step, eps "
        f"{evaluation.in_pixels(settings['attack.eps'])} (Linf), on F(E(x)) as it was then"
        if hardened
        else f"{', '.join(settings['attack.training'])}, eps {evaluation.in_pixels(settings['attack.eps'])} "
        "(Linf), crafted on the classifier"
    )
    lines = {
        "classifier": f"{ARCHITECTURES.get(architecture, architecture)}, width {factor:g} ({channels_are} of "
        "channels)",
        "input": f"images (B, {height}, {width}, {channels}), float32 in [0, 1]",
        "output": f"{entry.classes} logits",
        "defense": f"`{settings['defense']}`: {surgery(settings)}; an extrapolator E{of_e}",
        "trained on": f"{images}, source {settings['data.source']}; {settings['data.validation_size']:,} of "
        "them for validation alone",
        "attacks in training": in_training,
        "schedule": f"classifier {settings['classifier.epochs']} epochs, E {settings[f'{group}.epochs']} "
        "epochs",
        "seed": settings["seed"],
        "SHA-256 of the file": f"`{card['sha256']}`",
        "made with": ", ".join(f"{name} {version}" for name, version in card["versions"].items()),
        "licence": "MIT",
    }
    return list(lines.items())


def surgery(settings):
    """The readings of pixel surgery, in words."""
    hardened = settings["defense"] == "hardened"
    if settings["hardened.mask"] == "none" if hardened else not settings["surgery.enabled"]:
        return "no pixel surgery"
    names = ["alpha", "score", "channels", "threshold", "flat"]
    names += ["removal", "temperature"] if settings["surgery.removal"] != "hard" else []
    names += ["at_most"] if settings["surgery.at_most"] < 1 else []
    words = "pixel surgery with " + ", ".join(f"{name} {settings[f'surgery.{name}']}" for name in names)
    guided = hardened and settings["hardened.mask"] == "pipeline"
    return words + (", guided by F(E(x))" if guided else "")


def accuracies(card):
    """The accuracies of a card with their intervals, a Markdown table."""
    columns = list(next(iter(card["cells"].values())))
    lines = [[row, *(percent(cells[column]) for column in columns)] for row, cells in card["cells"].items()]
    return grid(["accuracy in %", *(NAMES.get(column, column) for column in columns)], lines)


def worst_case(card, adaptive):
    """The paragraphs about an attacker who knows all of the defense."""
    own = card.get("adaptive")
    found = measured_worst_case(card, {"parts": [own]} if own else adaptive)
    if found is None:
        return [
            "## Warning: nobody has measured the worst case",
            "There is no record here of an attacker who knows the defense. Expect that nothing stands: "
            "nothing does of the PSSR for MNIST. An accuracy under weaker attackers says little about it.",
        ]
    part, cell = found
    stands = "nothing stands" if cell["accuracy"] == 0 else f"{100 * cell['accuracy']:.1f}% stand"
    low, high = (100 * bound for bound in cell["interval_95"])
    if own:
        attackers = f"over {attacks_in_words(own)}. Threat model {own['threat_model']}."
    else:
        table = f"../../results/{adaptive['dataset']}/tables.md#table-3-adaptive-attackers"
        attackers = f"over all surrogates and attacks of [Table 3]({table})."
    return [
        f"## {'In' if own else 'Warning: in'} the worst case {stands}",
        f"An attacker who knows all of the defense leaves **{100 * cell['accuracy']:.1f}%** ({low:.1f} to "
        f"{high:.1f}) of the images right, in the worst case {attackers} n = {part['n']:,}, "
        f"{evaluation.budgets(part)}, data: {part['data']}, seed {part['seed']}. Higher accuracies on "
        "this page measure what their attackers did not know.",
    ]


def attacks_in_words(record):
    """Every attack of a record in the Linf norm, and the models that it was crafted on."""
    found = {}
    for attack in record["attacks"].values():
        if attack["norm"] == "Linf":
            found.setdefault(NAMES.get(attack["attack"], attack["attack"]), []).append(attack["crafted_on"])
    return "; ".join(f"{name} on {', '.join(sources)}" for name, sources in found.items())


def measured_worst_case(card, adaptive):
    """The part of a record that is about the weights of a card, and its worst case; None if there is none."""
    weights = list(card["weights"].values())[-1]  # the whole defense is the last row
    for part in adaptive["parts"] if adaptive else ():
        for row, cells in part["cells"].items():
            if part["weights"].get(row) == weights and evaluation.WORST_CASE in cells:
                return part, cells[evaluation.WORST_CASE]
    return None
