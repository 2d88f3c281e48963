"""Facts for people and for programs: rows of the registry as table cells and as JSON objects.

A row of another host is shown as such; whether its process lives cannot be judged here. Text that others
wrote (host names, paths) is made safe for a terminal.
"""

from __future__ import annotations

import json
import re
import sys

from jd import terminal
from jd.cli.context import Context
from jd.node.identity import Here
from jd.shape import NamedTuple
from jd.worker.local.liveness import Life, life
from jd.worker.local.rows import BUSY, DRAINING, IDLE, PAUSED, STARTING, STOPPING, Row
from jd.workername import split_worker_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

    from jd.cli.target import Known
    from jd.worker.local.registry import Registry

_GAP = 2  # columns between the cells of terminal.table
_SHORTEST_ID = 12
_REASON = 40  # characters of a reason in a table
_STATUS = "STATUS"
_USUAL = {"worker", "-"}  # what machine type and tags are where nobody says
STATUSES = (BUSY, IDLE, STARTING, PAUSED, DRAINING, STOPPING)
_STYLES = {BUSY: "green", STARTING: "cyan", PAUSED: "yellow", DRAINING: "yellow", STOPPING: "yellow"}
_ESCAPE = re.compile("(\033\\[[0-9;]*m)")


# ---- workers

class Seen(NamedTuple):
    """A registered worker and what can be said here about its process."""

    row: Row
    life: Life


def look(workers: Registry, here: Here) -> list[Seen]:
    """The registered workers, without those that are dead. Raises StorageError."""
    seen = [Seen(row, life(row, here)) for row in workers.rows()]
    return [worker for worker in seen if worker.life is not Life.DEAD]


def host_of(row: Row) -> str:
    """The host of a worker; published clients have it in the worker id only."""
    name = None if row.host else split_worker_id(row.worker_id)
    return plain(row.host if name is None else name.host)


def status_of(seen: Seen, here: Here) -> str:
    """What a worker does, in a word or two; of one that its server has paused, also why."""
    if seen.life is Life.DEAD:
        return "ended"
    if seen.life is Life.ALIVE:
        because = plain(seen.row.paused_because) if seen.row.status == PAUSED else ""
        cut = because if len(because) <= _REASON else because[:_REASON - 3] + "..."
        return plain(seen.row.status) + (because and ": %s" % cut)
    host = host_of(seen.row) or "another host"
    if host == here.host:
        # Another boot of a "localhost", or processes that a sandbox hides: nobody can tell.
        apart = seen.row.pid_namespace != here.pid_namespace
        return "in another container" if apart else "unknown"
    return "on %s" % short(host)


def short(host: str) -> str:
    """A host name up to its first dot; an address is left as it is."""
    is_address = host.replace(".", "").isdigit()
    return host if is_address else host.partition(".")[0]


def counted(workers: Sequence[Seen]) -> dict[str, int]:
    """How many workers of this host have each status; every known status is there."""
    counts = dict.fromkeys(STATUSES, 0)
    for seen in workers:
        if seen.life is Life.ALIVE:
            counts[seen.row.status] = counts.get(seen.row.status, 0) + 1
    return counts


def elsewhere(workers: Sequence[Seen]) -> int:
    """How many workers are of other hosts."""
    return sum(seen.life is Life.ELSEWHERE for seen in workers)


def worker_json(seen: Seen, now: float) -> dict[str, Any]:
    """A worker for programs. Times are Unix seconds, durations seconds.

    `life` is alive, dead, or elsewhere; `status` is what the worker last said of itself.
    """
    row = seen.row
    return {
        "worker_id": row.worker_id, "experiment": row.experiment, "host": row.host or host_of(row),
        "pid": row.pid, "life": seen.life.value, "status": row.status,
        "paused_because": row.paused_because or None,
        "current_job_id": row.current_job_id, "started_at": row.started_at,
        "uptime": _since(row.started_at, now), "last_ping_at": row.last_ping_at,
        "last_ping_age": _since(row.last_ping_at, now), "log_path": row.log_path or None,
        "entry_script": row.entry_script, "machine_type": row.machine_type, "tags": list(row.tags),
        "process_id": row.process_id, "slot": row.slot, "server": server_of(row),
    }


def _since(moment: float | None, now: float) -> float | None:
    return None if moment is None else round(max(0.0, now - moment), 1)


def ago(moment: float | None, now: float) -> str:
    """How long ago something was, for people."""
    return "-" if moment is None else terminal.duration(now - moment) + " ago"


def server_of(row: Row) -> str | None:
    """The job server that a worker was started with, without credentials."""
    if not row.server:
        return None
    from jd.cli.target import shown_url  # with the ways to servers
    return shown_url(row.server)


def worker_lines(workers: Sequence[Seen], here: Here, now: float,
                 width: int | None = None) -> list[str]:
    """A table of workers in at most `width` columns, the header first.

    Machine types and tags are in it where somebody gave some. Where they do not fit, columns go from
    the right, until only id and status are left; then the ids are cut.
    """
    header = ["ID", "PID", _STATUS, "JOB", "UPTIME", "HEARTBEAT"]
    rows = [[plain(seen.row.worker_id), str(seen.row.pid), status_of(seen, here),
             "-" if seen.row.current_job_id is None else str(seen.row.current_job_id),
             terminal.duration(now - seen.row.started_at), ago(seen.row.last_ping_at, now)]
            for seen in workers]
    for name, cells in (("TYPE", [plain(seen.row.machine_type) for seen in workers]),
                        ("TAGS", [plain(", ".join(seen.row.tags)) or "-" for seen in workers])):
        if set(cells) - _USUAL:
            header.append(name)
            rows = [row + [cell] for row, cell in zip(rows, cells)]
    if elsewhere(workers):
        header.append("HOST")
        rows = [row + [host_of(seen.row) or "-"] for seen, row in zip(workers, rows)]
    header, rows = fitted(header, rows, width, ("TAGS", "TYPE", "HOST", "HEARTBEAT", "UPTIME", "PID", "JOB"))
    lines = terminal.table(header, rows, [header.index(name) for name in ("PID", "JOB")
                                          if name in header])
    return _coloured(lines, header, rows, [
        _STYLES.get(seen.row.status, "") if seen.life is Life.ALIVE else "dim" for seen in workers])


