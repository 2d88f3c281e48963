"""Tables as spreadsheets write them: a header line of names, then a line for each job.

What separates the cells is seen in the header line. A cell is read as JSON where it is a number, true, false,
null, a list or an object, else it is text; where semicolons separate, `0,1` is a number as well, since
spreadsheets write them in countries with a decimal comma. A column whose name ends in `?` can be empty: such
a job has no such parameter.
"""

import codecs
import csv
import io
import json
import re
from typing import Any, BinaryIO, Dict, Iterator, List, NamedTuple, TextIO, Union

from jd import protocol as p
from jd.net.jsonbody import parse_json
from jd.net.serving.jsontexts import Texts
from jd.protocol import ProtocolError, shown
from jd.server.creation.batch import RUN, Batch, Lines, from_list

SEPARATORS = {"csv": ",", "tsv": "\t"}
MAX_LINE = 1024 * 1024  # characters of a table's line: 64 KiB of parameters, with room for quotes
_READ = 1024 * 1024
MAX_CELLS = 10_000  # different ones that are remembered
_JSON_BEGINS = '-0123456789[{tfn" \t\r\n'
_SHORT = 15  # digits
_OTHERS = (";", "\t", ",")
_OPTIONAL = "?"
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+(?:[eE][+-]?[0-9]+)?")


class _Column(NamedTuple):
    name: str
    optional: bool


def parse(file: BinaryIO, form: str) -> Batch:
    """The jobs of a table in UTF-8, read from where `file` stands; `form` is one of SEPARATORS.

    Raises ProtocolError that names the line, of the header also the column.
    """
    start = file.tell()
    text = io.TextIOWrapper(file, "utf-8", newline="")
    lines = _lines(text)
    try:
        first = next(lines, "")
        separator = _separator(first, SEPARATORS[form])
        reader = csv.reader(_with(first, lines), delimiter=separator, strict=True)
        try:
            numbers = Lines()
            return from_list(_rows(reader, separator, numbers), numbers.where)
        except csv.Error as error:
            raise ProtocolError("line %d: %s" % (reader.line_num, error)) from None
    except UnicodeDecodeError:
        pass  # of a part of the file: which line that is, is found out below
    finally:
        text.detach()  # it would close the file
    file.seek(start)
    raise ProtocolError("line %d is not UTF-8" % _line_that_is_none(file))


def _separator(header: str, usual: str) -> str:
    """What separates the cells of a table with this first line: the usual, if it is there."""
    return next((one for one in (usual, *_OTHERS) if one in header), usual)


def _rows(reader: Any, separator: str, lines: Lines) -> Iterator[Union[Dict[str, Any], Texts]]:
    """The jobs; where each has all parameters, several together."""
    columns = _header(next(reader, []))
    names = tuple(column.name for column in columns)
    optional = any(column.optional for column in columns)
    known = _Cells(separator == ";", as_json=not optional)
    if optional:
        for cells in _filled(reader, len(columns), lines):
            yield {column.name: known[cell] for column, cell in zip(columns, cells)
                   if cell.strip() or not column.optional}
        return
    job = "{%s}" % ", ".join(json.dumps(name, ensure_ascii=False).replace("%", "%%") + ": %s"
                             for name in names)
    texts: List[str] = []
    try:
        for cells in _filled(reader, len(columns), lines):
            if "\0" in "".join(cells):  # it is refused, with its place
                if texts:
                    yield Texts(texts, names)
                    texts = []
                yield dict(zip(names, cells))
            texts.append(job % tuple(map(known.__getitem__, cells)))
            if len(texts) == RUN:
                yield Texts(texts, names)
                texts = []
    except Exception:
        if texts:
            yield Texts(texts, names)  # what came before an error comes before it
        raise
    if texts:
        yield Texts(texts, names)


def _filled(reader: Any, width: int, lines: Lines) -> Iterator[List[str]]:
    """The cells of each line that has any."""
    empty = True
    for cells in reader:
        if not "".join(cells).strip():
            continue
        if len(cells) != width:
            raise ProtocolError("line %d has %d cells, the header has %d" % (
                reader.line_num, len(cells), width))
        empty = False
        lines.passed(reader.line_num)
        yield cells
    if empty:
        raise ProtocolError("there is no job: there is a header line only")


def _header(cells: List[str]) -> List[_Column]:
    names = [cell.strip() for cell in cells]
    if not any(names):
        raise ProtocolError("line 1: a header line with parameter names is needed")
    columns: List[_Column] = []
    for number, given in enumerate(names, 1):
        optional = given.endswith(_OPTIONAL)
        name = given[:-1].rstrip() if optional else given
        if not name:
            raise ProtocolError("line 1, column %d has no name: %s" % (
                number, _why_unnamed(number, len(names))))
        try:
            p.check_parameter_name(name)
        except ProtocolError as error:
            raise ProtocolError("line 1, column %d: %s" % (number, error)) from None
        if any(name == column.name for column in columns):
            raise ProtocolError("line 1: the column %s is there twice" % shown(name))
        columns.append(_Column(name, optional))
    return columns


def _why_unnamed(number: int, last: int) -> str:
    if number == last:
        return "a separator too many at the end of the line?"
    if number == 1:
        return "the index of a data frame? pandas leaves it out with to_csv(..., index=False)"
    return "give it one, or remove the column"


def _with(first: str, rest: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from rest


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


class _Cells(Dict[str, Any]):
    """What cells mean, by their text, if so as JSON; the columns of a sweep have few different ones."""

    def __init__(self, decimal_comma: bool, as_json: bool) -> None:
        super().__init__()
        self._decimal_comma = decimal_comma
        self._as_json = as_json

    def __missing__(self, text: str) -> Any:
        if len(self) >= MAX_CELLS:
            self.clear()
        value = _cell(text, self._decimal_comma)
        found = self[text] = json.dumps(value, ensure_ascii=False) if self._as_json else value
        return found


def _cell(text: str, decimal_comma: bool) -> Any:
    if text[:1] not in _JSON_BEGINS:
        return text  # most are numbers or words
    if text.isdecimal() and text.isascii() and text[0] != "0" and len(text) <= _SHORT:
        return int(text)
    plain = text.replace(",", ".") if decimal_comma and _DECIMAL_COMMA.fullmatch(text.strip()) else text
    try:
        value = parse_json(plain.encode("utf-8"))
    except ProtocolError:
        return text
    # "quoted" text in a cell stays as it stands
    return text if isinstance(value, str) else value
