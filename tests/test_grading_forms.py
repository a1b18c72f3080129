"""What is right or wrong in a notebook that runs from top to bottom is right or wrong in the grader.

Each form begins with an answer START and ends with END. A grader that misses what the form does would judge
START: with (0, 7) it would take points of right answers, with (7, 8) it would give points for wrong ones.
"""

import ast
import json
import sys

import numpy as np
import pytest

from pssr_keras.course import grading
from pssr_keras.course.exercises import Exercise
from pssr_keras.course.exercises.exercise import RIGHT, wrong
from pssr_keras.course.grading import cells, sandbox, statements

# {form: cells; the last expression of the last one is handed in}
CHANGES = {
    "function_fills_argument": [
        "def fill1(d):\n    d['a'] = END",
        "found1 = {'a': START}",
        "fill1(found1)",
        "found1['a']",
    ],
    "function_uses_helper": [
        "def inner2(d):\n    d.append(END)\ndef outer2(d):\n    inner2(d)",
        "l2 = [START]",
        "n2 = outer2(l2)",
        "l2[-1]",
    ],
    "module_function": ["import heapq\nh3 = [-START]", "heapq.heappush(h3, -END)", "-h3[0]"],
    "module_function_with_value": [
        "h4 = [-END, -START]",
        "import heapq\nr4 = heapq.heapreplace(h4, -END)\n"
        "r4 = heapq.heappop(h4) if START < END - 1 and 0 else r4",
        "-h4[0]",
    ],
    "copyto": ["import numpy as np\na5 = np.full(2, START)", "np.copyto(a5, END)", "int(a5[0])"],
    "out": ["import numpy as np\na6 = np.full(1, START)", "b6 = np.add([END], [0], out=a6)", "int(a6[0])"],
    "function_changes_global_object": [
        "d7 = {'a': START}",
        "def fill7():\n    d7['a'] = END",
        "fill7()",
        "d7['a']",
    ],
    "global_statement": ["g8 = START", "def set8():\n    global g8\n    g8 = END", "set8()", "g8"],
    "method": [
        "class C9:\n    n = START\n    def go(self):\n        self.n = END\n        return 1",
        "o9 = C9()",
        "v9 = o9.go()",
        "o9.n",
    ],
    "method_changes_global": [
        "s10 = [START]",
        "class C10:\n    def go(self):\n        s10[0] = END",
        "o10 = C10()",
        "o10.go()",
        "s10[0]",
    ],
    "constructor_keeps_argument": [
        "class C11:\n    def __init__(self, d):\n        self.d = d",
        "class D11(C11):\n    def go(self):\n        self.d[0] = END",
        "l11 = [START]",
        "o11 = D11(l11)",
        "o11.go()",
        "l11[0]",
    ],
    "item": ["a12 = [START]", "a12[0] = END", "a12[0]"],
    "augmented": ["a13 = START", "a13 += END - START", "a13"],
    "shuffle": ["import random\nl14 = [START]", "l14.append(END)", "random.shuffle(l14)", "max(l14)"],
    "alias": ["a15 = [START]", "b15 = a15", "b15.append(END)", "a15[-1]"],
    "alias_of_part": ["a16 = {'x': [START]}", "b16 = a16['x']", "b16[0] = END", "a16['x'][0]"],
    "alias_in_list": ["a17 = [START]", "b17 = [a17]", "for c17 in b17:\n    c17[0] = END", "a17[0]"],
    "view": [
        "import numpy as np\na18 = np.full((2, 1), START)",
        "b18 = a18.T",
        "b18[:] = END",
        "int(a18[0, 0])",
    ],
    "closure": [
        "def make19(n):\n    def step():\n        nonlocal n\n        n = END\n        return 0\n"
        "    return step, lambda: n",
        "step19, get19 = make19(START)",
        "v19 = step19()",
        "get19()",
    ],
    "counter": [
        "def make20():\n    n = [START, END]\n    def step():\n        return n.pop(0)\n    return step",
        "step20 = make20()",
        "first20 = step20()",
        "step20()",
    ],
    "generator": ["g21 = (n for n in (START, END))", "first21 = next(g21)", "next(g21)"],
    "generator_function": [
        "def gen22():\n    yield START\n    yield END",
        "g22 = gen22()",
        "for v22 in g22:\n    break",
        "next(g22)",
    ],
    "iterator": [
        "i23 = iter([START, END])",
        "used23 = min(i23, default=0) if 0 else i23.__next__()",
        "next(i23)",
    ],
    "pop": ["l24 = [END, START]", "x24 = l24.pop()", "l24[-1]"],
    "context": [
        "with open('f25', 'w') as f:\n    f.write('START')",
        "with open('f25', 'w') as f:\n    f.write('END')",
        "int(open('f25').read())",
    ],
    "context_of_notebook": [
        "import contextlib\nd26 = {'a': START}",
        "@contextlib.contextmanager\ndef c26():\n    yield\n    d26['a'] = END",
        "with c26():\n    pass",
        "d26['a']",
    ],
    "try": ["a27 = START", "try:\n    1 / 0\nexcept ZeroDivisionError:\n    a27 = END", "a27"],
    "exec": ["a28 = START", "exec('a28 = END')", "a28"],
    "globals": ["a30 = START", "globals()['a30'] = END", "a30"],
    "delete": ["d31 = {'a': START, 'b': END}", "del d31['a']", "next(iter(d31.values()))"],
    "delete_name": ["abs = lambda a: START", "del abs", "abs(END)"],
    "conditional": [
        "if True:\n    def f33(): return START",
        "if 1 == 1:\n    def f33(): return END",
        "f33()",
    ],
    "several_cells": ["a34 = START", "a34 = a34 + 1", "a34 = a34 - 1", "a34 = END", "a34"],
    "walrus": ["(a35 := START)", "print(a35 := END)", "a35"],
    "decorator": [
        "seen36 = [START]",
        "def register36(f):\n    seen36.append(END)\n    return f",
        "@register36\ndef f36(): pass",
        "seen36[-1]",
    ],
    "default": [
        "def f37(x, seen=[START]):\n    seen.append(x)\n    return seen[-2]",
        "u37 = f37(END)",
        "f37(0)",
    ],
    "own_attribute": ["def f38():\n    f38.n = END\n    return 0\nf38.n = START", "u38 = f38()", "f38.n"],
    "setattr": ["class C39: n = START", "setattr(C39, 'n', END)", "C39.n"],
    "comprehension": ["l40 = [START]", "[l40.append(x) for x in [END]]", "l40[-1]"],
    "unnamed": [
        "d41 = {'a': START}",
        "def fill41(d):\n    d.update(a=END)\n    return d",
        "_ = fill41(d41)",
        "d41['a']",
    ],
    "lambda": ["d42 = {'a': START}", "fill42 = lambda d: d.update(a=END)", "fill42(d42)", "d42['a']"],
    "mapped": ["l43 = []\nl43.append(START)", "u43 = list(map(l43.append, [END]))", "l43[-1]"],
    "thread": [
        "import threading\nl44 = [START]\ndef fill44(l):\n    l.append(END)",
        "t44 = threading.Thread(target=fill44, args=(l44,))",
        "t44.start()\nt44.join()",
        "l44[-1]",
    ],
    "generator_of_random_numbers": [
        "import numpy as np\nr45 = np.random.default_rng(0)",
        "u45 = r45.integers(9, size=3)",
        "END if r45.integers(9) == np.random.default_rng(0).integers(9, size=4)[3] else START",
    ],
    "random_numbers_of_all": [
        "import numpy as np\nnp.random.seed(0)",
        "u46 = np.random.rand(3)",
        "END if np.random.rand() == np.random.RandomState(0).rand(4)[3] else START",
    ],
    "environment": [
        "import os\nos.environ['A47'] = 'START'",
        "os.environ['A47'] = 'END'",
        "int(os.getenv('A47'))",
    ],
    "star": ["from math import *", "def floor(x): return START", "from math import *", "floor(END + 0.5)"],
    "dataclass": [
        "import dataclasses\n@dataclasses.dataclass\nclass D49:\n    n: int = START",
        "o49 = D49()",
        "o49.n = END",
        "o49.n",
    ],
    "swap": ["a50, b50 = START, END", "a50, b50 = b50, a50", "a50"],
    "nested_function": [
        "l51 = [START]",
        "def f51():\n    def g():\n        l51[0] = END\n    g()",
        "f51()",
        "l51[0]",
    ],
    "property": [
        "class C52:\n    n = START\n    @property\n    def go(self):\n        self.n = END\n        return 0",
        "o52 = C52()",
        "u52 = o52.go",
        "o52.n",
    ],
    "callable_object": [
        "class C53:\n    n = START\n    def __call__(self):\n        self.n = END\n        return 0",
        "o53 = C53()",
        "u53 = o53()",
        "o53.n",
    ],
    "operator": [
        "class C54:\n    n = START\n    def __add__(self, x):\n        self.n = x\n        return x",
        "o54 = C54()",
        "u54 = o54 + END",
        "o54.n",
    ],
    "future": [
        "from __future__ import annotations",
        "def f55(x: Nowhere): return START",
        "def f55(x: Nowhere): return END",
        "f55(0)",
    ],
    "match": ["a56 = START", "match [END]:\n    case [a56]:\n        pass", "a56"],
    "pickle": ["import pickle\nclass C57: n = START", "C57.n = END", "pickle.loads(pickle.dumps(C57())).n"],
    "assert": ["l58 = [START]", "assert l58.append(END) is None", "l58[-1]"],
    "with_as": [
        "import io\nb59 = io.StringIO()\nb59.write('START')",
        "with b59 as f59:\n    t59 = 'END'",
        "int(t59)",
    ],
    "dictionary_of_functions": [
        "l60 = [START]\ndef f60(): l60[0] = END",
        "d60 = {'f': f60}",
        "d60['f']()",
        "l60[0]",
    ],
    "base_class": [
        "class B61:\n    def go(self):\n        self.n = END",
        "class C61(B61): n = START",
        "o61 = C61()",
        "o61.go()",
        "o61.n",
    ],
    "partial": [
        "import functools\nl62 = [START]\ndef f62(l): l.append(END)",
        "p62 = functools.partial(f62, l62)",
        "p62()",
        "l62[-1]",
    ],
    "unicode": ["größe63 = START", "größe63 = END", "größe63"],
    "main": ["import __main__\na64 = START", "__main__.a64 = END", "a64"],
    "loop": ["a65 = START", "while a65 != END:\n    a65 = END", "a65"],
    "queue": [
        "import queue\nq66 = queue.Queue()\nq66.put(START)\nq66.put(END)",
        "u66 = q66.get()",
        "q66.get()",
    ],
    "dictionary_view": [
        "d67 = {'a': [START]}",
        "for k67, v67 in d67.items():\n    v67[0] = END",
        "d67['a'][0]",
    ],
    "sorted_in_place": ["l68 = [END, START]", "l68.sort(key=lambda n: n != START)", "l68[-1]"],
    "returned_argument": [
        "def same69(l): return l",
        "a69 = [START]",
        "b69 = same69(a69)",
        "b69[0] = END",
        "a69[0]",
    ],
    "numpy_place": [
        "import numpy as np\na70 = np.full(1, START)",
        "np.place(a70, a70 == START, END)",
        "int(a70[0])",
    ],
}

