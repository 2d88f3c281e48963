"""multipart/form-data, streaming, in both directions. No socket, no asyncio.

RFC 7578 (form-data) and RFC 2046, 5.1 (multipart). File names come in every form that clients
are known to send: quoted with backslashes (curl, Python), raw UTF-8 with %22 %0D %0A (browsers),
and `filename*=UTF-8''…` (urllib3 before 2).

States of the parser, and what leaves each:

    PREAMBLE   text before the first delimiter, dropped   -> DELIMITER
    DELIMITER  what follows a delimiter: CRLF, or `--`    -> HEADERS, or EPILOGUE
    HEADERS    lines up to an empty one, then PartHead    -> DATA
    DATA       bytes up to a delimiter as PartData        -> PartEnd, DELIMITER
    EPILOGUE   the rest, dropped
"""

import enum
import re
import secrets
from dataclasses import dataclass
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple, Union
from urllib.parse import unquote_to_bytes

from jd.protocol import ProtocolError, shown

# RFC 2046, 5.1.1: bchars; a space only inside.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]*[0-9A-Za-z'()+_,\-./:=?]")
_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_FIELD_NAME = re.compile(_NAME)
# RFC 9110, 5.6.6: parameters. The value is a quoted-string or a token.
_PARAMETER = re.compile(r'[ \t]*;[ \t]*(%s)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))' % _NAME)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# The HTML standard's "multipart/form-data encoding algorithm" escapes these three and no other.
_BROWSER_ESCAPE = re.compile(r"%(22|0[Dd]|0[Aa])")
_BROWSER_ESCAPES = {"22": '"', "0D": "\r", "0A": "\n"}

MAX_BOUNDARY = 70  # RFC 2046, 5.1.1
_IDENTITY_ENCODINGS = ("7bit", "8bit", "binary")


class MultipartError(ProtocolError):
    """The body is no usable multipart/form-data; the text says where it goes wrong."""


class MultipartLimits(NamedTuple):
    """Sizes in bytes. The sizes of fields and files are for the caller to limit as they come."""

    header_bytes: int = 8 * 1024
    parts: int = 20  # an upload has two
    preamble: int = 1024


@dataclass(frozen=True)
class PartHead:
    """A part begins. `filename` is None for an ordinary field; it is what the client sent: not a path."""

    name: str
    filename: Optional[str]
    headers: Dict[str, str]


@dataclass(frozen=True)
class PartData:
    """The next bytes of the part, never empty."""

    data: bytes


@dataclass(frozen=True)
class PartEnd:
    """The part is complete."""


PartEvent = Union[PartHead, PartData, PartEnd]


class _State(enum.Enum):
    PREAMBLE = 1
    DELIMITER = 2
    HEADERS = 3
    DATA = 4
    EPILOGUE = 5


