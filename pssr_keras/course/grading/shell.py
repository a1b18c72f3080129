"""What `get_ipython()` and `display` give in a graded notebook: magics that leave the machine alone."""

import ast
import contextlib
import io
import os
import re
import subprocess
import timeit

# Run in the folder of the notebook, where they do no more than its Python may; all others do nothing.
COMMANDS = {
    "cat",
    "date",
    "echo",
    "head",
    "ls",
    "mkdir",
    "printf",
    "pwd",
    "seq",
    "sort",
    "tail",
    "touch",
    "wc",
}
COMPOSED = re.compile(r"[;&|<>`$\\\n()]")  # more than one command


class Lines(list):
    """The output of a shell command, as IPython has it."""

    l = property(lambda self: list(self))  # noqa: E741
    s = property(lambda self: " ".join(self))
    n = property(lambda self: "\n".join(self))

    def grep(self, pattern):
        return Lines(line for line in self if re.search(pattern, line, re.IGNORECASE))

    def fields(self, *numbers):
        words = [line.split() for line in self]
        return Lines(" ".join(row[n] for n in numbers if n < len(row)) for row in words) if numbers else words


class Captured(io.StringIO):
    """What is printed while it is the context, as %%capture keeps it."""

    stderr, outputs = "", ()
    stdout = property(io.StringIO.getvalue)
    __str__ = io.StringIO.getvalue

    def __call__(self):
        self.show()

    def show(self):
        pass


class Display:
    """What `display` returns where its output may be changed later."""

    def __init__(self, name):
        self.display_id = name

    def update(self, *things, **options):
        pass

    display = update


def display(*things, display_id=None, **options):
    return Display(display_id) if display_id else None


class ZMQInteractiveShell:
    """Stands in for IPython's class of this name, by which notebooks recognise where they run.

    Args:
        names: the global names of the notebook.
        run: a function that runs the source of a cell there.
    """

    def __init__(self, names, run):
        self.user_ns = self.user_global_ns = names
        self.run_cell = self.ex = run
        self.config = {"IPKernelApp": {}}
        self.cell, self.left_out = 0, []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments, **options: None

    def getoutput(self, command, split=True, **options):
        """The lines that a command prints, if it is one of `COMMANDS`; else none."""
        command = self._filled(command).strip()
        output, self.user_ns["_exit_code"] = "", 0
        if command.split(None, 1)[:1] and command.split()[0] in COMMANDS and not COMPOSED.search(command):
            done = subprocess.run(
                command, shell=True, capture_output=True, stdin=subprocess.DEVNULL, check=False, text=True
            )
            output, self.user_ns["_exit_code"] = done.stdout, done.returncode
        else:
            self.left_out.append(f"cell {self.cell}: the grader does not run !{command}")
        return Lines(output.splitlines()) if split else output

    def system(self, command):
        self.getoutput(command)

    system_raw = system_piped = system

    def _filled(self, text):
        """A command with {expression} and $name in place."""

        def value(match):
            if match[1] is None and match[2] not in self.user_ns:
                return match[0]  # a variable of the shell
            try:
                return str(eval(match[1] or match[2], self.user_ns))
            except Exception:
                return match[0]

        return re.sub(r"\{([^{}]+)\}|\$([^\W\d]\w*)", value, text)

    def run_line_magic(self, name, line="", _stack_depth=1):
        magic = getattr(type(self), f"_line_{name}", None)
        return magic(self, self._filled(line).strip()) if magic else None

    def run_cell_magic(self, name, line, cell):
        if name in ("writefile", "file"):
            *options, path = self._filled(line).split()
            with open(
                os.path.expanduser(path.strip("'\"")), "a" if "-a" in options else "w", encoding="utf-8"
            ) as file:
                file.write(cell)
        elif name in ("time", "prun", "capture"):
            self.run_cell(cell)
        elif name not in ("html", "HTML", "javascript", "js", "latex", "markdown", "svg", "SVG"):
            self.left_out.append(f"cell {self.cell}: the grader does not run %%{name}")

    def magic(self, text):
        return self.run_line_magic(*text.lstrip("%").partition(" ")[::2])

    def push(self, variables, interactive=True):
        if isinstance(variables, str):
            variables = variables.split()
        if not isinstance(variables, dict):
            return
        self.user_ns.update(variables)

    def ev(self, expression):
        return eval(expression, self.user_ns)

    def capture(self):
        @contextlib.contextmanager
        def context():
            output = Captured()
            with contextlib.redirect_stdout(output):
                yield output

        return context()

    def timed(self, function):
        """%timeit, by one run instead of many."""
        seconds = timeit.timeit(function, number=1)
        kinds = {"average": seconds, "best": seconds, "worst": seconds, "stdev": 0.0, "loops": 1, "repeat": 1}
        return type("TimeitResult", (), kinds | {"all_runs": [seconds], "timings": [seconds]})()

    def _line_time(self, line):
        try:
            return eval(compile(line, "<magic>", "eval"), self.user_ns)
        except SyntaxError:
            return self.run_cell(line)

    _line_prun = _line_time

    def _line_sx(self, line):
        return self.getoutput(line)

    _line_system = _line_sx

    def _line_pip(self, line):
        self.left_out.append(f"cell {self.cell}: the grader does not run %pip {line}")

    def _line_mkdir(self, line):
        os.mkdir(line)

    def _line_pwd(self, line):
        return os.getcwd()

    def _line_cd(self, line):
        os.chdir(os.path.expanduser(line.replace("-q", "").strip().strip("'\"") or "~"))

    def _line_env(self, line):
        name, given, value = line.partition("=") if "=" in line else line.partition(" ")
        if not given:
            return os.environ.get(name) if name else dict(os.environ)
        os.environ[name.strip()] = value.strip()
        return None

    _line_set_env = _line_env

    def _line_run(self, line):
        """Names of a Python file become names of the notebook."""
        words = [word.strip("'\"") for word in line.split()]
        options = [word for word in words if word.startswith("-")]
        path = next(word for word in words if word not in options)
        path = path if os.path.splitext(path)[1] else f"{path}.py"
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            source = file.read()
        names = self.user_ns if "-i" in options else {"__name__": "__main__", "__file__": path}
        exec(compile(ast.parse(source), path, "exec"), names)
        self.user_ns.update({name: value for name, value in names.items() if not name.startswith("__")})

    def _line_reset(self, line):
        if "f" not in line:
            return  # asks first
        for name in [name for name in self.user_ns if not name.startswith("__")]:
            if name not in ("display", "get_ipython"):
                del self.user_ns[name]
