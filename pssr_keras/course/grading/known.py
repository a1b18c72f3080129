"""What the functions and classes of a notebook do to their arguments and to global names."""

import ast
import dataclasses

if __package__:
    from .effects import (
        CONSUMED,
        FUNCTION,
        HAND_IN,
        bindings,
        changed,
        executed,
        name_of,
        references,
        shared,
        states,
        targets_of,
        with_shared,
    )
else:
    from effects import (
        CONSUMED,
        FUNCTION,
        HAND_IN,
        bindings,
        changed,
        executed,
        name_of,
        references,
        shared,
        states,
        targets_of,
        with_shared,
    )


@dataclasses.dataclass
class Known:
    """What is known of a notebook before its statements are looked at one by one.

    Args:
        functions: names of its functions, methods and classes.
        classes: names of its classes.
        modules: names that it imports.
        changing: names of functions that change an argument; the object of a method is one.
        returning: names of functions whose value may be an argument of theirs.
        effects: {name of a function: global names whose objects it changes}.
        consumed: names of objects that change when they are used.
        stateful: names of functions and classes that make such objects.
        groups: sets of global names that may lead to the same object.
    """

    functions: set = dataclasses.field(default_factory=set)
    classes: set = dataclasses.field(default_factory=set)
    modules: set = dataclasses.field(default_factory=set)
    changing: set = dataclasses.field(default_factory=set)
    returning: set = dataclasses.field(default_factory=set)
    effects: dict = dataclasses.field(default_factory=dict)
    consumed: set = dataclasses.field(default_factory=set)
    stateful: set = dataclasses.field(default_factory=set)
    groups: list = dataclasses.field(default_factory=list)


def _all_functions(nodes):
    """(name, node) of all functions, those by lambda and those in classes, too."""
    for node in nodes:
        if isinstance(node, FUNCTION):
            yield node.name, node
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))


def _parameters(node):
    parts = [
        *node.args.posonlyargs,
        *node.args.args,
        *node.args.kwonlyargs,
        node.args.vararg,
        node.args.kwarg,
    ]
    return [part.arg for part in parts if part is not None]


def know(trees):
    """`Known` of the statements of a notebook."""
    nodes = [node for tree in trees for node in ast.walk(tree)]
    functions, known = list(_all_functions(nodes)), Known()
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            known.modules |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ClassDef):
            known.classes.add(node.name)
    known.functions = {name for name, _ in functions} | known.classes
    made = ast.Nonlocal | ast.Yield | ast.YieldFrom
    known.stateful = {
        name for name, node in functions if any(isinstance(part, made) for part in ast.walk(node))
    }
    before = None
    while before != (before := _size(known)):
        for name, node in functions:
            _learn(known, name, node)
        for node in nodes:
            if isinstance(node, ast.ClassDef | FUNCTION):
                _learn_of_inner(known, node)
        known.consumed |= _consumed(nodes, known.stateful)
    loops = ast.For | ast.AsyncFor | ast.comprehension  # their names are used within, and often used again
    known.groups = shared([node for node in executed(*trees) if not isinstance(node, loops)], known)
    return known


def _learn_of_inner(known, node):
    """Add what a class or a function makes: an object with methods, a function with what is around it."""
    inside = [part for part in ast.walk(node) if isinstance(part, FUNCTION) and part is not node]
    effects = set().union(*(known.effects.get(part.name, set()) for part in inside))
    if isinstance(node, ast.ClassDef):
        known.effects.setdefault(node.name, set()).update(effects)
        effects = {part.name for part in inside if part.name != "__init__"} & known.changing
    if effects:
        known.stateful.add(node.name)


def _size(known):
    effects = sum(map(len, known.effects.values()))
    return len(known.changing), len(known.returning), len(known.consumed), len(known.stateful), effects


def _consumed(nodes, stateful):
    found = set()
    for targets, value in bindings(
        [node for node in nodes if not isinstance(node, ast.comprehension | ast.For)]
    ):
        value = value.value if isinstance(value, ast.Await) else value
        name = name_of(value) if isinstance(value, ast.Call) else None
        if name in stateful:
            found |= set().union(*map(targets_of, targets))
        elif name in CONSUMED or isinstance(value, ast.GeneratorExp):
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def _learn(known, name, node):
    """Add what a function does to its arguments and to global names."""
    body = node.body if isinstance(node.body, list) else [ast.Expr(node.body)]
    nodes, parameters = executed(*body), set(_parameters(node))
    stored = {part.id for part in nodes if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load)}
    open_names = {
        part for kind in nodes if isinstance(kind, ast.Global | ast.Nonlocal) for part in kind.names
    }
    local = (parameters | stored) - open_names
    names = changed(nodes, known)
    groups = shared(nodes, known)
    if names & parameters:
        known.changing.add(name)
        if node.args.defaults or node.args.kw_defaults:
            known.consumed.add(name)
    returned = [part.value for part in nodes if isinstance(part, ast.Return) and part.value is not None]
    returned += [] if isinstance(node.body, list) else [node.body]
    if with_shared(set().union(*(references(part, known) for part in returned)), groups) & parameters:
        known.returning.add(name)
    handed_in = {HAND_IN} & {part.id for part in nodes if isinstance(part, ast.Name)}
    effects = (names - local) | (open_names & stored) | states(nodes) | handed_in
    known.effects.setdefault(name, set()).update(effects)
