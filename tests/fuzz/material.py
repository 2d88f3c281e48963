"""What bad and odd input is made of: a seeded source of choices, of texts, of JSON, and of damage to them.

All choices of an input come from one `random.Random` that its seed, its property and its number decide, so
each can be made again by itself. Of the generator `random()` and what is built on it here stay as they are
between versions of Python well enough for that: a failure is played again with the Python that found it.
"""

import json
import random
from typing import Any, Callable, Dict, List, Sequence, TypeVar

T = TypeVar("T")

# Numbers at which programs change their mind.
NUMBERS = (
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "9",
    "10",
    "255",
    "256",
    "4095",
    "65535",
    "65536",
    "2147483647",
    "-2147483648",
    "4294967296",
    "9007199254740991",
    "9007199254740992",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "1e9",
    "1E400",
    "-1e-400",
    "1e308",
    "1.7976931348623157e308",
    "0.1",
    "00",
    "01",
    "1_000",
    "+1",
    " 1",
    "1 ",
    "0x10",
    "١٢",
    "²",
    "NaN",
    "nan",
    "inf",
    "-Infinity",
    "Infinity",
    "9" * 20,
    "9" * 309,
    "9" * 311,
    "9" * 5000,
    "0" * 30 + "1",
    "0" * 19 + "1" + "9" * 30,
    "1" + "0" * 400,
    "0." + "0" * 400 + "1",
)

# Characters that mean something to somebody, or to nobody.
ODD = (
    "\0",
    "\x01",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\x0b",
    "\x0c",
    "\x1b[31m",
    "\x1c",
    "\x7f",
    "\x80",
    "\x85",
    "\xa0",
    "\xad",
    "\xff",
    "ä",
    "ß",
    "İ",
    "ſ",
    "\u200b",
    "\u200f",
    "\u2028",
    "\u2029",
    "\u202e",
    "\ufeff",
    "\ufffd",
    "\ufffe",
    "\uffff",
    "𝒳",
    "\U0010ffff",
    "e\u0301",
    "ﬀ",
    "٣",
    "²",
    "%",
    "%00",
    "%0a",
    "%zz",
    "%u0041",
    "\\",
    "\\\\",
    '"',
    "'",
    "`",
    "$(id)",
    "${HOME}",
    "{job_dir}",
    "{{job_id}}",
    "..",
    "../",
    "/",
    "//",
    "~",
    "*",
    "**",
    "?",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    "=",
    "==",
    ",",
    ";",
    ":",
    "#",
    "@",
    "!",
    "-",
    "--",
    "|",
    "&",
    "null",
    "true",
    "--help",
    "🙂",
)
SURROGATES = ("\ud800", "\udbff", "\udc00", "\udcff", "\udfff", "\udc80")

ODD_BYTES = (
    b"\x00",
    b"\x01",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\x0b",
    b"\x1b",
    b"\x7f",
    b"\x80",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xf4\x90\x80\x80",
    b"\xff",
    b"\xfe\xff",
    b" ",
    b"  ",
    b":",
    b";",
    b",",
    b"=",
    b'"',
    b"\\",
    b"%",
    b"%00",
    b"--",
    b"{",
    b"}",
    b"[",
    b"]",
    b"0",
    b"9" * 25,
    b"-1",
    b"\xe2\x80\xa8",
    b"\xc3\xa4",
)