class MultipartParser:
    """Turns the bytes of a body into events; it never holds more than one part's header."""

    def __init__(self, boundary: str, limits: MultipartLimits = MultipartLimits()) -> None:
        """Raises MultipartError for a boundary that RFC 2046 does not allow."""
        self._delimiter = b"\r\n--" + _check_boundary(boundary).encode("ascii")
        self._limits = limits
        # The first delimiter needs no line break before it: pretend that there was one.
        self._buffer = bytearray(b"\r\n")
        self._state = _State.PREAMBLE
        self._dropped = 0
        self._parts = 0

    @property
    def finished(self) -> bool:
        """Whether the closing delimiter has come."""
        return self._state is _State.EPILOGUE

    def receive(self, data: bytes) -> List[PartEvent]:
        """The events that `data` completes. b"" is the end of the body.

        Raises MultipartError, also when the body ends before its closing delimiter.
        """
        if not data and not self.finished:
            raise MultipartError("the multipart body ends before its closing boundary")
        events: List[PartEvent] = []
        if self._state is _State.DATA and not self._buffer:
            data = self._read_whole(data, events)
        self._buffer += data
        while self._step(events):
            pass
        return events

    def _step(self, events: List[PartEvent]) -> bool:
        """Do what the buffer allows; whether more may be possible."""
        if self._state is _State.PREAMBLE:
            return self._skip_preamble()
        if self._state is _State.DELIMITER:
            return self._after_delimiter()
        if self._state is _State.HEADERS:
            return self._read_headers(events)
        if self._state is _State.DATA:
            return self._read_data(events)
        self._buffer.clear()
        return False

    def _skip_preamble(self) -> bool:
        skipped, found = self._up_to_delimiter()
        self._dropped += len(skipped)
        if self._dropped > self._limits.preamble:
            raise MultipartError("the first boundary of the multipart body does not come within "
                                 "%d bytes" % self._limits.preamble)
        if found:
            self._state = _State.DELIMITER
        return found

    def _after_delimiter(self) -> bool:
        if self._buffer[:2] == b"--":
            self._state = _State.EPILOGUE
            return True
        end = self._buffer.find(b"\r\n")
        padding = bytes(self._buffer[:end] if end >= 0 else self._buffer)
        if end < 0 and padding.endswith(b"\r"):
            padding = padding[:-1]  # of the line break that is due
        # RFC 2046 allows white space here; a lone "-" may be the first half of what is due.
        if padding.strip(b" \t") not in (b"", *([b"-"] if end < 0 else [])) or len(padding) > MAX_BOUNDARY:
            raise MultipartError("a boundary of the multipart body is not followed by a line end")
        if end < 0:
            return False
        # Its line break stays: a header section that is empty is then CR LF CR LF as well.
        del self._buffer[:end]
        self._state = _State.HEADERS
        return True

    def _read_headers(self, events: List[PartEvent]) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if (end if end >= 0 else len(self._buffer) - 4) > self._limits.header_bytes:
            raise MultipartError("the header of a part is longer than the allowed %d bytes"
                                 % self._limits.header_bytes)
        if end < 0:
            return False
        self._parts += 1
        if self._parts > self._limits.parts:
            raise MultipartError("there are more than the allowed %d parts" % self._limits.parts)
        events.append(_parse_part_head(bytes(self._buffer[2:end])))
        del self._buffer[:end + 4]
        self._state = _State.DATA
        return True

    def _read_data(self, events: List[PartEvent]) -> bool:
        data, found = self._up_to_delimiter()
        if data:
            events.append(PartData(data))
        if found:
            events.append(PartEnd())
            self._state = _State.DELIMITER
        return found

    def _read_whole(self, data: bytes, events: List[PartEvent]) -> bytes:
        """Take the data of a part out of what has come; the rest is returned. Nearly always all is data, of
        which no copy is made."""
        at = data.find(self._delimiter)
        if at < 0:
            at = self._sure(data)
        if at:
            events.append(PartData(data[:at]))
        return data[at:]

    def _sure(self, data: Union[bytes, bytearray]) -> int:
        """How many bytes are surely before the next delimiter, which is not in `data`: its end may be the
        beginning of one."""
        at = max(0, len(data) - len(self._delimiter) + 1)
        while True:
            at = data.find(b"\r", at)
            if at < 0:
                return len(data)
            if self._delimiter.startswith(bytes(data[at:])):
                return at
            at += 1

    def _up_to_delimiter(self) -> Tuple[bytes, bool]:
        """Take what is surely before the next delimiter, and that, if it is there."""
        at = self._buffer.find(self._delimiter)
        found = at >= 0
        if not found:
            at = self._sure(self._buffer)
        with memoryview(self._buffer) as view:
            data = bytes(view[:at])
        del self._buffer[:at + (len(self._delimiter) if found else 0)]
        return data, found


# ---- grammar

def boundary_of(content_type: str) -> str:
    """The boundary in a Content-Type value. Raises MultipartError where there is none to use."""
    kind, parameters = _parse_value(content_type)
    if kind.lower() != "multipart/form-data":
        raise MultipartError("Content-Type must be multipart/form-data, not %s" % shown(kind))
    if "boundary" not in parameters:
        raise MultipartError("Content-Type multipart/form-data has no boundary")
    return _check_boundary(parameters["boundary"])


def _check_boundary(boundary: str) -> str:
    if len(boundary) > MAX_BOUNDARY or not _BOUNDARY.fullmatch(boundary):
        raise MultipartError("the multipart boundary must be 1 to %d characters of those that "
                             "RFC 2046 allows, not %s" % (MAX_BOUNDARY, shown(boundary)))
    return boundary


