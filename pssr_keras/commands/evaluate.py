"""Evaluate the shipped weights, or a run of pssr-train, under attack.

    pssr-evaluate --attacks fgsm pgd --n 1000
    pssr-evaluate --attacks autoattack cw --n 1000 --out strong.json
    pssr-evaluate --threat-model adaptive --surrogate identity frozen_mask --n 100 --checks
    pssr-evaluate --pretrained NAME --threat-model adaptive --transfer-from mnist runs/robust
    pssr-evaluate --threat-model transfer --substitute runs/other/classifier.keras
    pssr-evaluate --attacks autoattack --shard 2/8 --out part-2.json
    pssr-evaluate --run runs/mnist-cpu-tfds-seed0 --attacks pgd:steps=100 --eps 0.2
    pssr-evaluate --attacks pgd autoattack --norm L2 --eps 1.5
    pssr-evaluate --pretrained mnist-hardened --with-classifier runs/robust --threat-model adaptive

Who crafts the images? --threat-model oblivious: whoever knows the classifier alone (the default;
a weak attacker); transfer: whoever knows a substitute of it; adaptive: whoever knows the whole PSSR.
With --cache, what was crafted once is kept, and an interrupted evaluation goes on where it stopped.

An adaptive attacker of a defense that claims adversarial robustness uses by default all of AutoAttack and
more, through each surrogate. --transfer-from adds what is crafted on other models, --draws attacks the mean
of a random defense's answers, and --checks looks for signs that the attacks failed.

--certify proves by interval bounds which images no attack within eps (Linf) can change, known or unknown. It
needs a defense without pixel surgery; models that were not trained for it are seldom certified at all.

--shard 2/8 evaluates the second of eight parts of the images, on any machine; with --checks, the first one
runs the checks. scripts/merge.py makes one record of all parts, see docs/scaling.md.

--with-classifier puts the purifier before another classifier, such as one that is robust by itself.

--images evaluates on your own images: an .npz file of `images` (N, H, W, C), float32 in [0, 1], and
integer `labels` (N,) or (N, 1).
"""

import dataclasses
import functools
import pathlib

import numpy as np

from .. import attacks, command_line, config, data, evaluation, files, inputs, pretrained, training
from ..attacks import adaptive
from ..attacks.base import compiled_logits
from ..attacks.names import norms_of
from ..attacks.norms import NORMS
from ..defense import PSSR
from ..evaluation import cache, checks, shards