class Source(random.Random):
    """The choices of one input."""

    def one(self, *items: T) -> T:
        """One of them."""
        return items[int(self.random() * len(items))]

    def of(self, items: Sequence[T]) -> T:
        """One of them."""
        return items[int(self.random() * len(items))]

    def below(self, end: int) -> int:
        """A whole number from 0 to below `end`."""
        return int(self.random() * end)

    def chance(self, part: float) -> bool:
        """True so often."""
        return self.random() < part

    def few(self, most: int = 6) -> int:
        """A number from 0 to `most`, small ones more often."""
        return int(self.random() * self.random() * (most + 1))

    def several(self, make: Callable[[], T], most: int = 6) -> List[T]:
        """Some of what `make` makes."""
        return [make() for _ in range(self.few(most))]

    # ---- texts

    def word(self, most: int = 10) -> str:
        """Letters as programs expect them."""
        return "".join(self.of("abcdefghijklmnopqrstuvwxyz0123456789_-.") for _ in range(1 + self.few(most)))

    def number(self) -> str:
        """The text of a number, or nearly."""
        if self.chance(0.5):
            return self.of(NUMBERS)
        return str(self.below(10 ** (1 + self.below(12))) - self.few(5))

    def text(self, most: int = 12, surrogates: bool = False) -> str:
        """Words and what does not belong into one."""
        parts = []
        for _ in range(self.few(most)):
            kind = self.random()
            parts.append(
                self.word()
                if kind < 0.5
                else self.of(ODD)
                if kind < 0.85
                else self.number()[:40]
                if kind < 0.93
                else self.of(SURROGATES)
                if surrogates
                else chr(self.below(0xD800))
            )
        return "".join(parts)

    def long(self, most: int) -> str:
        """A text of about so many characters, around which limits lie."""
        unit = self.one("a", "ä", " ", "\\", '"', "[", "x=", "a,", "𝒳", "\t", "0", "-", "%41", "a" * 63)
        return (unit * (most // len(unit) + 2))[: max(0, most + self.below(7) - 3)]

    # ---- JSON

    def value(self, depth: int = 3, surrogates: bool = False) -> Any:
        """A value that JSON can have, and some that only Python writes."""
        kind = self.below(12 if depth else 8)
        if kind < 2:
            return self.text(5, surrogates)
        if kind == 2:
            return self.one(None, True, False)
        if kind == 3:
            return self.one(0, -1, 1, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 10**30)
        if kind < 6:
            return self.below(100)
        if kind == 6:
            return self.one(0.5, -0.0, 1e300, 5e-324, 1e-7, 3.0)
        if kind == 7:
            return self.word()
        if kind < 10:
            return [self.value(depth - 1, surrogates) for _ in range(self.few(4))]
        return {self.key(surrogates): self.value(depth - 1, surrogates) for _ in range(self.few(4))}

    def key(self, surrogates: bool = False) -> str:
        """A name in an object."""
        return self.word() if self.chance(0.8) else self.text(4, surrogates)

    def json(self, value: Any) -> str:
        """How somebody else may write a value."""
        text = json.dumps(
            value,
            ensure_ascii=self.chance(0.5),
            indent=self.one(None, None, 1),
            separators=self.one(None, (",", ":"), (" , ", " : ")),
        )
        if self.chance(0.2):
            text = self.one(" ", "\n", "\t", "\ufeff", "", "[", "\r\n") + text
        return text + self.one(" ", "\n", "\x00", ",", "]", "x") if self.chance(0.1) else text

    def nested(self) -> str:
        """Lists and objects in one another, around the limits for it."""
        depth = self.one(1, 30, 31, 32, 33, 34, 100, 999, 1000, 2000, 30_000)
        opening, inner, closing = self.one(
            ("[", "1", "]"), ('{"a":', "1", "}"), ("[[1],", "2", "]"), ("[", "", ""), ('{"a":[', "", "]}")
        )
        return opening * depth + inner + closing * depth

    # ---- damage

    def damaged(self, text: str) -> str:
        """A text with something changed, once or a few times."""
        for _ in range(1 + self.few(3)):
            at, to = sorted((self.below(len(text) + 1), self.below(len(text) + 1)))
            kind = self.below(9)
            if kind == 0:
                text = text[:at] + self.of(ODD) + text[at:]
            elif kind == 1:
                text = text[:at] + text[min(to, at + 1 + self.few(8)) :]
            elif kind == 2:
                text = text[:to] + text[at:]  # what lies between stands twice
            elif kind == 3:
                text = text[:at]
            elif kind == 4:
                text = (
                    text[:at] + chr(ord(text[at]) ^ 1 << self.below(7)) + text[at + 1 :]
                    if at < len(text)
                    else text
                )
            elif kind == 5:
                text = text[to:] + text[:at]
            elif kind == 6:
                text = text[:at] + self.number() + text[at:]
            elif kind == 7:
                text = text[:at] + text[at:to][::-1] + text[to:]
            else:
                text = text[:at] + text[at:to].swapcase() + text[to:]
        return text

    def damaged_bytes(self, data: bytes) -> bytes:
        """The same of bytes."""
        for _ in range(1 + self.few(3)):
            at, to = sorted((self.below(len(data) + 1), self.below(len(data) + 1)))
            kind = self.below(7)
            if kind == 0:
                data = data[:at] + self.of(ODD_BYTES) + data[at:]
            elif kind == 1:
                data = data[:at] + data[min(to, at + 1 + self.few(8)) :]
            elif kind == 2:
                data = data[:to] + data[at:]
            elif kind == 3:
                data = data[:at]
            elif kind == 4 and data:
                at = min(at, len(data) - 1)
                data = data[:at] + bytes([data[at] ^ 1 << self.below(8)]) + data[at + 1 :]
            elif kind == 5:
                data = data[:at] + self.number().encode() + data[to:]
            else:
                data = data[to:] + data[:at]
        return data

    def maybe(self, text: str, part: float = 0.5) -> str:
        """It, or damaged."""
        return self.damaged(text) if self.chance(part) else text

    def maybe_bytes(self, data: bytes, part: float = 0.5) -> bytes:
        """It, or damaged."""
        return self.damaged_bytes(data) if self.chance(part) else data

    def pieces(self, data: bytes) -> List[bytes]:
        """The bytes in random pieces."""
        found, at = [], 0
        while at < len(data):
            size = 1 + self.few(1 + min(200, len(data)))
            found.append(data[at : at + size])
            at += size
        return found


def utf8(text: str) -> bytes:
    """The bytes of a text; half a surrogate pair as its three bytes, which no UTF-8 has."""
    return text.encode("utf-8", "surrogatepass")


def merged(values: Sequence[Dict[str, Any]]) -> Dict[str, Any]:
    """Objects in one, the later wins."""
    found: Dict[str, Any] = {}
    for value in values:
        found.update(value)
    return found
