"""JSON of other programs: bodies, result files, what scripts print. `jd/net/jsonbody.py`, `jsonpieces.py`."""

import io
import json
import math
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, Dict, List, Tuple, cast

from jd.messages import Reports
from jd.net import jsonbody
from jd.net.serving import jsonpieces
from jd.net.serving.jsonpieces import Pieces
from jd.protocol import MAX_REPORT_BYTES, ProtocolError
from jd.server.store.files import resultfile
from jd.server.store.reports import interpreting
from jd.server.store.search import values
from jd.sweep import values as typed_values
from jd.sweep.errors import BadValue
from jd.worker.attempt.output.printed import Printed
from jd.worker.attempt.reports import reportline
from jd.worker.attempt.reports.reportfile import ReportFile
from tests.fuzz.material import Source, utf8
from tests.fuzz.properties import Property, outcome, refused

SMALL_PIECE = 600  # characters; more than the longest number


class Drops:
    """A file that gives a few bytes at a time, as a slow one may."""

    def __init__(self, data: bytes, size: int) -> None:
        self._file = io.BytesIO(data)
        self._size = size

    def read(self, _: int = -1) -> bytes:
        """The next bytes."""
        return self._file.read(self._size)


def make_json(source: Source) -> bytes:
    """A JSON text, or nearly one."""
    if source.chance(0.02):
        return source.nested().encode()
    if source.chance(0.02):
        text = json.dumps(source.one([source.long(SMALL_PIECE)], {"a": [source.long(700)]}, list(range(300))))
    elif source.chance(0.15):
        text = source.json([{source.key(): source.value(2) for _ in range(source.few(4))} for _ in range(5)])
    elif source.chance(0.15):
        text = '{"a": %s, "b": [%s]}' % (source.number(), ", ".join(source.several(source.number, 5)))
    else:
        text = source.json(source.value(4, surrogates=True))
    if source.chance(0.1):
        text = text.replace('"', '"\\ud83d\\ude00' if source.chance(0.5) else '"\\ud800', 1)
    return source.maybe_bytes(utf8(source.maybe(text, 0.3)), 0.2)


def check_json(data: bytes) -> None:
    """A value that can be written and read again, or ProtocolError; piece by piece it is the same."""
    whole = outcome(lambda: jsonbody.parse_json(data), ProtocolError)
    if not refused(whole):
        written = json.dumps(whole, ensure_ascii=False, allow_nan=False).encode("utf-8")
        assert same(jsonbody.parse_json(written), whole)
    piece, reading = jsonpieces.PIECE, jsonpieces.READ
    try:
        jsonpieces.PIECE = SMALL_PIECE
        found = [
            outcome(lambda: _in_pieces(cast(BinaryIO, Drops(data, size))), ProtocolError)
            for size in (1, 7, 100_000)
        ]
    finally:
        jsonpieces.PIECE, jsonpieces.READ = piece, reading
    assert (
        all(same(one, found[0]) for one in found)
        or all(map(refused, found))
        and any(_is_limit(one) for one in found)
    ), "reading in other pieces gives %r" % (found,)
    assert refused(found[0]) >= refused(whole), "in pieces: %r, whole: %r" % (found[0], whole)
    assert same(found[0], whole) or refused(found[0]), "in pieces: %r, whole: %r" % (found[0], whole)
    if refused(found[0]) and not refused(whole):
        assert "more than" in found[0][2] or "deeper" in found[0][2], found[0]


def _is_limit(found: Any) -> bool:
    """Whether an outcome is a limit: it may be met before a fault or behind it."""
    return any(word in found[2] for word in ("a number", "more than", "deeper"))


def _in_pieces(file: BinaryIO) -> Any:
    pieces = Pieces(file)
    value = _listed(pieces) if pieces.kind() == "[" else pieces.whole(10_000)
    pieces.end()
    return value


