"""What the requests of an event loop want written, on its way to the thread that writes and back.

Both threads need Python's interpreter, which one has at a time, and each commit costs as much as several
operations. So an operation goes when a turn of the loop has brought no other one: all that was ready goes
together, and then the loop has nothing to do that would take the interpreter from it (see
`Database.give_way`).
"""

import asyncio
from functools import partial
from typing import List

from jd.errors import StorageError
from jd.net.serving import inloop
from jd.storage.database import MAX_GROUP, Answer, Database, Task, at_once

LONGEST = 0.02  # seconds that an operation waits for others, where each turn brings one


class Gathering:
    """Between one event loop and the thread that writes. All but `flush` and `back` is for the loop's thread;
    `back` has the answers of a commit given in a turn of the loop, from any."""

    def __init__(self, loop: asyncio.AbstractEventLoop, database: Database) -> None:
        self.loop = loop
        self.back = inloop.InTurn(loop)
        self._database = database
        self._tasks: List[Task] = []
        self._since = 0.0

    def add(self, task: Task) -> None:
        """Have it queued soon, behind those that came before."""
        if not self._tasks:
            self._since = self.loop.time()
            self.loop.call_soon(self._look, 0)
        self._tasks.append(task)

    def _look(self, before: int) -> None:
        if before < len(self._tasks) < MAX_GROUP and self.loop.time() - self._since < LONGEST:
            self.loop.call_soon(self._look, len(self._tasks))
        else:
            self.flush()

    def flush(self) -> None:
        """Queue what is there, or tell those who await it in the loop that the database is closed."""
        tasks, self._tasks = self._tasks, []
        try:
            if tasks:
                self._database.enter(tasks)
        except StorageError as error:
            # The loop may be over by now, and with it who awaits this.
            self.back(partial(at_once, [Answer(task.promise, None, error) for task in tasks]))