def evaluate(arguments):
    inputs.check_seed(arguments.seed)
    inputs.check_integer("batch size", arguments.batch_size, 1)
    if arguments.n is not None:
        inputs.check_integer("n", arguments.n, 1)
    if arguments.eps is not None:
        inputs.parse_eps(arguments.eps, NORMS[arguments.norm].largest_eps)
    elif arguments.norm != "Linf":
        raise inputs.InputError(f"--norm {arguments.norm} has no budget of its own: give --eps, such as 0.5")
    if arguments.out:
        command_line.check_out(arguments.out, arguments.overwrite)
        files.check_not_input(arguments.out, inputs_of(arguments))
    shard = shards.parse(arguments.shard) if arguments.shard else None
    if shard and not arguments.out:
        raise inputs.InputError("--shard needs --out, a file for scripts/merge.py")
    if arguments.run and arguments.pretrained:
        raise inputs.InputError("--run and --pretrained name two defenses: give one")
    if arguments.data is not None and not arguments.run:
        raise inputs.InputError("--data belongs to --run; other images are given by --images")
    if arguments.run:
        folder = pathlib.Path(arguments.run)
        if not (folder / "config.json").is_file():
            raise inputs.InputError(f"{folder} holds no trained PSSR: run pssr-train --out {folder} first")
        configuration = files.read_json(folder / "config.json")
        if arguments.data is not None:
            configuration = with_data(configuration, folder, arguments.data)
        settings = training.readable(folder / "config.json")
        finished = folder / f"{settings['defense']}.keras"
        if not finished.is_file():
            raise inputs.InputError(
                f"{folder} holds no trained PSSR yet: the command that began it goes on there"
            )
        pssr = files.load_model(finished)
        weights = str(folder)
    else:
        name = arguments.pretrained or "mnist"
        configuration = pretrained.model_card(name)["configuration"]
        settings = config.read(configuration)
        pssr = pretrained.load_pretrained(name)
        weights = f"shipped {name}"

    if arguments.with_classifier:
        pssr = moved(pssr, arguments.with_classifier)
        weights = f"{weights}, with classifier {arguments.with_classifier}"
    row = training.row_of(pssr)
    eps = settings["attack.eps"] if arguments.eps is None else arguments.eps
    is_adaptive = arguments.threat_model == "adaptive"
    names = arguments.attacks or default_attacks(settings, is_adaptive, arguments.norm)
    suite = [attacks.parse(name, eps, arguments.norm) for name in names]
    attacks.names_of(suite)  # refuses one that is there twice
    crafted_on = attacked_models(arguments, pssr)
    extra_attacks = transferred(arguments, pssr, eps)
    if arguments.cache:
        cache.check_folder(arguments.cache)
    if arguments.images:
        images = own_images(arguments.images, pssr)
    else:
        images = data.load(settings["dataset"], "test", arguments.source, arguments.data_dir)
        bundled = data.DATASETS[settings["dataset"]].bundled
        if (
            images.source.startswith("bundled")
            and bundled.training_pixels is not None
            and settings["data.source"] == "tfds"
            and not settings["data.exclude_bundled"]
        ):
            raise inputs.InputError(
                f"{weights} was trained on the bundled images too: evaluate it with --source tfds"
            )
    images = training.first(images, arguments.n, arguments.images or "test")

    if shard and (advice := shards.advice(shard, len(images), arguments.batch_size)):
        print(advice)
    options = {
        "extra_attacks": extra_attacks,
        "seed": arguments.seed,
        "batch_size": arguments.batch_size,
        "progress": True,
        "cache": arguments.cache,
    }
    if arguments.certify:  # first, as it takes seconds and may refuse the model
        models = {row: pssr} if is_adaptive else training.stages(pssr)
        certified = evaluation.certified(models, images, eps, arguments.batch_size)
    if is_adaptive:
        options |= {"attacks": suite, "surrogates": crafted_on, "name": row, "shard": shard}
        options["norm"] = arguments.norm
        record = evaluation.evaluate_adaptively(pssr, images, eps, **options)
    else:
        judged = training.stages(pssr)
        if arguments.substitute:  # whether it is any good tells what an attack that fails is worth
            judged = crafted_on | judged
        evaluated = functools.partial(shards.evaluate, shard) if shard else evaluation.evaluate
        attacked = next(iter(crafted_on.values()))
        options["threat_model"] = arguments.threat_model
        record = evaluated(attacked, judged, images, suite, **options)
    record = {"weights_from": weights, "configuration": configuration, **record}
    if arguments.substitute:
        record["substitute"] = str(arguments.substitute)
    if arguments.checks and shard and shard.number > 1:
        print(f"\nshard {shard}: the checks are run with shard 1/{shard.count}, on the first images of all")
    elif arguments.checks:
        record["checks"] = {}
        few = images.take(slice(0, config.CHECKED_IMAGES))
        for name, model in crafted_on.items():
            print(f"\nchecks of attacks crafted on the {name}, {len(few)} images")
            findings = checks.run(pssr, few, eps, model, arguments.seed, progress=True, norm=arguments.norm)
            print(f"\n{checks.text(findings)}")
            record["checks"][name] = [dataclasses.asdict(finding) for finding in findings]
    if arguments.certify:
        record["certified"] = certified
    print(f"\n{f'shard {shard} of {len(images):,} images: ' if shard else ''}{evaluation.table(record)}")
    for line in evaluation.remarks(record):
        print(line)
    if arguments.out:
        files.write_json(pathlib.Path(arguments.out), record)


def with_data(configuration, folder, path):
    """The configuration of a run whose own data set lies in another place now."""
    own = config.own_data(configuration)
    if own is None:
        raise inputs.InputError(f"--data tells where a data set of your own lies, and {folder} has none")
    own = dataclasses.replace(own, path=str(files.expanded(path).absolute()))
    config.register(own)
    return configuration | {"own": dataclasses.asdict(own)}