FRONT_END = {
    "shell_in_block": [
        "a1 = START",
        "IN_COLAB = False\nif IN_COLAB:\n    !pip install -q nothing\na1 = END",
        "a1",
    ],
    "time_in_loop": ["a2 = START", "for i in range(2):\n    %time a2 = END\n", "a2"],
    "assigned_shell": ["a3 = START", "files = !ls\na3 = END if 'notebook.ipynb' in files else START", "a3"],
    "assigned_magic": [
        "a4 = START",
        "where = %pwd\na4 = END if where.endswith('tutorials') else START",
        "a4",
    ],
    "continued_shell": ["a5 = START", "!echo a \\\n  b\na5 = END", "a5"],
    "await": ["a6 = START", "async def f6():\n    return END\na6 = await f6()", "a6"],
    "time_cell": ["a7 = START", "%%time\na7 = END", "a7"],
    "time_value": ["a8 = %time START", "a8 = %time END", "a8"],
    "timeit_keeps_its_names": ["a9 = END", "%timeit a9 = START", "%%timeit\na9 = START", "a9"],
    "timeit_fills": ["l10 = [START]", "%timeit -n 1 -r 1 l10.append(END)", "l10[-1]"],
    "help": ["a11 = START", "print?\na11 = END\nprint??", "a11"],
    "help_first": ["a12 = START\n?print\n??print", "a12 = END", "a12"],
    "capture": ["a13 = START", "%%capture\na13 = END", "a13"],
    "captured": ["a14 = START", "%%capture kept\nprint(END)", "a14 = int(kept.stdout)", "a14"],
    "matplotlib": [
        "%matplotlib inline\na15 = START",
        "%config InlineBackend.figure_format = 'svg'\na15 = END",
        "a15",
    ],
    "quoting_call": ["a16 = [START]\ndef f16(x): a16.append(int(x))", ",f16 END", "a16[-1]"],
    "slash_call": ["a17 = [START]\ndef f17(x): a17.append(x)", "/f17 END", "a17[-1]"],
    "shell_object": ["a18 = START", "get_ipython().run_line_magic('time', 'a18 = END')", "a18"],
    "shell_object_runs_cell": ["a19 = START", "c19 = 'a19 = END'\nget_ipython().run_cell(c19)", "a19"],
    "shell_object_asks": ["a20 = START", "a20 = get_ipython().ev('END')", "a20"],
    "names_of_the_shell": ["a21 = START", "get_ipython().user_ns['a21'] = END", "a21"],
    "display": [
        "a22 = START",
        "h22 = display(a22, display_id=True)\nh22.update(1)\na22 = END\ndisplay(a22)",
        "a22",
    ],
    "async_for": ["a23 = START", "async def g23():\n    yield END\nasync for a23 in g23():\n    pass", "a23"],
    "async_with": [
        "import contextlib\n@contextlib.asynccontextmanager\nasync def c24():\n    yield END",
        "a24 = START\nasync with c24() as a24:\n    pass",
        "a24",
    ],
    "async_comprehension": [
        "async def g25():\n    yield END",
        "a25 = [START]\na25 = [x async for x in g25()]",
        "a25[0]",
    ],
    "task": [
        "import asyncio\nl26 = [START]\nasync def f26():\n    l26.append(END)",
        "t26 = asyncio.create_task(f26())",
        "await t26\nawait asyncio.sleep(0)",
        "l26[-1]",
    ],
    "gather": [
        "import asyncio\nasync def f27(n):\n    return n",
        "a27 = START\na27 = await asyncio.gather(f27(0), f27(END))",
        "a27[-1]",
    ],
    "env": ["%env A28=START", "%env A28=END", "import os\nint(os.environ['A28'])"],
    "bash": ["a29 = START", "%%bash\necho a", "a29 = END", "a29"],
    "writefile": [
        "%%writefile made30.py\nvalue = START",
        "%%writefile made30.py\nvalue = END",
        "import made30\nmade30.value",
    ],
    "run": ["value31 = START", "%%writefile made31.py\nvalue31 = END", "%run made31.py", "value31"],
    "indented_cell": ["    a32 = START", "    a32 = END\n    b32 = 1", "a32"],
    "tabs": ["if True:\n\ta33 = START", "if True:\n\t%time a33 = END", "a33"],
    "semicolon": ["a34 = START;", "a34 = END;", "a34"],
    "comments": ["a35 = START", "# a comment only", "", "#@title form\na35 = END #@param", "a35"],
    "last_value": ["START", "END", "_"],
    "quiet_value": ["END", "START;", "a37 = _", "a37"],
    "output": ["START", "END", "b38 = Out", "max(b38)\nb38[max(b38)]"],
    "no_mark": ["a39 = START", "time a39 = END", "a39"],
    "prun": ["a40 = START", "%prun -q a40 = END", "a40"],
    "second_magic": ["a41 = START", "%%capture\n%time a41 = END\n!echo a", "a41"],
    "pip": ["a42 = START", "%pip install -q nothing\n!pip install nothing\na42 = END", "a42"],
    "printed": ["a43 = START", "out43 = !echo END", "a43 = int(out43[0])", "a43"],
    "expanded": [
        "n44 = END",
        "a44 = START",
        "out44 = !echo {n44} $n44",
        "a44 = int(out44.s.split()[0])",
        "a44",
    ],
    "made_folder": [
        "!mkdir -p made45/in",
        "open('made45/in/a', 'w').write('END')",
        "int(open('made45/in/a').read())",
    ],
    "string_with_magic": ["a46 = START", "t46 = '''\n%time\n!ls\n'''\na46 = END", "a46"],
    "timeit_object": ["a47 = START", "r47 = %timeit -o -q 1\na47 = END if r47.best >= 0 else START", "a47"],
    "prompt": ["a48 = START", ">>> a48 = END", "a48"],
    "imported_shell": [
        "from IPython import get_ipython\na49 = START",
        "get_ipython().run_line_magic('pwd', '')\na49 = END",
        "a49",
    ],
    "autoreload": ["%load_ext autoreload\n%autoreload 2\na50 = START", "a50 = END", "a50"],
    "modulo": ["a51 = START", "a51 = (100 + END\n% 100)\n%time b51 = 1", "a51 - 100 + 0"],
    "colab": [
        "a52 = START",
        "if 'google.colab' in str(get_ipython()):\n    !wget nothing\nelse:\n    a52 = END",
        "a52",
    ],
    "kernel": [
        "a53 = START",
        "if type(get_ipython()).__name__ == 'ZMQInteractiveShell':\n    a53 = END",
        "a53",
    ],
    "javascript": ["a54 = START", "%%html\n<b>x</b>", "%%javascript\nvar a54 = 0", "a54 = END", "a54"],
    "shell_twice": ["a55 = START", "!!echo b\na55 = END", "a55"],
}


