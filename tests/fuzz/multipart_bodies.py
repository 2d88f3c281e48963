"""Uploads as clients send them. `jd/net/multipart.py`."""

from typing import Any, List, NamedTuple, Sequence, Tuple

from jd.net import multipart
from jd.net.multipart import MultipartError, MultipartLimits, MultipartParser, PartData, PartHead
from tests.fuzz.material import Source, utf8
from tests.fuzz.properties import Property, outcome, refused

LIMITS = MultipartLimits(header_bytes=200, parts=4, preamble=50)


class Body(NamedTuple):
    """A multipart body."""

    boundary: str
    data: bytes
    pieces: Sequence[bytes]


def _part(source: Source) -> bytes:
    parameters = source.one(
        'name="%s"' % source.word(),
        "name=%s" % source.word(),
        "name*=UTF-8''%41",
        'name="%s"' % (source.text(3)),
        "",
        'name="a"; name="b"',
    )
    if source.chance(0.6):
        parameters += "; " + source.one(
            'filename="%s"' % source.text(4).replace('"', '\\"'),
            "filename=%s" % source.word(),
            "filename*=UTF-8''%s" % source.one("%e2%82%ac", "%ff", "a", ""),
            "filename*=latin1''a",
            'filename="',
            "filename*=iso-8859-1'en'%e4",
            'filename="C:\\new\\table.csv"',
        )
    lines = ["Content-Disposition: form-data; " + parameters]
    lines += source.several(
        lambda: source.one(
            "Content-Type: text/plain",
            "X: " + source.text(2),
            "content-disposition: x",
            "Content-Transfer-Encoding: base64",
            "X: " + source.long(190),
        ),
        2,
    )
    data = source.one(b"", b"\r\n", b"--", b"\r\n--", utf8(source.text(8)), b"\r\n--b" * 3)
    return ("\r\n".join(lines)).encode("utf-8", "replace") + b"\r\n\r\n" + data


def make_body(source: Source) -> Body:
    """Parts between boundaries."""
    boundary = source.one("b", "jd-0123", "a b", "x" * 70)
    delimiter = b"--" + boundary.encode()
    body = source.one(b"", b"", b"\r\n", b"preamble\r\n", source.long(50).encode() + b"\r\n")
    for _ in range(source.few(6)):
        padding = source.one(b"", b"", b"", b" ", b"\t ", b" " * source.one(68, 69, 70, 71), b"-", b"\r")
        body += delimiter + padding + b"\r\n" + _part(source) + b"\r\n"
    body += delimiter + source.one(b"--", b"--\r\n", b"--epilogue", b"", b"-")
    body = source.maybe_bytes(body, 0.3)
    return Body(boundary, body, source.pieces(body))


def events(body: Body, pieces: Sequence[bytes]) -> Tuple[List[Any], str]:
    """What comes out, data of a part in one, and the error or an empty text."""
    parser = MultipartParser(body.boundary, LIMITS)
    found: List[Any] = []
    try:
        for piece in [*pieces, b""]:
            for event in parser.receive(piece):
                if isinstance(event, PartData):
                    assert event.data
                    if isinstance(found[-1], PartData):
                        event = PartData(found.pop().data + event.data)
                found.append(event)
    except MultipartError as error:
        return found, str(error)
    assert parser.finished
    return found, ""


def check_body(body: Body) -> None:
    """Whole, byte by byte and in pieces it is the same."""
    whole = events(body, [body.data] if body.data else [])
    for other in (body.pieces, [body.data[at : at + 1] for at in range(len(body.data))]):
        found = events(body, other)
        assert found[1] == whole[1], "in pieces: %r, whole: %r" % (found[1], whole[1])
        assert found == whole or whole[1], "in pieces it is %r, whole %r" % (found, whole)


def make_type(source: Source) -> str:
    """A Content-Type."""
    text = "%s; %s" % (
        source.one("multipart/form-data", "Multipart/Form-Data", "text/plain", ""),
        source.one(
            "boundary=%s" % source.word(),
            'boundary="%s"' % source.text(3),
            "a=b; boundary=x",
            "boundary",
            "boundary=",
            "boundary=x; Boundary=y",
            ";" * source.below(2000),
            " " * source.below(2000),
            "a=b;" * source.below(500),
        ),
    )
    return source.maybe(text, 0.3)


def check_type(text: str) -> None:
    """A boundary, or the documented error."""
    found = outcome(lambda: multipart.boundary_of(text), MultipartError)
    if not refused(found):
        MultipartParser(found)


def make_upload(source: Source) -> Tuple[str, str, str, bytes]:
    """A field, its value, the name of a file and its content."""
    return (source.text(4, True) or "f", source.text(8, True), source.text(8, True), utf8(source.text(10)))


def check_upload(given: Tuple[str, str, str, bytes]) -> None:
    """What we write is read back: values and content exactly, names but for what no header can carry."""
    field, value, filename, content = given
    frame = multipart.encode_upload({field: value}, "file", filename, len(content))
    data = frame.prefix + content + frame.suffix
    assert len(data) == frame.length
    parser = MultipartParser(multipart.boundary_of(frame.content_type))
    found = parser.receive(data) + parser.receive(b"")
    heads = [event for event in found if isinstance(event, PartHead)]
    texts, at = [b"", b""], -1
    for event in found:
        at += isinstance(event, PartHead)
        if isinstance(event, PartData):
            texts[at] += event.data
    assert texts == [value.encode("utf-8", "replace"), content]
    assert [head.filename is None for head in heads] == [True, False]
    assert heads[0].name == _carried(field) and heads[1].filename == _carried(filename), heads


def _carried(name: str) -> str:
    """A name as a header can carry it; what looks like an escape of a browser is read as one."""
    name = name.encode("utf-8", "replace").decode()
    for escape, char in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n"), ("%0d", "\r"), ("%0a", "\n")):
        name = name.replace(escape, char)
    return "".join("_" if char < " " and char not in "\t\r\n" or char == "\x7f" else char for char in name)


_SPACES = b"--b" + b" " * 70 + b"\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b--"
PROPERTIES = (
    Property(
        "multipart",
        make_body,
        check_body,
        (
            Body("b", b"", []),
            Body("b", b"--b--", [b"--b-", b"-"]),
            Body("b", _SPACES, [_SPACES[:74], _SPACES[74:]]),
        ),
        weight=50,
    ),
    Property(
        "multipart-type",
        make_type,
        check_type,
        ('multipart/form-data; boundary="', "multipart/form-data;" * 400),
    ),
    Property("multipart-written", make_upload, check_upload, (("f", "", 'a\\"b\r\n.txt', b"\r\n--"),)),
)
