"""What `create_jobs` is given becomes the body of `POST /api/jobs/create`, as published clients make it.

A dict of non-empty lists is a grid, another dict one job, a list is jobs; a dict with `jobs` or `parameters`
is sent as it is. A space is sampled here, so that every server will do. Files are .json, with one of these,
.jsonl, with an object in each line, or tables (.csv, .tsv, .tab) whose cells stay text.
"""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping

from jd import protocol
from jd.errors import NoFileError
from jd.sweep import spaces
from jd.sweep.errors import BadType, BadValue, FileTrouble

LINES = (".jsonl", ".ndjson")
SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_ONE = "give exactly one of parameters (a grid) and jobs (a list)"


def read(source: Any) -> Dict[str, Any]:
    """The body. Raises BadType, BadValue, NoFileError, FileTrouble."""
    if isinstance(source, (str, os.PathLike)):
        return _of_file(Path(os.path.expanduser(os.fspath(source))))
    if isinstance(source, Mapping):
        return _of_mapping(spaces.jobs_of(source))
    if isinstance(source, list):
        if not source:
            raise BadValue("the list of jobs is empty", "give at least one dict of parameters")
        return {"jobs": source}
    raise BadType("create_jobs takes a dict, a list of dicts or the path of a file, not %s"
                  % type(source).__name__)


def encoded(body: Mapping[str, Any]) -> bytes:
    """A body as JSON. Numbers and arrays of NumPy and the like become those of Python, paths text.

    Raises BadValue that names the job or parameter which cannot be written.
    """
    try:
        return _json(body)
    except (TypeError, ValueError, RecursionError):
        raise BadValue(_culprit(body)) from None


# ---- how

def _of_mapping(source: Mapping[str, Any]) -> Dict[str, Any]:
    if "jobs" in source or "parameters" in source:
        if "jobs" in source and "parameters" in source:
            raise BadValue("parameters and jobs are both there", _ONE)
        return dict(source)
    values = {name: _listed(value) for name, value in source.items()}
    if values and all(isinstance(value, list) and value for value in values.values()):
        return {"parameters": values}
    return {"jobs": [values]}


def _listed(value: Any) -> Any:
    """A range or an array is the list that it stands for."""
    if isinstance(value, range):
        return list(value)
    return value.tolist() if callable(getattr(value, "tolist", None)) else value


def _of_file(path: Path) -> Dict[str, Any]:
    suffix = path.suffix.lower()
    try:
        path.stat()  # of a file that is not there the suffix does not matter
        if suffix != ".json" and suffix not in (*LINES, *SEPARATORS):
            raise BadValue("jobs file %s: its name must end in .json, .jsonl, .csv, .tsv or .tab" % path)
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise NoFileError("there is no jobs file %s" % path) from None
    except OSError as error:
        raise FileTrouble("jobs file %s cannot be read: %s" % (path, error.strerror or error)) from None
    except UnicodeDecodeError:
        raise BadValue("jobs file %s is not UTF-8" % path) from None
    if suffix in LINES:
        return {"jobs": _objects(path, text)}
    if suffix != ".json":
        return {"jobs": _rows(path, text, SEPARATORS[suffix])}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadValue("jobs file %s is no JSON: %s" % (path, error)) from None
    if not isinstance(value, (dict, list)) or value == []:
        raise BadValue("jobs file %s: a non-empty list or an object is needed, not %s" % (
            path, protocol.shown(value)))
    try:
        return read(value)
    except BadValue as error:
        raise BadValue("jobs file %s: %s" % (path, error.what), error.advice) from None


def _objects(path: Path, text: str) -> List[Dict[str, Any]]:
    jobs = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            job = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadValue("jobs file %s, line %d is no JSON: %s" % (path, number, error)) from None
        if not isinstance(job, dict) or not job:
            raise BadValue("jobs file %s, line %d: a non-empty object of parameters is needed, not %s" % (
                path, number, protocol.shown(job)))
        jobs.append(job)
    if not jobs:
        raise BadValue("jobs file %s has no job: each line is an object of parameters" % path)
    return jobs


def _rows(path: Path, text: str, separator: str) -> List[Dict[str, str]]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        header = [name.strip() for name in next(lines, [])]
        if not any(header):
            raise BadValue("jobs file %s: its first line must have the names of the parameters" % path)
        jobs = []
        for cells in lines:
            if any(cell.strip() for cell in cells):
                cells += [""] * (len(header) - len(cells))
                jobs.append({name: cell.strip() for name, cell in zip(header, cells) if name})
    except csv.Error as error:
        raise BadValue("jobs file %s, line %d: %s" % (path, lines.line_num, error)) from None
    if not jobs:
        raise BadValue("jobs file %s has no job: there is only a header line" % path)
    return jobs


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, default=_plain).encode("ascii")


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    listed = _listed(value)
    if listed is value:
        raise TypeError(type(value).__name__)
    return listed


def _culprit(body: Mapping[str, Any]) -> str:
    """What cannot be written as JSON, and where."""
    listed = body.get("jobs")
    for index, job in enumerate(listed if isinstance(listed, list) else [body.get("parameters", body)]):
        for name, value in job.items() if isinstance(job, Mapping) else [("", job)]:
            try:
                _json({name: value})
            except (TypeError, ValueError, RecursionError):
                return "%sparameter %s: %s cannot be written as JSON%s" % (
                    "jobs[%d]: " % index if listed else "", protocol.shown(name), protocol.shown(value),
                    "; NaN and infinity have no place in it" if isinstance(value, float) else "")
    return "this cannot be written as JSON"