def judge(answer):
    return RIGHT if answer == 7 else wrong("number")


def seven(number):
    return Exercise("01_toy", number, 2, {"number": "no"}, judge, ("answer",), tuple)


def judge_function(function, numbers):
    return RIGHT if np.allclose(function(numbers), 2 * numbers) else wrong("double", points=1)


DOUBLE = Exercise(
    "01_toy", 99, 2, {"double": "no"}, judge_function, ("function",), lambda: (np.arange(3.0),)
)  # fmt: skip


@pytest.fixture
def grade(tmp_path):
    """Function: the grade of cells; each exercise is one of sevens, but for check_double."""

    def run(sources, checks=("check_a", "check_b"), seconds=60):
        path = tmp_path / "01_toy.ipynb"
        code = [{"cell_type": "code", "source": source} for source in sources]
        path.write_text(json.dumps({"cells": code, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}))
        exercises = {check: seven(number) for number, check in enumerate(checks)} | {"check_double": DOUBLE}
        found = grading.grade(path, exercises, None, seconds, 2**30, sandbox.Processes())
        points = {check: found.verdicts[exercise.number].points for check, exercise in exercises.items()}
        if "check_double" not in "".join(sources):
            del points["check_double"]
        return points, found.remarks

    return run


def filled(name, form, start, end):
    *before, last = [cell.replace("START", str(start)).replace("END", str(end)) for cell in form]
    *lines, answer = last.split("\n")
    return [*before, "\n".join([*lines, f"check_{name}({answer})"])]


