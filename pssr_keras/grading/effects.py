"""Which names a piece of a notebook may change the objects of, as far as its text tells.

A name is told more often than is true: a statement too many costs time, one too few may cost points. What no
text tells (files, threads, other modules) is left to a run of the whole notebook.
"""

import ast
import dataclasses

HAND_IN = "__hand_in__"  # what a call of a check becomes: its answers, without the rest of its arguments
RANDOM, FILES = "random numbers", "files"  # states that many statements share without a name
# Calls for their own sake that change none of their arguments.
HARMLESS = {HAND_IN, "print", "display", "len", "repr", "sleep", "help", "watch", "warn", "assert_allclose"}
DRAWN_BY = {"plt", "pyplot", "plotting", "sns"}
DRAWING = {
    "annotate", "axhline", "axis", "axvline", "bar", "barh", "boxplot", "colorbar", "contour",
    "errorbar", "figure", "fill_between", "grid", "hist", "imshow", "legend", "matshow", "plot",
    "savefig", "scatter", "set", "set_axis_off", "set_title", "set_xlabel", "set_xlim", "set_xticks",
    "set_ylabel", "set_ylim", "set_yticks", "show", "stem", "step", "subplot", "subplots", "suptitle",
    "text", "tight_layout", "title", "xlabel", "xlim", "ylabel", "ylim",
}  # fmt: skip
# Calls that change an argument or what they are called on, though their value is used.
CHANGING = {
    "__next__", "__setitem__", "add", "append", "appendleft", "clear", "compile", "copyto", "delattr",
    "difference_update", "discard", "extend", "extendleft", "fill", "fill_diagonal", "fit", "heapify",
    "heappop", "heappush", "heappushpop", "heapreplace", "insert", "insort", "insort_left",
    "insort_right", "intersection_update", "itemset", "load_weights", "next", "partition", "place",
    "pop", "popitem", "popleft", "push", "put", "put_along_axis", "putmask", "remove", "resize",
    "reverse", "rotate", "send", "set_weights", "setattr", "setdefault", "setflags", "shuffle", "sort",
    "symmetric_difference_update", "train_on_batch", "update",
}  # fmt: skip
# Objects that change when they are merely used.
CONSUMED = {
    "accumulate", "chain", "count", "cycle", "default_rng", "dropwhile", "enumerate", "filter",
    "Generator", "groupby", "islice", "iter", "map", "LifoQueue", "open", "PriorityQueue", "Queue",
    "SimpleQueue", "Random", "RandomState", "reversed",
    "SeedGenerator", "starmap", "takewhile", "tee", "zip",
}  # fmt: skip
# Calls whose value holds their arguments; and methods whose value holds nothing of their object.
HOLDING = CONSUMED | {
    "array", "asanyarray", "asarray", "atleast_1d", "atleast_2d", "broadcast_to", "dict", "expand_dims",
    "getattr", "list", "memoryview", "partial", "ravel", "reshape", "set", "sorted", "squeeze",
    "swapaxes", "transpose", "tuple", "vars", "view",
}  # fmt: skip
FRESH = {"copy", "deepcopy", "tolist", "astype", "numpy", "predict", "sum", "mean", "format", "join"}
WRITING = {
    "chdir", "getoutput", "system",
    "copy2", "copyfile", "dump", "makedirs", "mkdir", "remove", "rename", "rmtree", "save",
    "save_weights", "savetxt", "savez", "savez_compressed", "symlink", "to_csv", "to_json", "to_pickle",
    "tofile", "touch", "unlink", "urlretrieve", "write", "write_bytes", "write_text",
}  # fmt: skip
READING = {
    "exists", "getoutput", "system",
    "fromfile", "genfromtxt", "getsize", "glob", "is_dir", "is_file", "iterdir", "listdir",
    "load", "load_model", "load_weights", "loadtxt", "open", "read_bytes", "read_csv", "read_json",
    "read_pickle", "read_text", "scandir", "walk",
}  # fmt: skip
ITS_OWN = {
    "default_rng",
    "Generator",
    "Random",
    "RandomState",
    "SeedSequence",
}  # not the random numbers of all
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def executed(*nodes):
    """The nodes that run when these do: not the bodies of functions that are only defined."""
    found, left = [], list(nodes)
    while left:
        node = left.pop()
        found.append(node)
        if isinstance(node, FUNCTION):
            defaults = [node for node in node.args.kw_defaults if node is not None]
            left += [*node.decorator_list, *node.args.defaults, *defaults]
        else:
            left += ast.iter_child_nodes(node)
    return found


def name_of(call):
    """The last part of what is called: append of a.b.append(1)."""
    return getattr(call.func, "id", None) or getattr(call.func, "attr", None)