def inputs_of(arguments):
    """The files that an evaluation reads, those of run folders one by one."""
    named = [arguments.images, arguments.run, arguments.substitute, arguments.with_classifier]
    yield arguments.data
    for path in [*named, *(arguments.transfer_from or ())]:
        if path is not None and files.expanded(path).is_dir():
            yield from training.files_of(files.expanded(path), tuple(training.DEFENSES))
        else:
            yield path


def default_attacks(settings, is_adaptive, norm="Linf"):
    """What is used where no attacks are named: by a defense's own choice, if its attacker knows it.

    In L2 and L1, those of them that know the norm.
    """
    names = settings["attack.evaluation"]
    if is_adaptive:
        defense = training.DEFENSES.get(settings["defense"])
        names = config.ADAPTIVE_ATTACKS if defense is None else defense.adaptive_attacks
    if norm == "Linf":
        return names
    return [name for name in names if norm in norms_of(attacks.REGISTRY[name.partition(":")[0]])]


def transferred(arguments, pssr, eps):
    """What --transfer-from adds: [(name, model, attack)].

    Of a PSSR its frozen mask is attacked, of another purifier its exact gradient, of a classifier itself.
    """
    if arguments.transfer_from and arguments.threat_model != "adaptive":
        raise inputs.InputError("--transfer-from belongs to --threat-model adaptive")
    found = []
    for name in arguments.transfer_from or ():
        model = other_model(name)
        check_alike(name, model, pssr)
        if isinstance(model, PSSR):
            model = adaptive.surrogate(model, "frozen_mask")
        suite = [attacks.parse(attack, eps, arguments.norm) for attack in config.TRANSFER_ATTACKS]
        found += [(f"from {name}", model, attack) for attack in suite]
    return found


def moved(defense, file):
    """The purifier of a defense before another classifier, a .keras file or that of a run folder.

    Raises:
        InputError: if there is no such file, if the classifier does not fit, or if the defense is no PSSR.
    """
    if not isinstance(defense, PSSR):
        raise inputs.InputError(
            f"--with-classifier moves the purifier of a PSSR, got {type(defense).__name__}"
        )
    classifier = classifier_in(file)
    check_alike(file, classifier, defense)
    return PSSR(classifier, defense.surgery, defense.extrapolator, defense.guide, name=defense.name)


def classifier_in(file):
    """The classifier of a .keras file, or of a run folder."""
    path = pathlib.Path(file)
    return files.load_model(path / "classifier.keras" if path.is_dir() else path)


def other_model(name):
    """A shipped defense by its name, the defense or else the classifier of a run folder, or a .keras file."""
    if name in pretrained.names():
        return pretrained.load_pretrained(name)
    path = pathlib.Path(name)
    if not path.is_dir():
        return files.load_model(path)
    if not (path / "config.json").is_file():
        raise inputs.InputError(f"{path} is no run folder, expected one, shipped weights or a .keras file")
    defense = path / f"{training.readable(path / 'config.json')['defense']}.keras"
    return files.load_model(defense if defense.is_file() else path / "classifier.keras")


def attacked_models(arguments, pssr):
    """What the threat model lets the attacker differentiate: {name: model}."""
    for option, given in (("--surrogate", arguments.surrogate), ("--draws", arguments.draws)):
        if given is not None and arguments.threat_model != "adaptive":
            raise inputs.InputError(f"{option} belongs to --threat-model adaptive")
    if bool(arguments.substitute) != (arguments.threat_model == "transfer"):
        raise inputs.InputError("--threat-model transfer and --substitute belong together: give both")
    if arguments.threat_model == "adaptive":
        found = adaptive.sources(pssr, arguments.surrogate)
        if arguments.draws is None:
            return found
        return {name: adaptive.Expectation(model, arguments.draws) for name, model in found.items()}
    if arguments.threat_model == "transfer":
        substitute = classifier_in(arguments.substitute)
        check_alike(arguments.substitute, substitute, pssr)
        if evaluation.weights_hash(substitute) == evaluation.weights_hash(pssr.classifier):
            raise inputs.InputError(
                f"{arguments.substitute} is the PSSR's own classifier, expected another one"
            )
        return {"substitute": substitute}
    return {"classifier": pssr.classifier}


