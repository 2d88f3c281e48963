"""JSON that is read piece by piece, so that a large text is never in memory as a whole and blocks nobody.

json.loads of 60 MB holds Python's lock all the time, so that nobody is served, and makes objects of
everything before somebody can count them. Here the outer lists and objects are walked through, and only
what is inside them is parsed at once; nothing of it is kept. The rules are those of `jsonbody`.
"""

import codecs
import json
import re
from typing import Any, BinaryIO, Dict, Iterator, List, Optional, Set, Tuple

from jd.net import jsonbody
from jd.net.serving.jsontexts import Texts, as_written
from jd.protocol import MAX_JSON_DEPTH, ProtocolError, shown

PIECE = 512 * 1024  # characters that are parsed at once: ten milliseconds at most
READ = 1024 * 1024  # bytes that are read at once
RUN = 64 * 1024  # characters in which objects are parsed together: two milliseconds
MAX_NAMES = 20_000  # of an object that is walked through
LEVELS = 3  # of lists and objects that `whole` walks through

# Whole numbers of a list, with the comma that follows each.
_NUMBERS = re.compile(r"(?:-?(?:0|[1-9][0-9]{0,15})[ \t\n\r]*,[ \t\n\r]*)+")
# Without what `parse_json` calls for each object and number: what it refuses is found otherwise.
_PLAIN = json.JSONDecoder(parse_constant=jsonbody.refuse_constant)
_INFINITE = frozenset((float("inf"), float("-inf")))
_BLANKS = re.compile(r"[ \t\n\r]*")
# Whole characters of a string, escapes with what belongs to them.
_RUN = re.compile(r'(?:[^"\\\x00-\x1f]+|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
                  r'|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*')
_RUN_LENGTH = 32 * 1024  # characters that are looked at together
_LONGEST_ESCAPE = 12


