"""Jobs as people write them: JSON, an object of parameters in each line, or a table (see `tables`).

JSON: a grid object (name to list of values, or to one value), a list of objects, or either of them below
`jobs` or `parameters` with options beside it, or a `space` that is sampled. JSON lines are known by what they
say, whatever the file is called.

Everything is read piece by piece, and each job is checked when it is met: what is too much is refused
before it is in memory.
"""

import codecs
import re
import shlex
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence

from jd import protocol as p
from jd import space
from jd.net.jsonbody import parse_json
from jd.net.serving.jsonpieces import PIECE, Pieces, plain_objects
from jd.net.serving.jsontexts import Texts, as_written
from jd.protocol import ProtocolError, shown
from jd.server.creation import tables
from jd.server.creation.batch import (
    OPTIONS,
    Batch,
    Lines,
    from_grid,
    from_list,
    from_space,
    ordered,
    terms_of,
    too_many,
)
from jd.suggestion import closest

JSON = "json"
LINES = ("jsonl", "ndjson")
FORMATS = (JSON, *LINES, *tables.SEPARATORS)
_HEAD = 64 * 1024  # bytes by which a text is told to be JSON lines or YAML
RUN_BYTES = 64 * 1024  # of lines that are parsed together
_FIRST_LINE = re.compile(rb"\s*(\{[^\n]*\})[ \t\r]*\n\s*\{")
_YAML = re.compile(rb"(?:\s*(?:#[^\n]*)?\n)*(?:---|%YAML|-[ \t]|[A-Za-z0-9_.-]+[ \t]*:(?:[ \t\r\n]|$))")
# Options whose value could be that of a parameter as well; a seed beside a grid is one more parameter.
_UNCLEAR = tuple(name for name in OPTIONS if name != "seed")

_YAML_TO_JSON = ("python3 -c 'import sys, yaml, json; json.dump(yaml.safe_load(sys.stdin), sys.stdout)'"
                 " < %s > %s")


def parse(file: BinaryIO, form: str) -> Batch:
    """The jobs of a text in UTF-8, read from where `file` stands; `form` is one of FORMATS.

    Raises ProtocolError that names the line or key, and the fault.
    """
    start = file.tell()
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(start)
    if form in tables.SEPARATORS:
        return tables.parse(file, form)
    start = file.tell()
    head = file.read(_HEAD)
    file.seek(start)
    if _YAML.match(head):
        raise ProtocolError(yaml_to_json(Path("sweep.yaml")))
    if form in LINES or _is_lines(head):
        return _from_lines(file)
    pieces = Pieces(file, "the text")
    batch = _from_json(pieces)
    pieces.end()
    return batch


def yaml_to_json(path: Path) -> str:
    """What to say of YAML in a file of this name."""
    names = [shlex.quote(str(name)) for name in (path, path.with_suffix(".json"))]
    return "YAML is not read; where PyYAML is installed make JSON of it:\n  " + _YAML_TO_JSON % (*names,)


# ---- JSON

def jobs_of(pieces: Pieces) -> Iterator[Any]:
    """The values of the list that comes next, several of them as Texts where that can be."""
    return _rest_of(pieces, pieces.items())


def _rest_of(pieces: Pieces, items: Iterator[None]) -> Iterator[Any]:
    for _ in items:
        texts = pieces.texts()
        if texts is not None:
            yield texts
        else:
            yield from pieces.objects()
        yield pieces.value()


def _values_of(pieces: Pieces) -> Iterator[Any]:
    for _ in pieces.items():
        yield from pieces.objects()
        yield pieces.value()


def grid_of(pieces: Pieces) -> Batch:
    """The grid that the object that comes next describes."""
    return from_grid(
        (name, _values_of(pieces) if pieces.kind() == "[" else pieces.value()) for name in pieces.members())