def check_alike(name, model, pssr):
    """Refuse a model that takes other images than a defense, or knows other classes.

    Of a defense, those of its classifier count.
    """
    try:
        found, expected = map(inputs.shapes_of, (getattr(model, "classifier", model), pssr.classifier))
        inputs.check_model(getattr(model, "classifier", model))
    except inputs.InputError as error:
        raise inputs.InputError(f"{name} does not fit: {error}") from error
    # A subclassed model does not say its shapes: what it returns is looked at when it is called.
    if not all(inputs.fits(*pair) for pair in zip(found, expected, strict=True) if all(pair)):
        raise inputs.InputError(
            f"{name} takes images {found[0]} and returns {found[1]}, expected {expected[0]} and "
            f"{expected[1]}, as the classifier of the defense"
        )


def own_images(file, pssr):
    """Labelled images of an .npz file, checked against what the model takes."""
    x, y = files.load_arrays(file, "images", "labels")
    x = inputs.check_images(x, inputs.check_model(pssr))
    classes = compiled_logits(pssr.classifier)(x[:1]).shape[-1]
    y = inputs.check_labels(y, len(x), classes)
    return data.Images(x, y, classes, f"images of {file}", np.arange(len(x)))


def main(argv=None):
    parser = command_line.parser_of(__doc__)
    add = parser.add_argument
    add("--run", metavar="DIR", help="a run folder of pssr-train, instead of the shipped weights")
    add("--pretrained", metavar="NAME", help="shipped weights; mnist by default")
    add(
        "--attacks",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=f"{', '.join(attacks.REGISTRY)}; with fields as in pgd:steps=100,restarts=5,best=true; "
        "in Linf and L1 cw has an L2 budget of its own, as in cw:eps=2, or none",
    )
    add("--eps", help="attack budget, such as 0.3 or 8/255; that of the training by default")
    add("--norm", choices=list(NORMS), default="Linf", help="of the budget; L2 and L1 need --eps")
    add("--threat-model", choices=["oblivious", "transfer", "adaptive"], default="oblivious")
    add(
        "--surrogate",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=f"for adaptive: {', '.join(adaptive.SURROGATES)}; all by default",
    )
    add(
        "--transfer-from",
        nargs="+",
        action="extend",
        metavar="FILE",
        help="for adaptive: other models to craft on as well: shipped names, run folders, .keras files",
    )
    add("--draws", type=int, help="for adaptive, of a random defense: attack the mean of so many answers")
    add("--substitute", metavar="FILE", help="for transfer: a classifier (.keras), or a run folder")
    add(
        "--with-classifier",
        metavar="FILE",
        help="put the purifier before this classifier (.keras), or a run folder's",
    )
    command_line.add_former_name(parser, "--before", "--with-classifier")
    add("--certify", action="store_true", help="prove images robust by interval bounds, against any attack")
    add("--checks", action="store_true", help="look for signs that the attacks failed")
    add("--cache", metavar="DIR", help="keep adversarial images here, and read them from here")
    add("--n", type=int, help="the first n images of the test split; all by default")
    add("--batch-size", type=int, default=500)
    add("--seed", type=int, default=0)
    add(
        "--shard",
        metavar="I/N",
        help="evaluate the I-th of N parts of the images, such as 2/8; scripts/merge.py merges the records",
    )
    add("--data", metavar="PATH", help="where the data set of your own, on which --run was trained, lies now")
    command_line.add_source(parser)
    add("--images", metavar="FILE", help="your own images and labels, an .npz file")
    add("--out", metavar="FILE", help="write the record to this JSON file")
    add("--overwrite", action="store_true", help="replace the file of --out")
    # Without --out the table is all there is: nothing is left to do when nobody reads it.
    return command_line.main(evaluate, parser, argv, goes_on=lambda arguments: arguments.out is not None)