def _parse_value(text: str) -> Tuple[str, Dict[str, str]]:
    """A value with parameters: `form-data; name="x"`. Names in lower case, quotes removed."""
    kind, semicolon, _ = text.partition(";")
    parameters: Dict[str, str] = {}
    at = len(kind)
    while semicolon and text[at:].strip(" \t;"):
        match = _PARAMETER.match(text, at)
        if match is None:
            raise MultipartError("parameters cannot be read: %s" % shown(text[at:]))
        name = match.group(1).lower()
        if name in parameters:
            raise MultipartError("parameter %s is there twice" % shown(name))
        quoted = match.group(2)
        # Only \" and \\ are escapes in practice: C:\new\table.csv is sent as it is.
        parameters[name] = match.group(3) if quoted is None else re.sub(r'\\(["\\])', r"\1", quoted)
        at = match.end()
    return kind.strip(" \t"), parameters


def _parse_part_head(block: bytes) -> PartHead:
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError:
        raise MultipartError("the header of a part is not UTF-8") from None
    headers: Dict[str, str] = {}
    for line in text.split("\r\n") if text else []:
        name, colon, value = line.partition(":")
        if not colon or not _FIELD_NAME.fullmatch(name) or _CONTROL.search(value):
            raise MultipartError("the header of a part has an unusable line: %s" % shown(line))
        if name.lower() in headers:
            raise MultipartError("the header of a part has %s twice" % name)
        headers[name.lower()] = value.strip(" \t")
    kind, parameters = _parse_value(headers.get("content-disposition", ""))
    if kind.lower() != "form-data":
        raise MultipartError("a part has no header Content-Disposition: form-data")
    encoding = headers.get("content-transfer-encoding", "binary").lower()
    if encoding not in _IDENTITY_ENCODINGS:
        raise MultipartError("a part is encoded as %s; send it as it is (RFC 7578, 4.7)"
                             % shown(encoding))
    field = _text_parameter(parameters, "name")
    if field is None:
        raise MultipartError("a part has no name")
    return PartHead(field, _text_parameter(parameters, "filename"), headers)


def _text_parameter(parameters: Mapping[str, str], name: str) -> Optional[str]:
    """A parameter in the form it has: `name*` (RFC 8187) wins over `name` (RFC 6266, 4.3)."""
    extended = parameters.get(name + "*")
    if extended is not None:
        charset, quote, rest = extended.partition("'")
        encoded = rest.partition("'")[2]
        if not quote or charset.lower() not in ("utf-8", "iso-8859-1"):
            raise MultipartError("%s* must be UTF-8''… with percent-encoding, not %s" % (
                name, shown(extended)))
        try:
            return unquote_to_bytes(encoded).decode(charset)
        except UnicodeDecodeError:
            raise MultipartError("%s* is not %s: %s" % (name, charset, shown(extended))) from None
    plain = parameters.get(name)
    if plain is None:
        return None
    return _BROWSER_ESCAPE.sub(lambda match: _BROWSER_ESCAPES[match.group(1).upper()], plain)


# ---- writing

class UploadFrame(NamedTuple):
    """What goes around a file: send `prefix`, the file, `suffix`; `length` is all of it in bytes."""

    content_type: str
    prefix: bytes
    suffix: bytes
    length: int


def encode_upload(fields: Mapping[str, str], part_name: str, filename: str,
                  size: int) -> UploadFrame:
    """The frame of a form with text `fields` and one file of `size` bytes.

    Characters that a header cannot carry become `_`, bytes of a file name that are no text `?`:
    an odd name is no reason to lose a result.
    """
    boundary = "jd-" + secrets.token_hex(16)
    opening = b"--" + boundary.encode("ascii") + b"\r\n"
    prefix = bytearray()
    for name, value in fields.items():
        prefix += opening
        prefix += ('Content-Disposition: form-data; name="%s"\r\n\r\n' % _escape(name)).encode("utf-8")
        prefix += value.encode("utf-8", "replace") + b"\r\n"
    prefix += opening
    prefix += ('Content-Disposition: form-data; name="%s"; filename="%s"\r\n'
               "Content-Type: application/octet-stream\r\n\r\n"
               % (_escape(part_name), _escape(filename))).encode("utf-8")
    suffix = b"\r\n--" + boundary.encode("ascii") + b"--\r\n"
    return UploadFrame("multipart/form-data; boundary=" + boundary, bytes(prefix), suffix,
                       len(prefix) + size + len(suffix))


def _escape(text: str) -> str:
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = text.replace("\\", "\\\\").replace('"', "%22")
    text = text.replace("\r", "%0D").replace("\n", "%0A")
    return _CONTROL.sub("_", text)