@pytest.fixture
def runs(monkeypatch):
    """A list that gets an item for each process of a notebook."""
    started, module = [], sys.modules["pssr_keras.course.grading.grade"]
    whole = module.Sandbox
    monkeypatch.setattr(module, "Sandbox", lambda *options: started.append(1) or whole(*options))
    return started


@pytest.mark.parametrize("forms", [CHANGES, FRONT_END], ids=["changes", "front_end"])
@pytest.mark.parametrize(("start", "end", "points"), [(0, 7, 2), (7, 8, 0)], ids=["right", "wrong"])
def test_what_a_notebook_does_is_seen(grade, runs, forms, start, end, points):
    sources = [source for name, form in forms.items() for source in filled(name, form, start, end)]
    found, remarks = grade(sources, [f"check_{name}" for name in forms])
    assert found == dict.fromkeys(found, points)
    assert [remark for remark in remarks if "does not run" not in remark] == []
    assert len(runs) == (1 if points else 2)  # what the answers need was seen, without a run of all


def test_magics_are_read_without_ipython(monkeypatch):
    """As IPython reads them, but for prompts, calls without parentheses, and lines that begin with a %."""
    sources = {
        name: [*before, last]
        for name, (*before, last) in FRONT_END.items()
        if name not in ("quoting_call", "slash_call", "prompt", "modulo")
    }

    def read():
        return {
            name: [ast.unparse(ast.Module(cells.statements(cell), [])) for cell in form]
            for name, form in sources.items()
        }

    with_ipython = read()
    monkeypatch.setitem(sys.modules, "IPython.core.inputtransformer2", None)
    assert read() == with_ipython