def _listed(pieces: Pieces) -> List[Any]:
    """The items of a list, with objects together where that can be."""
    found: List[Any] = []
    for _ in pieces.items():
        texts = pieces.texts()
        found += pieces.objects() if texts is None else map(json.loads, texts.texts)
        found.append(pieces.value())
    return found


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same in type, order and sign of zero as well."""
    return repr(one) == repr(other)


def make_string(source: Source) -> bytes:
    """A JSON string, and something behind it."""
    text = json.dumps(source.text(30, surrogates=source.chance(0.2)), ensure_ascii=source.chance(0.5))
    if source.chance(0.05):
        text = '"%s"' % source.long(source.one(650, 33_000))
    return source.maybe_bytes(utf8(text), 0.4) + source.one(b"", b" ", b"x")


def check_string(data: bytes) -> None:
    """A string that is copied to a file is the one that is parsed."""
    whole = outcome(lambda: jsonbody.parse_json(data), ProtocolError)
    found = [
        outcome(lambda: _copied(cast(BinaryIO, Drops(data, size))), ProtocolError) for size in (3, 100_000)
    ]
    assert found[0] == found[1], found
    if isinstance(whole, str):
        assert found[0] == whole.encode("utf-8"), (found[0], whole)
    elif refused(whole):
        assert refused(found[0]), (found[0], whole)


def _copied(file: BinaryIO) -> bytes:
    pieces = Pieces(file)
    if pieces.kind() != '"':
        raise ProtocolError("no string")
    to = io.BytesIO()
    pieces.copy_text(to)
    pieces.end()
    return to.getvalue()


# ---- results


def make_results(source: Source) -> bytes:
    """A result file as a script may write it."""
    value = {
        source.key(True): source.one(source.value(2, True), 0.5, source.number(), float("nan"), -math.inf)
        for _ in range(source.few(8))
    }
    if source.chance(0.01):
        value = {"v": list(range(300))}
    text = (
        json.dumps(value, ensure_ascii=source.chance(0.5))
        if source.chance(0.8)
        else "{%s}" % ", ".join(source.several(lambda: '"%s": %s' % (source.word(2), source.number()), 6))
    )
    if source.chance(0.02):
        text = '{"a": %s}' % source.nested()
    return source.maybe_bytes(utf8(text), 0.3)


def check_results(content: bytes) -> None:
    """Nothing is raised; what is kept, a database and a filter can hold; so it is with the remark."""
    found = resultfile.parse(content)
    found.remark.encode("utf-8")
    for name, number in (found.numbers or {}).items():
        assert 0 < len(name) <= resultfile.MAX_NAME_CHARS + 1
        name.encode("utf-8")
        if isinstance(number, str):
            assert number in (resultfile.NAN, *resultfile.INFINITE), number
        else:
            assert math.isfinite(number)
            json.dumps({name: number}, allow_nan=False)
            _bindable(values.key(number))


def _bindable(key: Any) -> None:
    """SQLite takes it."""
    assert key is None or isinstance(key, (float, str)) or -(2**63) <= key < 2**63
    if isinstance(key, str):
        key.encode("utf-8")


def make_value(source: Source) -> str:
    """A text that may be a number."""
    return source.maybe(source.number() if source.chance(0.7) else source.text(3), 0.3)


def check_value(text: str) -> None:
    """Its key can be bound, and a value that somebody types is one that JSON can have."""
    key = values.key(text)
    _bindable(key)
    value = typed_values.typed(text)
    json.dumps(value, allow_nan=False)
    outcome(lambda: typed_values.listed(text), BadValue)


def make_printed(source: Source) -> Tuple[bytes, List[bytes]]:
    """What a script prints, whole and in pieces."""

    def line() -> str:
        return source.one(
            "%s=%s" % (source.word(), source.number()[:50]),
            "%s: %s%%" % (source.word(), source.below(100)),
            source.json({source.key(True): source.value(2)}),
            "loss=0.5, val loss: %s" % source.number()[:50],
            source.text(6),
            "{" + source.number()[:50] + "}",
            source.long(300),
            '{"a": %s}' % source.number(),
            '{"a":%s}' % source.nested() if source.chance(0.02) else "a=1",
        )

    data = b"".join(
        utf8(source.maybe(line(), 0.2)) + source.one(b"\n", b"\n", b"\r\n", b"\r", b"")
        for _ in range(source.few(8))
    )
    data = source.maybe_bytes(data, 0.2)
    return data, source.pieces(data)


def check_printed(given: Tuple[bytes, List[bytes]]) -> None:
    """The same values whole and in pieces, and a result file takes them."""
    whole, pieces = Printed(), Printed()
    whole.feed(given[0])
    for piece in given[1]:
        pieces.feed(piece)
    found: Dict[str, Any] = dict(whole.values())
    assert same(pieces.values(), found), (pieces.values(), found)
    assert len(found) <= 200
    if found:
        assert resultfile.parse(json.dumps(found).encode("ascii")).numbers is not None


def make_reports(source: Source) -> Tuple[bytes, List[bytes]]:
    """What scripts append to the file of their reports, whole and in pieces."""

    def line() -> bytes:
        numbers = {source.key(True): source.one(source.value(1), 0.5, math.nan, math.inf, 3)
                   for _ in range(source.few(4))}
        return source.one(
            utf8(json.dumps(dict(numbers, step=source.below(9), time=source.one(1e9, "x", -1)))),
            make_results(source),
            make_json(source).replace(b"\n", b" "),
            utf8('{"a": %s}' % source.number()),
            b"{" + b"x" * source.one(3, 20_000),
        )

    data = b"".join(source.maybe_bytes(line(), 0.2) + source.one(b"\n", b"\n", b"\r\n", b"\n\n")
                    for _ in range(source.few(8)))
    data += source.one(b"", line())
    return data, source.pieces(data)


def check_reports(given: Tuple[bytes, List[bytes]]) -> None:
    """The same reports whole and in pieces, each of which a server takes beside any others."""
    with tempfile.TemporaryDirectory() as directory:
        found = [_reported(Path(directory) / name, pieces) for name, pieces in (
            ("whole", [given[0]]), ("pieces", given[1]))]
    assert found[0] == found[1], found
    for line in found[0]:
        body = '{"job_id": 1, "attempt": 1, "first": 0, "reports": [[0.5, %s]]}' % line
        reports = Reports.from_json(jsonbody.parse_json(body.encode("ascii"))).reports
        assert len(line) <= MAX_REPORT_BYTES and "time" not in reports[0].told
        interpreting.interpret(reports)


def _reported(path: Path, pieces: List[bytes]) -> List[str]:
    """The reports of a file that is read after each piece that is appended."""
    file = ReportFile(str(path))
    lines: List[bytes] = []
    try:
        for number, piece in enumerate(pieces):
            with open(str(path), "ab") as to:
                to.write(piece)
            lines += file.lines(10_000, final=number == len(pieces) - 1)
    finally:
        file.close()
    return [line.told for line in map(reportline.read, lines) if line is not None]


PROPERTIES = (
    Property(
        "json",
        make_json,
        check_json,
        (
            b"",
            b" ",
            b"\xff",
            b"\xef\xbb\xbf{}",
            b'"\\ud800"',
            b'"\\ud83d\\ude00"',
            b'{"a":1,"a":2}',
            b"NaN",
            b"[" * 100_000,
            b"9" * 100_000,
            b'{"a":' * 33 + b"1" + b"}" * 33,
            b"[1,2,-0,3]",
            b"-",
            b"1e999",
        ),
        weight=30,
    ),
    Property(
        "json-string",
        make_string,
        check_string,
        (b'"', b'"\\', b'"\\u', b'"\\ud800\\udc0"', b'"\x00"'),
        weight=50,
    ),
    Property(
        "results",
        make_results,
        check_results,
        (
            b'{"data/\\udcff.csv": "x"}',
            b'{"a": NaN, "b": 1e999}',
            b'{"a": %s}' % (b"9" * 5000),
            b"[]",
            b"\xff",
            b'{"a": ' * 2000,
        ),
        weight=60,
    ),
    Property(
        "typed-value",
        make_value,
        check_value,
        ('"', "\0", "a\nb", "\r", "1e400", "9" * 400, "9" * 5000, "x" * 200_000),
        weight=50,
    ),
    Property(
        "printed",
        make_printed,
        check_printed,
        ((b"a=1\r", [b"a=1", b"\r"]), (b"a=1\r\nb=2", [b"a=1\r", b"\nb=2"])),
        weight=50,
    ),
    Property(
        "reports",
        make_reports,
        check_reports,
        ((b'{"a": 1}\n{"a"', [b'{"a": 1}', b'\n{"a"']), (b'{"a": 1e999}', [b'{"a": 1e', b'999}'])),
        weight=5,
    ),
)
