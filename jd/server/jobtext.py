"""Jobs as people write them: JSON, or a table of comma or tab separated values.

JSON: a grid object (name to list of values), a list of objects, or either of them below `jobs` or
`parameters`. A table has a header line of names and a line for each job; a cell is read as JSON
where it is a number, true, false, null, a list or an object, else it is text.
"""

import codecs
import csv
import io
from typing import Any, Dict, List

from jd.net.jsonbody import parse_json
from jd.protocol import ProtocolError, shown
from jd.server.store import batches
from jd.server.store.batches import Batch

JSON = "json"
SEPARATORS = {"csv": ",", "tsv": "\t"}
FORMATS = (JSON, *SEPARATORS)


def parse(content: bytes, form: str) -> Batch:
    """The jobs of a text in UTF-8; `form` is one of FORMATS.

    Raises ProtocolError that names the line or key, and the fault.
    """
    if content.startswith(codecs.BOM_UTF8):
        content = content[len(codecs.BOM_UTF8):]
    return _from_json(content) if form == JSON else _from_table(content, SEPARATORS[form])


def _from_json(content: bytes) -> Batch:
    value = parse_json(content, "the text")
    if isinstance(value, list):
        return batches.from_list(value)
    if not isinstance(value, dict):
        raise ProtocolError("an object or a list is needed, not %s" % shown(value))
    # A grid may have a parameter that is called jobs: then its values are no objects.
    listed = value.get("jobs")
    if isinstance(listed, list) and listed and isinstance(listed[0], dict):
        return batches.from_request(value)
    if isinstance(value.get("parameters"), dict):
        return batches.from_request(value)
    return batches.from_grid(value)


def _from_table(content: bytes, separator: str) -> Batch:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolError("line %d is not UTF-8" % (
            content.count(b"\n", 0, error.start) + 1)) from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: List[Dict[str, Any]] = []
    lines: List[int] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        if not any(header):
            raise ProtocolError("line 1: a header line with parameter names is needed")
        twice = [name for name in header if header.count(name) > 1]
        if twice:
            raise ProtocolError("line 1: the column %s is there twice" % shown(twice[0]))
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise ProtocolError("line %d has %d cells, the header has %d" % (
                    reader.line_num, len(cells), len(header)))
            rows.append({name: _cell(cell) for name, cell in zip(header, cells)})
            lines.append(reader.line_num)
    except csv.Error as error:
        raise ProtocolError("line %d: %s" % (reader.line_num, error)) from None
    if not rows:
        raise ProtocolError("there is no job: there is a header line only")
    return batches.from_list(rows, where=lambda index: "line %d" % lines[index])


def _cell(text: str) -> Any:
    if not text:
        return text
    try:
        value = parse_json(text.encode("utf-8"))
    except ProtocolError:
        return text
    # "quoted" text in a cell stays as it stands
    return text if isinstance(value, str) else value
