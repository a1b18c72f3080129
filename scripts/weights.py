#!/usr/bin/env python
"""Bring back weights that results/weights.json names, such as those of baselines, from the history.

    python scripts/weights.py list
    python scripts/weights.py fetch results/cifar10/arn.keras    # several, or "all"
    python scripts/weights.py check                              # those that are here

A file is written where its tables are, if its SHA-256 is that of the manifest, and replaces nothing.
"""

import hashlib
import pathlib
import subprocess
import sys

from pssr_keras import InputError, command_line, files

ROOT = pathlib.Path(__file__).parents[1]
MANIFEST = "results/weights.json"


def state(path, entry, root):
    """Whether a file is "absent", "here", or "other", with another content under its name."""
    if not (root / path).is_file():
        return "absent"
    return "here" if files.file_hash(root / path) == entry["sha256"] else "other"


def from_history(path, entry, root):
    """The content of a file, as the commit that the manifest names has it."""
    content = git(root, "show", f"{entry['commit']}:{path}")
    if content.returncode:
        shallow = git(root, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true"
        remedy = "run git fetch --unshallow, then this again" if shallow else "clone the repository with git"
        raise InputError(f"{root} does not hold commit {entry['commit']}, which has {path}: {remedy}")
    if hashlib.sha256(content.stdout).hexdigest() != entry["sha256"]:
        raise InputError(f"{path} of commit {entry['commit']} is not the file of {MANIFEST}: train it again")
    return content.stdout


def git(root, *arguments):
    try:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise InputError("git is not installed: install it, as it holds the weights") from error


def fetch(names, manifest, root):
    """Write the files that are not here yet, in the order of the manifest."""
    for name in set(names) - {"all", *manifest}:
        raise InputError(f"{name!r} is not in {MANIFEST}, expected all, or one of {', '.join(manifest)}")
    for path, entry in manifest.items():
        if path not in names and "all" not in names:
            continue
        found = state(path, entry, root)
        if found == "other":
            raise InputError(f"{path} is another file than that of {MANIFEST}: move it, then fetch again")
        if found == "absent":
            content = from_history(path, entry, root)
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            files.write_atomically(root / path, lambda partial, content=content: partial.write_bytes(content))
        print(f"{path}: {'here already' if found == 'here' else 'fetched'}")


def run(arguments, root=ROOT):
    manifest = files.read_json(root / MANIFEST)
    if arguments.action == "fetch":
        return fetch(arguments.names, manifest, root)
    found = {path: state(path, entry, root) for path, entry in manifest.items()}
    for path, entry in manifest.items():
        print(f"{found[path]:6}  {entry['bytes'] / 1e6:4.1f} MB  {path}  {entry['row']}: {entry['command']}")
    others = [path for path in manifest if found[path] == "other"]
    if arguments.action == "check" and others:
        raise InputError(f"not the file of {MANIFEST}: {', '.join(others)}; move it and fetch it again")


def main(argv=None):
    parser = command_line.parser_of(__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="name all of them")
    actions.add_parser("fetch", help="bring them back").add_argument("names", nargs="+", metavar="NAME")
    actions.add_parser("check", help="as list, and fail where a file is another")
    return command_line.run(run, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
