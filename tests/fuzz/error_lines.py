"""What programs print when they fail. `jd/server/store/errorline.py`, `errorform.py`."""

import re
from typing import Optional, Tuple

from jd import protocol as p
from jd.server.store import errorform, errorline
from tests.fuzz.material import Source
from tests.fuzz.properties import Property

Ended = Tuple[str, Optional[int], str, str]

_PIECES = ("Traceback (most recent call last):", '  File "a.py", line 3, in f', "    raise it", "    ^^^^",
           "ValueError: lr 3", "KeyError: 'x'", "  + Exception Group Traceback (most recent call last):",
           '  |   File "g.py", line 1, in g', "  | ExceptionGroup: two (2 sub-exceptions)",
           "  +-+---------------- 1 ----------------", "    | TypeError: deep", "RuntimeError:", "[rank0]: ",
           "error", "0 errors", "val error 0.3", "terminate called after throwing an instance of 'E'",
           "  what():  bad", "Exception ignored in: <f>", " 50%|##   | 1/2 [00:01<00:01, 1.0it/s]", "",
           "2026-11-27 12:00:00,1 ", "node07:29500", "/a/b.py", "10.0.0.1", "0x7f", "1e-5", "\033[31m", "\r")
_LEFT = re.compile("[\x00-\x1f\x7f-\x9f]")


def make_ended(source: Source) -> Ended:
    """An attempt that has ended: verdict, exit code, message and output."""
    def line() -> str:
        return source.one(source.of(_PIECES), source.of(_PIECES) + source.text(2), source.text(4),
                          source.maybe(source.of(_PIECES), 0.5))
    output = source.one("\n", "\n", "\r", "\r\n", "").join(source.several(line, 12))
    if source.chance(0.05):
        output = source.long(source.one(1000, 20_000))
    return (source.of([*p.REPORTED_VERDICTS, p.VERDICT_LOST]), source.one(None, 1, -6, -9, 137),
            source.one("", "exit status 1", line()), output)


def check_ended(ended: Ended) -> None:
    """One line that a database and a page can have, and a form."""
    line = errorline.of(*ended)
    assert len(line) <= errorline.LONGEST and line == line.strip() and not _LEFT.search(line)
    form = errorform.normal(line, "node07")
    assert len(form) <= errorform.MOST and not _LEFT.search(form)


PROPERTIES = (
    Property("error line", make_ended, check_ended, (
        (p.VERDICT_FAILED, 1, "", ""),
        (p.VERDICT_FAILED, 1, "", "\n\n\r\r\0"),
        (p.VERDICT_FAILED, 1, "", ' File "", line 1\n File "x", line 9999999999999999999999\n'),
        (p.VERDICT_FAILED, None, "\0\033[", "| |\n| + |\n"),
        (p.VERDICT_FAILED, 1, "", "'" * 16000),
    ), weight=25),
)
