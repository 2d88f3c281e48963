"""What asks for jobs: the body of `POST /api/jobs/create`, and what the dashboard's form sends.

Both are read piece by piece from a file, beside the loop (see `Creation.read`).
"""

import json
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, Dict, NamedTuple, Optional, Sequence

from jd import fields, space
from jd import protocol as p
from jd.net.serving.jsonpieces import Pieces
from jd.server.creation import jobtext
from jd.server.creation.batch import (
    OPTIONS,
    TERM_NAMES,
    Batch,
    first_of_space,
    from_list,
    from_space,
    ordered,
    terms_of,
)
from jd.server.store.operators.batches import REPLACE_ALL, REPLACE_PENDING

# A million jobs of a few dozen bytes each.
MAX_BODY = 128 * 1024 * 1024

_BESIDE = ("replace", "unique", "file", "format", "space", *OPTIONS, *space.OPTIONS)
_PENDING = "pending"  # of `replace`
_ONE = "give exactly one of parameters (a grid), jobs (a list) or space"
_ONE_OF_FOUR = "give exactly one of parameters (a grid), jobs (a list), space or text"


class Order(NamedTuple):
    """Jobs to be made; they take the place of jobs in the statuses of `replace`, and with `unique` only those
    are made that do not exist yet. `file` is the name of the jobs file that these are, if they are one."""

    batch: Batch
    replace: Sequence[str]
    unique: bool
    file: Optional[str] = None


def read(file: BinaryIO) -> Order:
    """The body of `POST /api/jobs/create`. Raises ProtocolError that names the place."""
    pieces = _object(file)
    batch: Optional[Batch] = None
    beside: Dict[str, Any] = {}
    for name in pieces.members():
        if name in ("parameters", "jobs"):
            if batch is not None:
                raise p.ProtocolError(_ONE)
            batch = _batch(pieces, name)
        else:
            _take_beside(pieces, name, beside)
    pieces.end()
    if (batch is None) == (beside.get("space") is None):
        raise p.ProtocolError(_ONE)
    if batch is None:
        batch = from_space(beside)
    return _order(batch._replace(terms=terms_of(beside)), beside)


def body_of(batch: Batch, file: str) -> bytes:
    """A request that has another server make what is new of a jobs file of this name: what `read` reads."""
    if batch.grid is None:
        what = '"jobs": [%s]' % ", ".join(batch.rows)
    else:
        # Of each parameter the texts are `"name": value`, and a name has no colon.
        what = '"parameters": {%s}' % ", ".join(
            "%s: [%s]" % (texts[0].partition(": ")[0], ", ".join(text.partition(": ")[2] for text in texts))
            for texts in batch.grid)
    beside: Dict[str, Any] = dict(zip(TERM_NAMES, batch.terms))
    if batch.shuffled is not None:
        beside.update(order="random", seed=batch.shuffled.seed)
    said = {name: value for name, value in beside.items() if value is not None}
    return ("{%s, %s" % (what, json.dumps(dict(said, unique=True, file=file))[1:])).encode("utf-8")


def read_form(file: BinaryIO, directory: Path, most: Optional[int] = None) -> Order:
    """What the dashboard sends: that, or `text` in a `format`, which is kept in a file in `directory`
    meanwhile. With `most` it is only to be looked at: so many jobs of a space are made (`first_of_space`).
    Raises ProtocolError that names the place, and OSError.
    """
    pieces = _object(file)
    batch: Optional[Batch] = None
    beside: Dict[str, Any] = {}
    text: Optional[BinaryIO] = None
    try:
        for name in pieces.members():
            if name not in ("parameters", "jobs", "text"):
                _take_beside(pieces, name, beside)
                continue
            if batch is not None or text is not None:
                raise p.ProtocolError(_ONE_OF_FOUR)
            if name != "text":
                batch = _batch(pieces, name)
                continue
            if pieces.kind() != '"':
                fields.check(pieces.value(), name, str)
            text = tempfile.TemporaryFile(dir=str(directory))
            pieces.copy_text(text)
        pieces.end()
        if (batch is None and text is None) == (beside.get("space") is None):
            raise p.ProtocolError(_ONE_OF_FOUR)
        if text is not None:
            text.seek(0)
            batch = jobtext.parse(text, _format(beside))
            # What the form says beside the text wins over what the text says.
            batch = batch._replace(terms=terms_of(beside).over(batch.terms))
        else:
            if batch is None:
                batch = from_space(beside) if most is None else first_of_space(beside, most)
            batch = batch._replace(terms=terms_of(beside))
    finally:
        if text is not None:
            text.close()
    return _order(batch, beside)


def _order(batch: Batch, beside: Dict[str, Any]) -> Order:
    replace = _replaced(beside.get("replace"))
    unique = fields.take(beside, "unique", bool, False)
    if replace and unique:
        raise p.ProtocolError("replace and unique exclude each other: the first makes all jobs, the second "
                              "those that do not exist yet")
    if replace and batch.terms.after:
        raise p.ProtocolError("replace and after exclude each other: jobs that are replaced come to nothing")
    file = fields.take(beside, "file", str, None)
    if file is not None:
        fields.check_length(file, "file", p.MAX_NAME_CHARS)
    return Order(ordered(batch, beside), replace, unique, file if unique else None)


def _replaced(value: Any) -> Sequence[str]:
    """The statuses of jobs whose place is taken. What published clients document of `true` is that all
    existing jobs are deleted."""
    if value is None or value is False:
        return ()
    if value is True:
        return REPLACE_ALL
    if value == _PENDING:
        return REPLACE_PENDING
    raise p.ProtocolError('replace must be true, false or "%s", not %s' % (_PENDING, p.shown(value)))


def _object(file: BinaryIO) -> Pieces:
    pieces = Pieces(file)
    if pieces.kind() != "{":
        raise p.ProtocolError("an object with parameters or jobs is needed, not %s" % (
            "a list" if pieces.kind() == "[" else p.shown(pieces.value())))
    return pieces


def _batch(pieces: Pieces, name: str) -> Batch:
    wanted, kind = ("[", list) if name == "jobs" else ("{", dict)
    if pieces.kind() != wanted:
        fields.check(pieces.value(), name, kind)  # it is of another kind, and this says so
    return from_list(jobtext.jobs_of(pieces)) if name == "jobs" else jobtext.grid_of(pieces)


def _take_beside(pieces: Pieces, name: str, beside: Dict[str, Any]) -> None:
    value = pieces.value()
    if name in _BESIDE:  # a name that nobody knows is no error, but need not be kept either
        beside[name] = value


def _format(beside: Dict[str, Any]) -> str:
    return fields.take_word(beside, "format", jobtext.FORMATS)