def references(node, known):
    """Names through whose objects the value of an expression may be reached."""
    match node:
        case ast.Name():
            return {node.id} - known.modules
        case ast.Call():
            name = name_of(node)
            found = set()
            if isinstance(node.func, ast.Attribute) and name not in FRESH:
                found = references(node.func.value, known)
            given = _arguments(node, known)
            if name in HOLDING | known.classes | known.returning or given & known.changing:
                found |= given
            return found
        case ast.IfExp():
            parts = [node.body, node.orelse]
        case ast.Subscript() | ast.Attribute() | ast.Starred() | ast.NamedExpr() | ast.Await():
            parts = [node.value]
        case ast.BoolOp() | ast.Tuple() | ast.List() | ast.Set() | ast.Dict():
            parts = [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            found = references(node.value if isinstance(node, ast.DictComp) else node.elt, known)
            for loop in reversed(node.generators):
                if found & (targets := _targets(loop.target)):
                    found = (found - targets) | references(loop.iter, known)
            return found
        case _:
            return set()
    return set().union(*(references(part, known) for part in parts if part is not None))


def _arguments(call, known):
    return set().union(*(references(part, known) for part in [*call.args, *(k.value for k in call.keywords)]))


def _root(node):
    """The name at the beginning of a.b[c].d, as a set: a module, too."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call | ast.Starred | ast.Await):
        node = node.func if isinstance(node, ast.Call) else node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _thrown_away(node):
    """The calls of an expression whose value nobody uses."""
    match node:
        case ast.Call():
            return [node]
        case ast.Await() | ast.NamedExpr() | ast.Starred():
            parts = [node.value]
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
            parts = [node.elt]
        case ast.BoolOp() | ast.Tuple() | ast.List() | ast.IfExp():
            parts = [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
        case _:
            parts = []
    return [call for part in parts for call in _thrown_away(part)]


def _bindings(nodes):
    """(targets, value) of all that gives a name to an object."""
    for node in nodes:
        match node:
            case ast.Assign():
                yield node.targets, node.value
            case ast.AnnAssign(value=ast.expr()) | ast.NamedExpr() | ast.AugAssign():
                yield [node.target], node.value
            case ast.For() | ast.AsyncFor() | ast.comprehension():
                yield [node.target], node.iter
            case ast.withitem(optional_vars=ast.expr()):
                yield [node.optional_vars], node.context_expr
            case ast.match_case():
                captured = [part for part in ast.walk(node.pattern) if getattr(part, "name", None)]
                yield [ast.Name(part.name) for part in captured], ast.Constant(None)


def _targets(node):
    if isinstance(node, ast.Tuple | ast.List):
        return set().union(*map(_targets, node.elts))
    return _root(node)


def shared(nodes, known):
    """Sets of names that may lead to the same object."""
    groups = []
    for targets, value in _bindings(nodes):
        group = references(value, known)
        if isinstance(value, ast.Call) and name_of(value) in known.stateful:
            group |= {name_of(value)}  # functions made together may share what they change
        if group:
            group |= set().union(*(known.effects.get(name, set()) for name in group))
            groups.append(group.union(*map(_targets, targets)) - known.modules - {RANDOM, FILES, HAND_IN})
    return groups


def with_shared(names, groups):
    names = set(names)
    while more := [group for group in groups if group & names and not group <= names]:
        names.update(*more)
    return names


def changed(nodes, known):
    """Names whose objects change, or may change, when these nodes run."""
    names, thrown = set(), set()
    for node in nodes:
        unnamed = isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "_"
        if isinstance(node, ast.Expr) or unnamed:
            thrown.update(map(id, _thrown_away(node.value)))
    for node in nodes:
        match node:
            case ast.Attribute() | ast.Subscript() if not isinstance(node.ctx, ast.Load):
                names |= _root(node)
            case ast.Attribute(attr=name) if name in CHANGING:  # also where it is handed to map
                names |= _root(node) - known.modules
            case ast.AugAssign():
                names |= _root(node.target)
            case ast.Call():
                names |= _changed_by(node, id(node) in thrown, known)
        mentioned = getattr(node, "id", None) or getattr(node, "attr", None)
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            names |= known.effects.get(mentioned, set()) | ({mentioned} & known.consumed)
    return with_shared(names, shared(nodes, known))


def _changed_by(call, thrown, known):
    name = name_of(call)
    names = set().union(*(references(k.value, known) for k in call.keywords if k.arg == "out"))
    own = _root(call.func) if isinstance(call.func, ast.Attribute) or thrown else set()
    changing = known.changing & ({name} | _arguments(call, known))
    if changing or (name in CHANGING and name not in known.functions):
        names |= own | _arguments(call, known)
    elif thrown and name not in HARMLESS:
        names |= own
        if not (name in DRAWING or own & DRAWN_BY or name in known.functions):
            names |= _arguments(call, known)
    if name in WRITING or (name == "open" and _writes(call)):
        names.add(FILES)
    return names


def _writes(call):
    modes = [*call.args[:2], *(k.value for k in call.keywords if k.arg == "mode")]
    texts = [mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
    return any(len(text) <= 3 and set(text) & set("wax+") for text in texts)


def states(nodes):
    """Those of RANDOM and FILES that the nodes use."""
    found = set()
    for node in nodes:
        name = getattr(node, "id", None) or getattr(node, "attr", None)
        if not isinstance(node, ast.Name | ast.Attribute):
            continue
        if name in READING or name in WRITING:
            found.add(FILES)
        if name in ("random", "set_random_seed", "shuffle", "permutation"):
            found.add(RANDOM)
    own = any(isinstance(node, ast.Call) and name_of(node) in ITS_OWN for node in nodes)
    return found - {RANDOM} if own else found


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
    for targets, value in _bindings(
        [node for node in nodes if not isinstance(node, ast.comprehension | ast.For)]
    ):
        value = value.value if isinstance(value, ast.Await) else value
        name = name_of(value) if isinstance(value, ast.Call) else None
        if name in stateful:
            found |= set().union(*map(_targets, targets))
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