class Pieces:
    """The values of one JSON text, in their order.

    What comes next is told by `kind`, and is then taken: by `items` or `members`, between whose
    steps each value inside has to be taken, or by `value`. Everything raises ProtocolError with line
    and column for what `jsonbody.parse_json` refuses, and for a `value` longer than PIECE.
    """

    def __init__(self, file: BinaryIO, what: str = "the body") -> None:
        """`file` is read from where it stands; `what` names the text in errors."""
        self._file = file
        self._what = what
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._offset = 0  # bytes read
        self._text = ""
        self._at = 0  # what is before it has been taken
        self._eof = False
        self._line, self._column = 1, 0  # of the first character of the text
        self._levels = 0  # lists and objects that are being walked through
        self._has_surrogates = False  # escapes of them, somewhere in the text
        self._begun = False  # something that is no blank was there
        self._one_by_one_to = 0  # up to here objects cannot be parsed together
        self._as_ours = True  # all objects were written as we write them

    def kind(self) -> str:
        """The first character of the next value: { [ " or another."""
        return self._peek("Expecting value")

    def items(self) -> Iterator[None]:
        """Walk through a list; after each step its next value is to be taken."""
        self._enter("[")
        if self._peek("Expecting value") != "]":
            while True:
                yield None
                if not self._another("]"):
                    break
        self._leave()

    def members(self) -> Iterator[str]:
        """Walk through an object: its names; after each its value is to be taken."""
        self._enter("{")
        names: Set[str] = set()
        missing = "Expecting property name enclosed in double quotes"
        more = self._peek(missing) != "}"
        while more:
            if self._peek(missing) != '"':
                raise self._wrong(missing, self._at)
            name = self.value()
            if name in names:
                raise ProtocolError("name %s is there twice in one object" % shown(name))
            if len(names) >= MAX_NAMES:
                raise ProtocolError("%s has more than %d names in one object" % (self._what, MAX_NAMES))
            names.add(name)
            self._take(":")
            yield name
            more = self._another("}")
        self._leave()

    def value(self) -> Any:
        """The next value, whole."""
        at = self._next("Expecting value")
        try:
            value, end = jsonbody.scan(self._text, at)
        except StopIteration as stop:
            raise self._stopped("Expecting value", stop.value, at) from None
        except json.JSONDecodeError as error:
            raise self._stopped(error.msg, error.pos, at) from None
        except RecursionError:
            raise jsonbody.too_deep(self._what) from None
        if end - at > PIECE:
            raise self._too_long(at)
        if self._has_surrogates:
            self._check_surrogates(at, end)
        if type(value) in (list, dict) and (self._text.count("[", at, end) + self._text.count("{", at, end)
                                            > MAX_JSON_DEPTH - self._levels):
            jsonbody.check_depth(value, self._what, MAX_JSON_DEPTH - self._levels)
        self._at = end
        return value

    def objects(self) -> List[Dict[str, Any]]:
        """The objects that come next in a list, as far as they can be parsed together, and are not its last:
        a list of small ones is read five times as fast as one by one. There may be none.
        """
        at, end = self._together()
        values = plain_objects(self._text[at:end], self._levels) if end else []
        if values:
            self._at = end + 1
        elif end:
            self._one_by_one_to = end
        return values

    def texts(self) -> Optional[Texts]:
        """The same as JSON that is already written as ours: twice as fast as to read them and to write them
        again. None where that is not so, and from then on.
        """
        at, end = self._together() if self._as_ours else (0, 0)
        found = as_written(self._text[at:end], self._levels) if end else None
        if found is not None:
            self._at = end + 1
        elif end:
            self._as_ours = False
        return found

    def whole(self, most: int, levels: int = LEVELS) -> Any:
        """The next value, of any length, with at most `most` values in its outer lists and objects."""
        left = [most]

        def count(values: int = 1) -> None:
            left[0] -= values
            if left[0] < 0:
                raise ProtocolError("%s has more than the allowed %d values" % (self._what, most))

        def take(below: int) -> Any:
            kind = self.kind() if below else ""
            if kind == "[":
                found: List[Any] = []
                for _ in self.items():
                    numbers = self._numbers()
                    count(len(numbers) + 1)
                    found += numbers
                    found.append(take(below - 1))
                return found
            if kind == "{":
                named: Dict[str, Any] = {}
                for name in self.members():
                    count()
                    named[name] = take(below - 1)
                return named
            return self.value()
        return take(levels)

    def copy_text(self, to: BinaryIO) -> None:
        """Write the next value, a string of any length, to a file, in UTF-8."""
        begin = self._next("Expecting value")
        place = self._place(begin)
        self._at = begin + 1
        while True:
            self._fill()
            at = self._at
            found = _RUN.match(self._text, at, at + _RUN_LENGTH)
            end = found.end() if found is not None else at
            to.write(json.loads('"%s"' % self._text[at:end]).encode("utf-8"))
            self._at = end
            if self._text[end:end + 1] == '"':
                self._at += 1
                return
            if end > at:
                continue
            if self._eof and end == len(self._text):
                raise ProtocolError("%s is not JSON: Unterminated string starting at %s"
                                    % (self._what, place))
            if self._eof or len(self._text) - end >= _LONGEST_ESCAPE:
                # It is no escape that goes on in what comes.
                self._check_surrogates(end, end + _LONGEST_ESCAPE)
                raise self._wrong("Invalid \\escape or control character in a string", end)

    def end(self) -> None:
        """Nothing but blanks follows."""
        at = self._skip()
        if at < len(self._text):
            raise self._wrong("Extra data", at)

    # ---- steps

    def _together(self) -> Tuple[int, int]:
        """Where the objects begin and end that may be read together; 0 and 0 where there are none."""
        at = self._next("Expecting value")
        if self._text[at] != "{" or at < self._one_by_one_to:
            return 0, 0
        end = self._text.rfind("},", at, at + RUN) + 1
        return at, end

    def _numbers(self) -> List[int]:
        """The whole numbers that come next in a list and are not its last: so a list of 100,000 ids is read
        twenty times as fast as one by one."""
        at = self._next("Expecting value")
        run = _NUMBERS.match(self._text, at)
        if run is None:
            return []
        self._at = run.end()
        return list(map(int, run.group().split(",")[:-1]))

    def _enter(self, bracket: str) -> None:
        self._take(bracket)
        self._levels += 1
        if self._levels > MAX_JSON_DEPTH:
            raise jsonbody.too_deep(self._what)

    def _leave(self) -> None:
        self._at += 1
        self._levels -= 1

    def _another(self, closing: str) -> bool:
        """Whether a comma follows, which is taken, and no closing bracket, which is left."""
        at = self._next("Expecting ',' delimiter")
        if self._text[at] == closing:
            return False
        if self._text[at] != ",":
            raise self._wrong("Expecting ',' delimiter", at)
        self._at = at + 1
        return True

    def _take(self, character: str) -> None:
        at = self._next("Expecting '%s' delimiter" % character)
        if self._text[at] != character:
            raise self._wrong("Expecting '%s' delimiter" % character, at)
        self._at = at + 1

    def _peek(self, expected: str) -> str:
        at = self._next(expected)
        return self._text[at]

    def _next(self, expected: str) -> int:
        """Where the next character that is no blank stands; PIECE characters follow, or the end."""
        at = self._skip()
        if at == len(self._text):
            if not self._begun:
                raise ProtocolError("%s is empty; JSON is needed" % self._what)
            raise self._wrong(expected, at)
        self._begun = True
        return at

    def _skip(self) -> int:
        while True:
            if len(self._text) - self._at < PIECE:
                self._fill()
            found = _BLANKS.match(self._text, self._at)
            self._at = found.end() if found is not None else self._at
            if self._at < len(self._text) or self._eof:
                return self._at

    def _fill(self) -> None:
        """Read on, until more than a piece is there, and forget what was taken."""
        if self._eof or len(self._text) - self._at > PIECE:
            return
        taken = self._text[:self._at]
        self._line, self._column = self._line + taken.count("\n"), self._column_of(self._at)
        parts = [self._text[self._at:]]
        length = len(parts[0])
        while length <= PIECE and not self._eof:
            parts.append(self._read())
            length += len(parts[-1])
        self._one_by_one_to -= self._at
        self._text, self._at = "".join(parts), 0
        self._has_surrogates = jsonbody.SURROGATE_ESCAPE.search(self._text) is not None

    def _read(self) -> str:
        data = self._file.read(READ)
        begun = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise ProtocolError("%s is not UTF-8: byte 0x%02x at offset %d" % (
                self._what, error.object[error.start], self._offset - begun + error.start)) from None
        self._offset += len(data)
        self._eof = not data
        return text

    # ---- errors

    def _column_of(self, at: int) -> int:
        """Characters before it in its line."""
        newline = self._text.rfind("\n", 0, at)
        return at - newline - 1 if newline >= 0 else self._column + at

    def _place(self, at: int) -> str:
        return "line %d column %d" % (self._line + self._text.count("\n", 0, at), self._column_of(at) + 1)

    def _wrong(self, message: str, at: int) -> ProtocolError:
        return ProtocolError("%s is not JSON: %s at %s" % (self._what, message, self._place(at)))

    def _stopped(self, message: str, stopped: int, begin: int) -> ProtocolError:
        """Why a value that begins there could not be parsed further."""
        cut = stopped >= len(self._text) - _LONGEST_ESCAPE or message.startswith("Unterminated")
        return self._too_long(begin) if cut and not self._eof else self._wrong(message, stopped)

    def _too_long(self, at: int) -> ProtocolError:
        return ProtocolError("%s has a value of more than %d characters at %s: put large values into a file"
                             % (self._what, PIECE, self._place(at)))

    def _check_surrogates(self, at: int, end: int) -> None:
        lone = jsonbody.lone_surrogate(self._text[at:end])
        if lone is not None:
            raise ProtocolError("half a surrogate pair, %s, at %s" % (
                self._text[at + lone:at + lone + 6], self._place(at + lone)))


def plain_objects(text: str, levels: int = 1) -> List[Dict[str, Any]]:
    """Objects that commas separate, inside of so many lists and objects; none where one of them needs a
    closer look: it is no JSON, or has an object or a number beyond a float inside, say."""
    # Half a surrogate pair, and numbers of many digits.
    if "\\u" in text or max(map(len, text.split(","))) > jsonbody.MAX_NUMBER_CHARS:
        return []
    try:
        values: List[Dict[str, Any]] = _PLAIN.decode("[%s]" % text)
        if set(map(type, values)) != {dict} or len(values) != text.count("{"):
            return []
        if "[" in text:
            jsonbody.check_depth(values, "", MAX_JSON_DEPTH - levels + 1)
            infinite = "inf" in str(values)
        else:
            infinite = not all(_INFINITE.isdisjoint(value.values()) for value in values)
    except (ValueError, ProtocolError, RecursionError):
        return []
    # A name that is there twice has one colon more.
    return [] if infinite or sum(map(len, values)) != text.count(":") else values