def fitted(header: list[str], rows: list[list[str]], width: int | None,
           droppable: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """A table without the columns that do not fit, dropped in the order given; then its first
    column is cut."""
    for name in droppable:
        if width is None or _width(header, rows) <= width:
            return header, rows
        if name in header:
            at = header.index(name)
            header = header[:at] + header[at + 1:]
            rows = [row[:at] + row[at + 1:] for row in rows]
    over = 0 if width is None else _width(header, rows) - width
    if over > 0:
        room = max(_SHORTEST_ID, max(len(row[0]) for row in rows + [header]) - over)
        rows = [[_shortened(row[0], room)] + row[1:] for row in rows]
    return header, rows


def _width(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    return (sum(max(map(len, column)) for column in zip(header, *rows))
            + _GAP * (len(header) - 1))


def _shortened(text: str, room: int) -> str:
    """`text` in `room` characters; its end, where the slot is, stays."""
    if len(text) <= room:
        return text
    kept = room - 2
    return text[:kept // 2] + ".." + text[len(text) - (kept - kept // 2):]


def _coloured(lines: Sequence[str], header: Sequence[str], rows: Sequence[Sequence[str]],
              styles: Sequence[str]) -> list[str]:
    """The lines of a table with a bold header and its status cells in colour."""
    at = header.index(_STATUS)
    start = sum(max(map(len, column)) + _GAP for column in list(zip(header, *rows))[:at])
    painted = [terminal.paint(lines[0], "bold")]
    for line, row, style in zip(lines[1:], rows, styles):
        end = start + len(row[at])
        cell = terminal.paint(line[start:end], style) if style else line[start:end]
        painted.append(line[:start] + cell + line[end:])
    return painted


# ---- output

def emit(context: Context, document: Any, lines: Sequence[str]) -> None:
    """Print the document where the command line has json=true, the lines where it has not."""
    say([json.dumps(document)] if context.values.get("json") else lines)


def say(lines: Sequence[str]) -> None:
    """Print lines; a character that the terminal's encoding does not have becomes `?`."""
    for line in lines:
        print(encodable(line))


def encodable(text: str) -> str:
    """`text` as stdout can take it."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def plain(text: object) -> str:
    """Somebody else's text on one line, without control characters."""
    return "".join(char if char.isprintable() else "?" for char in str(text))


def server(known: Known) -> list[tuple[str, str]]:
    """The server as far as files tell, and what is wrong with that, as `facts` takes them."""
    problem = [] if known.error is None else [("problem", terminal.paint(plain(known.error), "red"))]
    return [("server", plain(known.shown))] + problem


def facts(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Aligned lines of a name and a value."""
    room = max(len(name) for name, _ in pairs) + _GAP
    return [(terminal.paint(name, "bold") + " " * (room - len(name)) + value).rstrip()
            for name, value in pairs]


def width() -> int | None:
    """Columns of the terminal that stdout is; None where it is none: then nothing is cut."""
    if not terminal.is_terminal(sys.stdout):
        return None
    return terminal.columns()


def length(line: str) -> int:
    """Characters of a line that are shown: without its colours."""
    return len(_ESCAPE.sub("", line))


def beside(left: list[str], right: list[str], columns: int | None) -> list[str]:
    """Two blocks of lines side by side, where they fit into so many columns, else one below the other."""
    if not right:
        return left
    start = max(map(length, left)) + 2 * _GAP
    if columns is None or start + max(map(length, right)) > columns:
        return [*left, "", *right]
    rows = max(len(left), len(right))
    return [(one + " " * (start - length(one)) + other).rstrip() for one, other in zip(
        left + [""] * (rows - len(left)), right + [""] * (rows - len(right)))]


def wrapped(name: str, style: str, text: str, columns: int | None) -> list[str]:
    """A name in a style, and a text behind it in as many lines as it takes, those that follow indented."""
    start = len(name) + _GAP
    parts = [text]
    if columns is not None and start + len(text) > columns:
        import textwrap  # few texts are as long
        parts = textwrap.wrap(text, max(10, columns - start))
    return [terminal.paint(name, style) + " " * _GAP + parts[0], *(" " * start + part for part in parts[1:])]


def cut(line: str, columns: int) -> str:
    """A line in at most `columns` characters, its colours ended."""
    shown, room = [], columns
    for part in _ESCAPE.split(line):
        if part.startswith("\033"):
            shown.append(part)
        else:
            shown.append(part[:room])
            room -= len(shown[-1])
    return "".join(shown)


def status_words(counts: Mapping[str, int]) -> str:
    """3 busy, 1 idle, and whatever else there is."""
    return ", ".join("%d %s" % (number, plain(status)) for status, number in counts.items()
                     if number or status in (BUSY, IDLE))