def _from_json(pieces: Pieces) -> Batch:
    kind = pieces.kind()
    if kind == "[":
        return from_list(jobs_of(pieces))
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
    if isinstance(others.get("space"), dict):
        if jobs is not None or grid is not None or "jobs" in others or "parameters" in others:
            raise ProtocolError("give exactly one of parameters (a grid), jobs (a list) or space")
        _check_options([name for name in others if name != "space"], "space",
                       tuple(dict.fromkeys((*space.OPTIONS, *OPTIONS))))
        return ordered(from_space(others)._replace(terms=terms_of(others)), others)
    chosen = jobs if jobs is not None else grid
    if chosen is None:
        _check_grid(others)
        return from_grid(others)
    if (jobs is not None and grid is not None) or "jobs" in others or "parameters" in others:
        raise ProtocolError("give exactly one of parameters (a grid) or jobs (a list)")
    _check_options(others, "jobs" if jobs is not None else "parameters")
    return ordered(chosen._replace(terms=terms_of(others)), others)


def _check_options(options: Iterable[str], beside: str, known: Sequence[str] = OPTIONS) -> None:
    """Raises ProtocolError for a name that is none of an option."""
    for name in options:
        if name not in known:
            meant = closest(name, known)
            raise ProtocolError("%s beside %s is unknown: %s" % (
                shown(name), beside,
                "did you mean %s?" % meant if meant else "there can be %s" % ", ".join(known)))


def _check_grid(grid: Mapping[str, Any]) -> None:
    """Raises ProtocolError for what is probably no parameter: an option, or a grid that is misspelt."""
    for name, values in grid.items():
        if isinstance(values, dict):
            meant = closest(name, ("parameters", "jobs", "space"))
            if meant is not None:
                raise ProtocolError("%s is an object: did you mean %s?" % (shown(name), meant))
        if name in _UNCLEAR and not isinstance(values, (list, dict)):
            raise ProtocolError("%s beside a grid can be an option or a parameter: put the grid below "
                                "\"parameters\" for an option, or the value into a list for a parameter"
                                % shown(name))


def _with(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


# ---- JSON lines

def _is_lines(head: bytes) -> bool:
    """Whether a text that begins so has a whole object in its first line and another in the next."""
    found = _FIRST_LINE.match(head)
    if found is None:
        return False
    try:
        parse_json(found.group(1))
    except ProtocolError:
        return False
    return True


def _from_lines(file: BinaryIO) -> Batch:
    lines = Lines()

    def objects() -> Iterator[Any]:
        number = 0
        as_ours = True  # all lines were written as we write them
        for block in iter(lambda: file.read(RUN_BYTES) + file.readline(PIECE + 1), b""):
            several = block.split(b"\n")
            if not several[-1]:
                several.pop()
            texts = _texts_in(several) if as_ours else None
            as_ours = texts is not None
            if texts is not None:
                lines.passed_together(number + 1, len(several))
                number += len(several)
                yield texts
                continue
            for line, value in zip(several, _objects_in(several) or several):
                number += 1
                if len(line) > PIECE:
                    raise ProtocolError("line %d has more than %d bytes" % (number, PIECE))
                if line.strip():
                    lines.passed(number)
                    yield _object_in(line, number) if value is line else value

    return from_list(objects(), lines.where)


def _texts_in(lines: List[bytes]) -> Optional[Texts]:
    """What stands in several lines, if that is written as we would write it."""
    text = _together(lines, b", " if b" " in lines[0] else b",")
    found = as_written(text, 0) if text and len(lines[-1]) <= PIECE else None
    return found if found is not None and len(found.texts) == len(lines) else None


def _objects_in(lines: List[bytes]) -> List[Dict[str, Any]]:
    """What stands in several lines, if it can be parsed together: else nothing."""
    found = plain_objects(_together(lines, b","), 0)
    return found if len(found) == len(lines) else []


def _together(lines: List[bytes], separator: bytes) -> str:
    """Lines of which each begins an object, as one text; "" where one does not, or is not UTF-8."""
    # As many as lines, of which none has another inside: then none goes on in the next line either.
    if not all(line.lstrip().startswith(b"{") for line in lines):
        return ""
    try:
        return separator.join(lines).decode("utf-8")
    except UnicodeDecodeError:
        return ""


def _object_in(line: bytes, number: int) -> Any:
    try:
        return parse_json(line, "it")
    except ProtocolError as error:
        # It knows one line only: of its place the column counts.
        raise ProtocolError("line %d: %s" % (number, str(error).replace("at line 1 column", "at column"))
                            ) from None
