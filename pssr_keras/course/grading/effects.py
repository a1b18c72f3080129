"""Which names a piece of a notebook may change the objects of, as far as its text tells.

A name is told more often than is true: a statement too many costs time, one too few may cost points. What no
text tells (files, threads, other modules) is left to a run of the whole notebook.
"""

import ast

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
                if found & (targets := targets_of(loop.target)):
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


def bindings(nodes):
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


def targets_of(node):
    if isinstance(node, ast.Tuple | ast.List):
        return set().union(*map(targets_of, node.elts))
    return _root(node)


def shared(nodes, known):
    """Sets of names that may lead to the same object."""
    groups = []
    for targets, value in bindings(nodes):
        group = references(value, known)
        if isinstance(value, ast.Call) and name_of(value) in known.stateful:
            group |= {name_of(value)}  # functions made together may share what they change
        if group:
            group |= set().union(*(known.effects.get(name, set()) for name in group))
            groups.append(group.union(*map(targets_of, targets)) - known.modules - {RANDOM, FILES, HAND_IN})
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