HIDDEN = "import sys\nfound = {'a': START}"  # what no text tells: an object under a name made of parts
CHANGE = "vars(sys.modules['__ma' + 'in__'])['fo' + 'und']['a'] = END"


def test_all_is_run_before_points_are_lost(grade, runs):
    change = CHANGE.replace("vars(", "getattr(").replace("])[", "], ").replace("'und']", "'und')")
    fill = [HIDDEN, change, "check_a(found['a'])", "check_b(8)"]
    right = [source.replace("START", "0").replace("END", "7") for source in fill]
    assert grade(right) == ({"check_a": 2, "check_b": 0}, [])
    assert len(runs) == 2
    lost = [source.replace("START", "0").replace("END", "8") for source in fill]
    assert grade(lost) == ({"check_a": 0, "check_b": 0}, [])
    runs.clear()
    assert grade(["answer = None", *right[1:2], "check_a(answer)", "check_b((8, -1.5))"])[0] == {
        "check_a": 0,
        "check_b": 0,
    }
    assert len(runs) == 1  # for numbers need nothing else


def test_an_endless_exploration_takes_no_points_of_what_comes_after_it(grade):
    change = CHANGE.replace("vars(", "getattr(").replace("])[", "], ").replace("'und']", "'und')")
    sources = [HIDDEN, change, "while True: pass", "check_a(found['a'])", "def f(x): return x", "check_b(7)"]
    points, remarks = grade([s.replace("START", "0").replace("END", "7") for s in sources], seconds=4)
    assert points == {"check_a": 2, "check_b": 2}
    (remark,) = remarks
    assert remark.startswith("cell 3: TooLong: it took")


