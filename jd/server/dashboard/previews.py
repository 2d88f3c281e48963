"""What of a stored file can be shown in a page, found out from its content.

Files are as hostile as what ran: an image is what begins as one of four formats, never SVG or HTML;
text is what is UTF-8 throughout. A page shows text as text.
"""

import codecs
import csv
import io
from pathlib import Path
from typing import List, NamedTuple, Optional

TEXT = "text"
JSON = "json"
CSV = "csv"
IMAGE = "image"

HEAD = 4096  # bytes that tell the kind
MAX_TEXT = 256 * 1024
MAX_ROWS = 200  # of a table
MAX_IMAGE = 20 * 1024 * 1024

_SUFFIXES = {".json": JSON, ".csv": CSV, ".tsv": CSV}
_SEPARATORS = ",;\t"


class Preview(NamedTuple):
    """The beginning of a text file; `rows` only of a table, `kind` None where it is no text."""

    kind: Optional[str]
    text: str
    truncated: bool
    rows: Optional[List[List[str]]] = None


def image_type(head: bytes) -> Optional[str]:
    """The media type of an image by its first bytes, None for anything else."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return None


def kind_of(path: Path) -> Optional[str]:
    """TEXT, JSON, CSV or IMAGE by the first HEAD bytes; None if it cannot be shown or is not there."""
    try:
        with open(str(path), "rb") as file:
            head = file.read(HEAD)
            size = file.seek(0, io.SEEK_END)
    except OSError:
        return None
    if image_type(head) is not None:
        return IMAGE if size <= MAX_IMAGE else None
    return None if _decoded(head, size <= HEAD) is None else _text_kind(path)


def read(path: Path) -> Preview:
    """The first MAX_TEXT bytes. Raises OSError."""
    with open(str(path), "rb") as file:
        content = file.read(MAX_TEXT)
        truncated = bool(file.read(1))
    text = _decoded(content, not truncated)
    if text is None:
        return Preview(None, "", False)
    kind = _text_kind(path)
    rows = _rows(text, truncated) if kind == CSV else None
    return Preview(kind if kind != CSV or rows is not None else TEXT, text, truncated, rows)


def _text_kind(path: Path) -> str:
    return _SUFFIXES.get(path.suffix.lower(), TEXT)


def _decoded(content: bytes, whole: bool) -> Optional[str]:
    """Bytes as text, None if they are not UTF-8. One that is not `whole` may end within a character."""
    if b"\0" in content:
        return None
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(content, final=whole)
    except UnicodeDecodeError:
        return None


def _rows(text: str, truncated: bool) -> Optional[List[List[str]]]:
    """The first rows of a table, whole ones only; None if it is none."""
    first = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    rows: List[List[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for row in reader:
            rows.append(row)
            if len(rows) > MAX_ROWS:
                break
    except csv.Error:
        return None
    if len(rows) <= MAX_ROWS and truncated and len(rows) > 1:
        rows.pop()
    return rows[:MAX_ROWS]
