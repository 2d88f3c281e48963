"""Jobs as people write them: JSON, or a table of comma or tab separated values.

JSON: a grid object (name to list of values), a list of objects, or either of them below `jobs` or
`parameters`. A table has a header line of names and a line for each job; a cell is read as JSON
where it is a number, true, false, null, a list or an object, else it is text.

Everything is read piece by piece, and each job is checked when it is met: what is too much is refused
before it is in memory.
"""

import codecs
import csv
import io
from typing import Any, BinaryIO, Dict, Iterator, List, Optional, TextIO

from jd import protocol as p
from jd.net.jsonbody import parse_json
from jd.net.serving.jsonpieces import Pieces
from jd.protocol import ProtocolError, shown
from jd.server.creation.batch import Batch, from_grid, from_list, terms_of, too_many

JSON = "json"
SEPARATORS = {"csv": ",", "tsv": "\t"}
FORMATS = (JSON, *SEPARATORS)
MAX_LINE = 1024 * 1024  # characters of a table's line: 64 KiB of parameters, with room for quotes
_READ = 1024 * 1024


def parse(file: BinaryIO, form: str) -> Batch:
    """The jobs of a text in UTF-8, read from where `file` stands; `form` is one of FORMATS.

    Raises ProtocolError that names the line or key, and the fault.
    """
    start = file.tell()
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(start)
    if form != JSON:
        return _from_table(file, SEPARATORS[form])
    pieces = Pieces(file, "the text")
    batch = _from_json(pieces)
    pieces.end()
    return batch


# ---- JSON

def values_of(pieces: Pieces) -> Iterator[Any]:
    """The values of the list that comes next."""
    return _rest_of(pieces, pieces.items())


def _rest_of(pieces: Pieces, items: Iterator[None]) -> Iterator[Any]:
    for _ in items:
        yield pieces.value()


def grid_of(pieces: Pieces) -> Batch:
    """The grid that the object that comes next describes."""
    return from_grid(
        (name, values_of(pieces) if pieces.kind() == "[" else pieces.value()) for name in pieces.members())


def _from_json(pieces: Pieces) -> Batch:
    kind = pieces.kind()
    if kind == "[":
        return from_list(values_of(pieces))
    if kind == "{":
        return _from_object(pieces)
    raise ProtocolError("an object or a list is needed, not %s" % shown(pieces.value()))


def _from_object(pieces: Pieces) -> Batch:
    """A grid, or what a request is; of names that a grid may have, which it is shows their values."""
    jobs: Optional[Batch] = None
    grid: Optional[Batch] = None
    others: Dict[str, Any] = {}
    left = p.MAX_JOBS_PER_BATCH
    for name in pieces.members():
        kind = pieces.kind()
        if name == "parameters" and kind == "{":
            grid = grid_of(pieces)
        elif kind != "[":
            others[name] = pieces.value()
        else:
            items = pieces.items()
            found: List[Any] = []
            for _ in items:
                if name == "jobs" and not found and pieces.kind() == "{":
                    jobs = from_list(_with(pieces.value(), _rest_of(pieces, items)))
                    break
                found.append(pieces.value())
                if len(found) > left:
                    raise too_many()
            if jobs is None or name != "jobs":
                left -= max(0, len(found) - 1)
                others[name] = found
    chosen = jobs if jobs is not None else grid
    if chosen is None:
        return from_grid(others)
    if (jobs is not None and grid is not None) or "jobs" in others or "parameters" in others:
        raise ProtocolError("give exactly one of parameters (a grid) or jobs (a list)")
    return chosen._replace(terms=terms_of(others))


def _with(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


# ---- tables

def _from_table(file: BinaryIO, separator: str) -> Batch:
    start = file.tell()
    text = io.TextIOWrapper(file, "utf-8", newline="")
    reader = csv.reader(_lines(text), delimiter=separator, strict=True)
    try:
        return from_list(_rows(reader), where=lambda _: "line %d" % reader.line_num)
    except csv.Error as error:
        raise ProtocolError("line %d: %s" % (reader.line_num, error)) from None
    except UnicodeDecodeError:
        pass  # of a part of the file: which line that is, is found out below
    finally:
        text.detach()  # it would close the file
    file.seek(start)
    raise ProtocolError("line %d is not UTF-8" % _line_that_is_none(file))


def _rows(reader: Any) -> Iterator[Dict[str, Any]]:
    header = [name.strip() for name in next(reader, [])]
    if not any(header):
        raise ProtocolError("line 1: a header line with parameter names is needed")
    seen = set()
    for name in header:
        if name in seen:
            raise ProtocolError("line 1: the column %s is there twice" % shown(name))
        seen.add(name)
    empty = True
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise ProtocolError("line %d has %d cells, the header has %d" % (
                reader.line_num, len(cells), len(header)))
        empty = False
        yield {name: _cell(cell) for name, cell in zip(header, cells)}
    if empty:
        raise ProtocolError("there is no job: there is a header line only")


def _lines(text: TextIO) -> Iterator[str]:
    number = 0
    while True:
        line = text.readline(MAX_LINE + 1)
        if not line:
            return
        number += 1
        if len(line) > MAX_LINE:
            raise ProtocolError("line %d has more than %d characters" % (number, MAX_LINE))
        yield line


def _line_that_is_none(file: BinaryIO) -> int:
    """The number of the first line that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    number = 1
    while True:
        data = file.read(_READ)
        try:
            decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            return number + error.object.count(b"\n", 0, error.start)
        if not data:
            return number
        number += data.count(b"\n")


def _cell(text: str) -> Any:
    if not text:
        return text
    try:
        value = parse_json(text.encode("utf-8"))
    except ProtocolError:
        return text
    # "quoted" text in a cell stays as it stands
    return text if isinstance(value, str) else value
