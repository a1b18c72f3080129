"""Verify a published record: check it against itself, then judge a sample of its images anew.

    pssr-verify results/mnist/shipped_evaluation.json
    pssr-verify results/mnist/table_1.json --n 100 --rows PSSR
    pssr-verify record.json --weights runs/mine --all --out verified.json
    pssr-verify results/cifar10/table_1.json --n 0     # against itself alone, in a moment

Each accuracy and interval must be those of its flags. Then the weights that the record names are looked for
by their hashes: among the shipped ones, in the folder of results/weights.json, and in --weights. Of those
found, --n images, drawn by --seed, are attacked and judged as the record says. A cell fails where its flags
differ in one direction (McNemar's exact test, p < 0.01), or where the exact 99.9% interval of the sample
does not hold the record's accuracy. Every single flag that differs is told.

Exit status: 0, all that was checked holds; 1, something does not; 2, nothing could be judged, or an input is
to be mended.
"""

import argparse
import collections
import json
import time

from .. import command_line, data, evaluation, files, inputs
from ..evaluation import consistency, matching, verification
from . import holdings


def verify(arguments):
    """Return whether all that was checked holds."""
    inputs.check_seed(arguments.seed)
    inputs.check_integer("n", arguments.n, 0)
    inputs.check_integer("batch size", arguments.batch_size, 1)
    path = files.expanded(arguments.record)
    if arguments.out:
        command_line.check_out(arguments.out, arguments.overwrite)
        files.check_not_input(arguments.out, [path, arguments.images])
    if arguments.cache:
        evaluation.cache.check_folder(arguments.cache)
    content = read(path)
    try:
        problems = consistency.problems(content)
    except inputs.InputError as error:
        raise inputs.InputError(f"{path}: {error}") from error
    manifest = holdings.Manifest.beside(path)
    problems += manifest.problems(path, content)
    print(f"{consistency.cells_in(content):,} numbers in {path}: each against its flags and its interval")
    evaluations = consistency.evaluations_in(content)
    for kind, names in (("row", arguments.rows), ("column", arguments.columns)):
        verification.check_names(kind, names if evaluations else None, names_in(evaluations, kind))
    result = {"record": str(arguments.record), "versions": evaluation.versions(), "problems": problems}
    remarks = consistency.version_remarks(content)
    remarks += [remark for _, record in evaluations for remark in holdings.remarks_on(record)]
    result |= {"remarks": remarks, "evaluations": {}}
    if evaluations and arguments.n:
        judge_all(arguments, evaluations, manifest, result)
    elif not evaluations:
        kind = content.get("table", path.stem) if isinstance(content, dict) else path.stem
        print(f"nothing here is re-judged: {kind} names no images, attacks and models of evaluations")
    for remark in result["remarks"]:
        print(f"remark: {remark}")
    for problem in problems:
        print(f"CONTRADICTION: {problem}")
    return concluded(arguments, manifest, result)


def concluded(arguments, manifest, result):
    """Tell and write what was found; return whether all that was checked holds.

    Raises:
        InputError: if nothing could be judged.
    """
    found = result["evaluations"].values()
    cells = [cell for judged in found for columns in judged["cells"].values() for cell in columns.values()]
    verdicts = collections.Counter(cell["verdict"] for cell in cells)
    hold, fail, unchecked = (
        verdicts[verdict] for verdict in (verification.HOLDS, verification.FAILS, verification.NOT_CHECKED)
    )
    result["holds"] = not result["problems"] and not fail
    print(
        f"\n{len(result['problems'])} contradictions; of {len(cells)} cells {hold} hold, {fail} fail, "
        f"{unchecked} were not checked"
    )
    if arguments.out:
        files.write_json(files.expanded(arguments.out), result)
    if cells and result["holds"] and not hold:
        missing = dict.fromkeys(weights for judged in found for weights in judged["missing"])
        why = "; ".join(map(manifest.advice, missing)) or "; ".join(dict.fromkeys(c["why"] for c in cells))
        raise inputs.InputError(f"nothing could be judged: {why}")
    return result["holds"]


def read(path):
    """The content of a JSON file.

    Raises:
        InputError: if it cannot be read or is none.
    """
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise inputs.InputError(f"{path} cannot be read ({error.strerror}): name a record") from error
    except ValueError as error:
        raise inputs.InputError(f"{path} is no record, expected a JSON file ({error})") from error


def names_in(evaluations, kind):
    """The rows or columns of several evaluations, in order."""
    found = {}
    for _, record in evaluations:
        found |= dict.fromkeys(record["cells"] if kind == "row" else verification.known_columns(record))
    return list(found)


def judge_all(arguments, evaluations, manifest, result):
    """Judge a sample of each evaluation, and tell what is found as soon as it is."""
    held, told = holdings.find(evaluations, manifest, arguments.weights)
    result["problems"] += told
    plans = {
        place: matching.plan(record, held, arguments.rows, arguments.columns)
        for place, record in evaluations
        if consistency.is_readable(record)
    }
    missing = {}
    for found in plans.values():
        for weights, names in found.missing().items():
            missing.setdefault(weights, {}).update(dict.fromkeys(names))
    for weights, names in missing.items():
        print(f"not checked: {', '.join(names)}: {manifest.advice(weights)}")
    clock = Clock(sum(len(found.columns()) for found in plans.values()))
    test = Images(arguments)
    for place, found in plans.items():
        if not found.models:
            continue
        size = None if arguments.all else arguments.n
        any_here = any(map(matching.is_there, found.models.values()))
        sample = verification.Sample(None, [], arguments.seed, [])
        if any_here:
            sample = verification.sample_of(found.record, test.of(found.record), size, arguments.seed)
            name = f"{place}: " if place else ""
            print(f"\n{name}{len(sample.places):,} of {found.record['n']:,} images, seed {sample.seed}")
        judged = verification.judge(
            found,
            sample,
            arguments.columns,
            arguments.batch_size,
            progress=not arguments.quiet,
            cache=arguments.cache,
            done=clock.tick,
        )
        result["evaluations"][place] = judged
        if any_here:
            print(f"\n{table(judged)}", flush=True)
        for remark in judged["remarks"]:
            if remark not in result["remarks"]:
                print(f"remark: {remark}")


