"""multipart/form-data in both directions."""

from typing import Dict, List, Optional, Tuple

import pytest

from jd.net.multipart import (
    MultipartError,
    MultipartLimits,
    MultipartParser,
    PartData,
    PartEnd,
    PartHead,
    boundary_of,
    encode_upload,
)

Part = Tuple[PartHead, bytes]


@pytest.fixture(params=["whole", "bytewise", "sevens"])
def size(request: pytest.FixtureRequest) -> int:
    return {"whole": 1 << 20, "bytewise": 1, "sevens": 7}[request.param]


def parse(body: bytes, size: int, boundary: str = "b",
          limits: MultipartLimits = MultipartLimits()) -> List[Part]:
    parser = MultipartParser(boundary, limits)
    parts: List[Part] = []
    ends = 0
    for at in range(0, len(body), size):
        for event in parser.receive(body[at:at + size]):
            if isinstance(event, PartHead):
                assert ends == len(parts)
                parts.append((event, b""))
            elif isinstance(event, PartData):
                assert event.data
                parts[-1] = (parts[-1][0], parts[-1][1] + event.data)
            else:
                assert event == PartEnd()
                ends += 1
    parser.receive(b"")
    assert parser.finished and ends == len(parts)
    return parts


def body_of(disposition: bytes, content: bytes = b"x", more: bytes = b"") -> bytes:
    return (b"--b\r\nContent-Disposition: " + disposition + b"\r\n" + more + b"\r\n" + content
            + b"\r\n--b--\r\n")


def test_fields_and_files(size: int) -> None:
    parts = parse(b"preamble\r\n--b  \r\nContent-Disposition: form-data; name=\"job_id\"\r\n\r\n42\r\n"
                  b"--b\r\ncontent-disposition: Form-Data; Name=file; filename=\"a.csv\"\r\n"
                  b"Content-Type: text/csv\r\n\r\n\r\n-\r\n--\r\n--c\r\n\r\n--b--\r\nepilogue", size)
    assert [(head.name, head.filename, content) for head, content in parts] == [
        ("job_id", None, b"42"), ("file", "a.csv", b"\r\n-\r\n--\r\n--c\r\n")]
    assert parts[1][0].headers["content-type"] == "text/csv"


def test_empty_part_and_empty_form(size: int) -> None:
    assert parse(body_of(b'form-data; name="a"', b""), size)[0][1] == b""
    assert parse(b"--b--", size) == []


@pytest.mark.parametrize("parameter, filename", [
    (b'filename="plain.txt"', "plain.txt"), (b"filename=token.txt", "token.txt"), (b'filename=""', ""),
    (b'filename="a \\"q\\" \\\\ b"', 'a "q" \\ b'), (b'filename="C:\\new\\t.csv"', "C:\\new\\t.csv"),
    (b'filename="a%22b%0D%0Ac%20%41"', 'a"b\r\nc%20%41'), (b'filename="a;b=c.txt"', "a;b=c.txt"),
    ('filename="Größe 日本.txt"'.encode(), "Größe 日本.txt"),
    (b"filename*=utf-8''Gr%C3%B6%C3%9Fe", "Größe"), (b"filename*=ISO-8859-1'de'Gr%F6%DFe", "Größe"),
    (b"filename=\"plain\"; filename*=UTF-8''b%27est", "b'est"), (b"FileName = \"x\"", "x"),
])
def test_file_names(parameter: bytes, filename: str, size: int) -> None:
    (head, content), = parse(body_of(b'form-data; name="file"; ' + parameter), size)
    assert (head.name, head.filename, content) == ("file", filename, b"x")


@pytest.mark.parametrize("body", [
    b"", b"--b", b"--b\r\n", b"no boundary at all", b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx",
    b"--bc\r\n\r\n", b"--b-\r\n", b"--b\n", b"--b x\r\n", b"--b" + b" " * 100 + b"\r\n",
    b"--b\r\n\r\n\r\nx\r\n--b--", body_of(b"form-data"), body_of(b'attachment; name="a"'),
    body_of(b'form-data; name="a"; name="b"'), body_of(b'form-data; name="a'),
    body_of(b'form-data; name="a" junk'), body_of(b'form-data; name="a"; =b'),
    body_of(b'form-data; name="\xff"'), body_of(b'form-data; name="a\x00"'),
    body_of(b'form-data; name="a"; filename*=x'), body_of(b"form-data; name=a; filename*=utf-16''x"),
    body_of(b"form-data; name=a; filename*=utf-8''%FF"),
    body_of(b"form-data; name=a", more=b"Content-Transfer-Encoding: base64\r\n"),
    body_of(b"form-data; name=a", more=b"Content-Disposition: form-data; name=b\r\n"),
    body_of(b"form-data; name=a", more=b" folded\r\n"), body_of(b"form-data; name=a", more=b"A : b\r\n"),
    body_of(b"form-data; name=a", more=b"nocolon\r\n"),
    body_of(b"form-data; name=a", b"x\r\n--bb"),
])
def test_odd_bodies(body: bytes, size: int) -> None:
    with pytest.raises(MultipartError):
        parse(body, size)