def test_code_that_is_made_meanwhile_needs_all(grade, runs):
    sources = ["a = START", "b = END", "code = 'a = ' + 'b'\nexec(code)", "check_a(a)", "check_b(a)"]
    assert grade([source.replace("START", "0").replace("END", "7") for source in sources])[0]["check_a"] == 2
    assert grade([source.replace("START", "7").replace("END", "8") for source in sources])[0]["check_a"] == 0
    assert len(runs) == 2


def test_a_function_is_judged_as_it_was_when_it_was_handed_in(grade):
    cells = [
        "factor = START",
        "def f(x): return factor * x",
        "check_double(f)",
        "factor = END\ncheck_a(factor + 5)",
    ]
    right = [cell.replace("START", "2").replace("END", "3") for cell in cells]
    assert grade(right, ["check_a"])[0] == {"check_a": 0, "check_double": 2}
    late = [cell.replace("START", "3").replace("END", "2") for cell in cells]
    assert grade(late, ["check_a"])[0] == {"check_a": 2, "check_double": 1}


CALLS = [
    ["from x import check_a as one, check_b", "one(7)\ncheck_b(7)"],
    ["import x", "two = x.check_a\ntwo(7)\nx.check_b(7, nowhere)"],
    ["def hand_in(n):\n    check_a(n)\n    return check_b", "hand_in(7)(7)"],
    ["for check in (check_a, check_b):\n    check(*[7, 8])"],
    ["a = {'answer': 7}", "check_a(**a)", "print([check_b(n) for n in (8, 7)])"],
    ["%%time\ncheck_a(7)", "%time check_b(7)"],
    ["try:\n    check_a(1 / 0)\nexcept ZeroDivisionError:\n    check_a(7)", "if True:\n    check_b(7)"],
]