class Images:
    """The images of records, each set read once."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.known = {}

    def of(self, record):
        """`data.Images` that hold those of a record.

        Raises:
            InputError: if it does not say which they are, or they are not here.
        """
        arguments = self.arguments
        if arguments.images:
            return data.images_of(tuple(files.load_arrays(arguments.images, "images", "labels")))
        kind, name, split = holdings.data_of(record)
        source = "bundled" if kind == "bundled" and arguments.source == "auto" else arguments.source
        key = name, split, source
        if key not in self.known:
            self.known[key] = data.load(*key, arguments.data_dir)
        images = self.known[key]
        is_bundled = images.source.startswith("bundled")
        if is_bundled != (kind == "bundled") and not data.DATASETS[name].by_content:
            raise inputs.InputError(
                f"the record is about {record['data']!r}, and here are {images.source!r}, which are others: "
                f"use --source {kind}"
            )
        return images


class Clock:
    """Tells after each column how long the others will take, were they like those before."""

    def __init__(self, total):
        self.total, self.done, self.start = total, 0, time.perf_counter()

    def tick(self, column, cells):
        self.done += 1
        seconds = time.perf_counter() - self.start
        left = seconds / self.done * (self.total - self.done)
        verdicts = [cell["verdict"] for cell in cells]
        fails = verdicts.count(verification.FAILS)
        words = f"{len(verdicts)} hold" if not fails else f"{fails} of {len(verdicts)} FAIL"
        to_go = f", about {left:.0f} s to go" if left else ""
        print(f"{self.done} of {self.total}, {column}: {words}; {seconds:.0f} s{to_go}", flush=True)


def table(judged):
    """What was found, a line for each cell, then what was not checked and why."""
    lines, unjudged = [["row", "column", "recorded", "sample", "flags", ""]], {}
    for row, cells in judged["cells"].items():
        for column, cell in cells.items():
            if cell["verdict"] == verification.NOT_CHECKED:
                unjudged.setdefault((row, cell["why"]), []).append(column)
                continue
            recorded, accuracy = (f"{100 * cell[name]:.2f}" for name in ("recorded", "accuracy"))
            words = f"FAILS: {cell['why']}" if cell["verdict"] == verification.FAILS else cell["verdict"]
            lines.append([row, column, recorded, f"{accuracy} of {cell['n']}", flags_in_words(cell), words])
    told = [f"not checked: {row}, {', '.join(names)}: {why}" for (row, why), names in unjudged.items()]
    return "\n".join(([evaluation.align(lines)] if len(lines) > 1 else []) + told)


TOLD = 5  # places of flags that a line names; --out has all of them


def flags_in_words(cell):
    """How the flags of a cell compare, such as "2 of 50 differ, places 3, 17 (p = 0.5)"."""
    differing = cell["differing"]
    if differing is None:
        return "not compared"
    if not differing:
        return "equal"
    places = ", ".join(map(str, differing[:TOLD])) + (", ..." if len(differing) > TOLD else "")
    verb = "differs, place" if len(differing) == 1 else "differ, places"
    return f"{len(differing)} of {cell['n']} {verb} {places} (p = {cell['p']:.2g})"


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("record", metavar="RECORD", help="a JSON file of pssr-evaluate, pssr-train or pssr-reproduce")
    add(
        "--weights",
        nargs="+",
        action="extend",
        metavar="PATH",
        help=".keras files, or folders of them such as a run, among which its models are looked for",
    )
    add("--n", type=int, default=50, help="images of the sample, 50 by default; 0 for none")
    add("--all", action="store_true", help="judge all images of the record")
    add("--seed", type=int, default=0, help="of the sample; attacks have that of the record")
    add("--rows", nargs="+", action="extend", metavar="ROW", help="judge these rows alone")
    add("--columns", nargs="+", action="extend", metavar="COLUMN", help="judge these columns alone")
    add("--source", default="auto", metavar="NAME", help="tfds, bundled, or auto (the default)")
    add("--data-dir", metavar="DIR", help="folder of tensorflow-datasets")
    add("--images", metavar="FILE", help="the record's images and labels, where they were your own: .npz")
    add("--batch-size", type=int, default=500)
    add("--cache", metavar="DIR", help="keep adversarial images here, and read them from here")
    add("--quiet", action="store_true", help="no progress bars")
    add("--out", metavar="FILE", help="write what was found to this JSON file")
    add("--overwrite", action="store_true", help="replace the file of --out")
    holds = []
    status = command_line.main(
        lambda arguments: holds.append(verify(arguments)),
        parser,
        argv,
        goes_on=lambda arguments: arguments.out is not None,
    )
    return status if status or all(holds) else 1
