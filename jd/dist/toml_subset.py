"""The part of TOML 1.0 that pyproject.toml is written in, for Pythons before tomllib (3.11).

Read: comments, `[tables]`, bare, quoted and dotted keys, one-line strings, whole numbers, true and
false, arrays over several lines, inline tables. Anything else in TOML is an error, never a guess.
"""

import re
from typing import Any, Callable, Dict, List, NoReturn

Table = Dict[str, Any]

MAX_DEPTH = 20  # of arrays and inline tables in one another

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"[ \t]*")
_BLANK_LINES = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_LINE_END = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_INTEGER = re.compile(r"[+-]?(?:0|[1-9](?:_?[0-9])*)(?![0-9A-Za-z_.:+-])")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}
_UNICODE = {"u": 4, "U": 8}


class TomlError(ValueError):
    """The text is not TOML, or is TOML outside the subset; the message starts with the line."""


def loads(text: str) -> Table:
    """The document as tomllib.loads would return it. Raises TomlError."""
    return _Reader(text.replace("\r\n", "\n")).document()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def fail(self, what: str) -> NoReturn:
        line = self.text.count("\n", 0, self.at) + 1
        raise TomlError("line %d: %s" % (line, what))

    def peek(self) -> str:
        return self.text[self.at:self.at + 1]

    def skip(self, pattern: "re.Pattern[str]") -> None:
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def expect(self, character: str) -> None:
        if self.peek() != character:
            self.fail("expected %r, found %r" % (character, self.peek() or "the end"))
        self.at += 1

    def document(self) -> Table:
        root: Table = {}
        table = root
        headers: List[List[str]] = []
        while True:
            self.skip(_BLANK_LINES)
            if self.at >= len(self.text):
                return root
            if self.peek() == "[":
                path = self.header()
                if path in headers:
                    self.fail("table [%s] is there twice" % ".".join(path))
                headers.append(path)
                table = self.descend(root, path)
            else:
                self.pair(table)
            ended = _LINE_END.match(self.text, self.at)
            if ended is None:
                self.fail("expected the end of the line")
            self.at = ended.end()

    def header(self) -> List[str]:
        self.expect("[")
        if self.peek() == "[":
            self.fail("arrays of tables ([[…]]) are not read here; use an array of inline tables")
        path = self.keys()
        self.expect("]")
        return path

    def keys(self) -> List[str]:
        path = []
        while True:
            self.skip(_BLANK)
            path.append(self.key())
            self.skip(_BLANK)
            if self.peek() != ".":
                return path
            self.at += 1

    def key(self) -> str:
        if self.peek() in ('"', "'"):
            return self.string()
        found = _BARE_KEY.match(self.text, self.at)
        if found is None:
            self.fail("expected a key, found %r" % (self.peek() or "the end"))
        self.at = found.end()
        return found.group()

    def descend(self, table: Table, path: List[str]) -> Table:
        for key in path:
            below = table.setdefault(key, {})
            if not isinstance(below, dict):
                self.fail("%r is a value already, so it cannot be a table" % key)
            table = below
        return table

    def pair(self, table: Table) -> None:
        path = self.keys()
        self.expect("=")
        self.skip(_BLANK)
        table = self.descend(table, path[:-1])
        if path[-1] in table:
            self.fail("key %r is there twice" % path[-1])
        table[path[-1]] = self.value()

    def value(self) -> Any:
        first = self.peek()
        if first in ('"', "'"):
            return self.string()
        if first == "[":
            return self.nested(self.array)
        if first == "{":
            return self.nested(self.inline_table)
        for word, meaning in (("true", True), ("false", False)):
            if re.compile(word + r"\b").match(self.text, self.at):
                self.at += len(word)
                return meaning
        found = _INTEGER.match(self.text, self.at)
        if found is None:
            self.fail("expected a string, a whole number, true, false, an array or an inline table")
        self.at = found.end()
        return int(found.group().replace("_", ""))

    def nested(self, read: Callable[[], Any]) -> Any:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail("more than %d arrays and tables in one another" % MAX_DEPTH)
        value = read()
        self.depth -= 1
        return value

    def array(self) -> List[Any]:
        self.expect("[")
        values: List[Any] = []
        while True:
            self.skip(_BLANK_LINES)
            if self.peek() == "]":
                self.at += 1
                return values
            values.append(self.value())
            self.skip(_BLANK_LINES)
            if self.peek() != "]":
                self.expect(",")

    def inline_table(self) -> Table:
        self.expect("{")
        table: Table = {}
        self.skip(_BLANK)
        if self.peek() == "}":
            self.at += 1
            return table
        while True:
            self.skip(_BLANK)
            self.pair(table)
            self.skip(_BLANK)
            if self.peek() == "}":
                self.at += 1
                return table
            self.expect(",")

    def string(self) -> str:
        quote = self.peek()
        if self.text.startswith(quote * 3, self.at):
            self.fail("multi-line strings are not read here; use a one-line string")
        self.at += 1
        parts: List[str] = []
        while True:
            character = self.peek()
            if character in ("", "\n"):
                self.fail("the string is not closed with %s on its line" % quote)
            self.at += 1
            if character == quote:
                return "".join(parts)
            if character == "\\" and quote == '"':
                character = self.escape()
            elif (character < " " and character != "\t") or character == "\x7f":
                self.fail("control character %r in a string" % character)
            parts.append(character)

    def escape(self) -> str:
        letter = self.peek()
        self.at += 1
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        size = _UNICODE.get(letter, 0)
        digits = self.text[self.at:self.at + size]
        if not size or not re.match(r"[0-9A-Fa-f]{%d}\Z" % size, digits):
            self.fail("unknown escape \\%s" % letter)
        code = int(digits, 16)
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            self.fail("\\%s%s is no character" % (letter, digits))
        self.at += size
        return chr(code)
