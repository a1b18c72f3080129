"""Grade a folder of submitted notebooks: a row for each file, whatever it does.

`student` runs in the process of the notebook and knows nothing of points; all else runs in the grader's.
"""

import concurrent.futures
import os
import pathlib
import threading
import time

from ...command_line import check_out
from ...inputs import InputError
from ..exercises import EXERCISES
from . import submissions, table
from .grade import Grade, grade
from .sandbox import Processes

__all__ = ["Grade", "grade", "grade_folder"]


def grade_folder(
    folder, out, seconds=300, memory=4 * 2**30, workers=1, overwrite=False, results=None, exercises=EXERCISES
):
    """Grade every file of a folder, and write the table.

    Rows are kept beside the table until all are there: the same call goes on after an interruption.

    Args:
        folder: of submissions.
        out: path of the CSV file.
        seconds: time limit for one notebook.
        memory: limit for one notebook in bytes, where the platform has such limits.
        workers: how many notebooks run at a time.
        overwrite: replace a table that is there.
        results: the folder that notebooks know as ../results.
        exercises: {name of a check: Exercise}.

    Raises:
        InputError: for an impossible folder, file or limit, or on Windows.
    """
    if os.name != "posix":
        raise InputError("grading needs Linux or macOS; on Windows, use its subsystem for Linux")
    for name, value in {"time limit": seconds, "memory limit": memory, "number of workers": workers}.items():
        if not value > 0:
            raise InputError(f"the {name} is {value}, expected more than 0")
    check_out(out, overwrite)
    if pathlib.Path(out).suffix == ".ipynb":
        raise InputError(f"{out} is a notebook, perhaps of a student: name a table, a .csv file")
    folder, journal = pathlib.Path(folder), table.Journal(out)
    own = {os.path.realpath(out), os.path.realpath(journal.path)}
    paths = [path for path in submissions.find(folder) if os.path.realpath(path) not in own]
    names = {path: str(path.relative_to(folder)) for path in paths}
    keys = {path: (names[path], submissions.fingerprint(path), seconds, memory) for path in paths}
    finished, begun = journal.read()
    rows = {path: finished[key] for path, key in keys.items() if key in finished}
    if rows:
        print(f"{len(rows)} of {len(paths)} were graded before: {journal.path}", flush=True)
    tutorials = sorted({exercise.tutorial for exercise in exercises.values()})
    progress = Progress(len(paths), len(rows))
    stopping, lock, processes = threading.Event(), threading.Lock(), Processes()

    def work(path):
        if stopping.is_set():
            return
        with lock:
            journal.add(keys[path], "begun")
        try:
            if begun.get(keys[path], 0) >= 2:
                found = Grade(
                    "", {}, ["the grader was killed twice while this ran: look at it before you run it"]
                )
            else:
                found = grade(path, exercises, results, seconds, memory, processes)
        except Exception as error:  # no mistake of ours may cost the others their rows
            found = Grade("", {}, [f"the grader failed: {type(error).__name__}: {error}"])
        with lock:
            if stopping.is_set():  # killed by us
                journal.add(keys[path], "interrupted")
                return
            rows[path] = table.row(names[path], submissions.student_of(path, folder, tutorials), found)
            journal.add(keys[path], rows[path])
            progress.tell(rows[path])

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        try:
            tasks = [pool.submit(work, path) for path in paths if path not in rows]
            for task in concurrent.futures.as_completed(tasks):
                task.result()
        except BaseException:
            stopping.set()
            processes.kill_all()
            raise
    table.write(out, list(rows.values()))
    journal.remove()
    return list(rows.values())


class Progress:
    """A line for each submission, with the time at which all will be done."""

    def __init__(self, total, before):
        self.total, self.done, self.before, self.start = total, before, before, time.time()

    def tell(self, row):
        self.done += 1
        each = (time.time() - self.start) / (self.done - self.before)
        end = time.localtime(time.time() + each * (self.total - self.done))
        result = "nothing to grade" if row["total"] is None else f"{row['total']} of {row['of']} points"
        name = table.cell(row["file"])
        until = time.strftime("%H:%M", end)
        print(f"{self.done}/{self.total}  {name}: {result}; ends about {until}", flush=True)
