"""Visitors take turns, as two attacks at once on two cores would each take twice as long."""

import collections
import contextlib
import threading


class Turns:
    """One at a time, in the order in which they came; what may wait goes when nobody else wants to.

    with turns.line() as place:
        while not place.wait(0.2):
            print(place.ahead, "before you")
        ...
    """

    def __init__(self):
        self._line = collections.deque()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def line(self):
        """Stand in line, and leave it at the end of the block, whether one's turn has come or not."""
        place = Place(self)
        with self._changed:
            self._line.append(place)
        try:
            yield place
        finally:
            with self._changed:
                self._line.remove(place)
                self._changed.notify_all()

    def idle(self):
        """Wait until nobody is in line."""
        with self._changed:
            self._changed.wait_for(lambda: not self._line)


class Place:
    """A place in a line of `Turns`."""

    def __init__(self, turns):
        self._turns = turns

    @property
    def ahead(self):
        """How many come before this one; 0 at its turn."""
        with self._turns._changed:
            return self._turns._line.index(self)

    def wait(self, seconds=None):
        """Wait for one's turn, at most so many seconds: whether it has come."""
        changed, line = self._turns._changed, self._turns._line
        with changed:
            return changed.wait_for(lambda: line[0] is self, seconds)