def test_checks_are_found_however_they_are_called(grade):
    checks = [f"check_{letter}{number}" for number in range(len(CALLS)) for letter in "ab"]
    sources = [
        source.replace("check_a", f"check_a{number}").replace("check_b", f"check_b{number}")
        for number, form in enumerate(CALLS)
        for source in form
    ]
    assert grade(sources, checks)[0] == dict.fromkeys(checks, 2)
    for before in "( [":
        sources = [source.replace(f"{before}7", f"{before}9") for source in sources]
    assert grade(sources, checks)[0] == dict.fromkeys(checks, 0)


def test_what_is_not_run_is_said_where_points_are_lost(grade):
    sources = ["!rm notebook.ipynb", "out = !curl -s nowhere\ncheck_a(int(out[0]))", "check_b(7)"]
    points, remarks = grade(sources)
    assert points == {"check_a": 0, "check_b": 2}
    assert remarks == [
        "cell 2: IndexError: list index out of range",
        "cell 1: the grader does not run !rm notebook.ipynb",
        "cell 2: the grader does not run !curl -s nowhere",
    ]
    assert grade(["!curl -s nowhere", "check_a(7)", "check_b(7)"]) == ({"check_a": 2, "check_b": 2}, [])


def test_a_cell_that_is_no_program_is_not_run(grade):
    points, remarks = grade(["a = 7", "a = 8\nbreak", "b = 7\n%time )", "check_a(a)", "check_b(b)"])
    assert points == {"check_a": 2, "check_b": 0}
    assert remarks[:2] == [
        "cell 2 is no Python: 'break' outside loop",
        "cell 3 is no Python: unmatched ')'",
    ]
    assert remarks[2:] == ["cell 5: NameError: name 'b' is not defined"]


def test_tutorials_explore_more_than_answers_need():
    """A plot, a loop and a shared name of a comprehension bring in nothing."""
    sources = [
        "import matplotlib.pyplot as plt\nx = load()",
        "for name in names:\n    slow[name] = train(x, name)",
        "plt.imshow(x[0])\nprint(x.mean())\nfigure.axes[0].plot(x)",
        "rows = {name: explore(x) for name in names}",
        "def show(z):\n    plt.imshow(z)",
        "show(x)",
        "check_a(x)",
    ]
    found, _ = statements.parse(sources, {"check_a": ["answer"]})
    assert [statement.source for statement in statements.needed(found)] == [
        "x = load()",
        "__hand_in__('check_a', x)",
    ]