def test_as_many_blanks_as_are_allowed_stand_behind_a_boundary(size: int) -> None:
    body = b"--b%s\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b--"
    assert len(parse(body % (b" " * 70), size)) == 1
    with pytest.raises(MultipartError, match="line end"):
        parse(body % (b" " * 71), size)


def test_limits(size: int) -> None:
    part = b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n"
    assert len(parse(part * 20 + b"--b--", size)) == 20
    with pytest.raises(MultipartError, match="20 parts"):
        parse(part * 21 + b"--b--", size)
    parse(body_of(b"form-data; name=a", more=b"A: %s\r\n" % (b"x" * 8000)), size)
    for excess in (body_of(b"form-data; name=a", more=b"A: %s\r\n" % (b"x" * 8192)),
                   b"--b\r\n" + b"A" * 9000):
        with pytest.raises(MultipartError, match="8192"):
            parse(excess, size)
    with pytest.raises(MultipartError, match="1024"):
        parse(b"p" * 2000 + b"\r\n--b--", size)


def test_nothing_but_a_possible_boundary_is_held_back() -> None:
    parser = MultipartParser("b" * 70)
    parser.receive(b"--" + b"b" * 70 + b"\r\nContent-Disposition: form-data; name=f\r\n\r\n")
    (event,) = parser.receive(b"x" * 100_000)
    assert isinstance(event, PartData) and len(event.data) > 100_000 - 74


@pytest.mark.parametrize("content_type, boundary", [
    ("multipart/form-data; boundary=abc", "abc"), ('Multipart/Form-Data;boundary="a b:c"', "a b:c"),
    ("multipart/form-data; charset=utf-8; Boundary=" + "x" * 70, "x" * 70),
])
def test_boundary_of(content_type: str, boundary: str) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("content_type", [
    "", "text/plain; boundary=x", "multipart/mixed; boundary=x", "multipart/form-data",
    "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "x" * 71,
    'multipart/form-data; boundary="x "', 'multipart/form-data; boundary="ä"',
    "multipart/form-data; boundary=a; boundary=b", "multipart/form-data boundary=a",
])
def test_no_boundary(content_type: str) -> None:
    with pytest.raises(MultipartError):
        boundary_of(content_type)


@pytest.mark.parametrize("filename, received", [
    ("metrics.csv", None), ('we"ird\r\nname\\\\ \\" %41;.txt', None), ("Größe 日本 🎉", None),
    ("end\\", None), ("tab\there", None), ("bell\x07\x00", "bell__"), ("raw\udcff", "raw?"), ("", None),
])
def test_upload_round_trip(filename: str, received: Optional[str], size: int) -> None:
    content = b"\r\n--b\r\n\x00\xff"
    fields: Dict[str, str] = {"job_id": "42", 'odd"\r\n': "line\r\nbreak ä"}
    frame = encode_upload(fields, "file", filename, len(content))
    content_type, prefix, suffix, length = frame
    body = prefix + content + suffix
    assert len(body) == length
    parts = parse(body, size, boundary_of(content_type))
    assert [(head.name, part) for head, part in parts] == [
        ("job_id", b"42"), ('odd"\r\n', "line\r\nbreak ä".encode()), ("file", content)]
    assert parts[2][0].filename == (filename if received is None else received)


def test_only_what_may_begin_a_boundary_is_held_back() -> None:
    parser = MultipartParser("b")
    parser.receive(b"--b\r\nContent-Disposition: form-data; name=f\r\n\r\n")
    whole = b"x" * 1000 + b"\r\n-"  # which may go on as \r\n--b
    for data, comes in [(b"plain", b"plain"), (whole, whole[:-3]), (b"-a", b"\r\n--a"), (b"\r\r", b"\r"),
                        (b"\n", b""), (b"x", b"\r\nx")]:
        assert b"".join(event.data for event in parser.receive(data) if isinstance(event, PartData)) == comes
    piece = bytes(1000)
    (event,) = parser.receive(piece)
    assert isinstance(event, PartData) and event.data is piece  # no copy of what is nearly all of an upload


def test_boundaries_differ() -> None:
    assert encode_upload({}, "f", "n", 0).content_type != encode_upload({}, "f", "n", 0).content_type
