"""The TOML reader reads what tomllib reads, or says where it stops."""

import pytest

from jd.dist import toml_subset
from tests.support import ROOT

DOCUMENTS = [
    "",
    "# only a comment",
    "a = 1\nb = -20 # why\nc = 1_000\nd=+0\n",
    "a = true\nb = false",
    'a = "x # no comment"\nb = \'C:\\raw\'\n',
    'a = "tab\\t quote\\" backslash\\\\ \\u2603 \\U0001F600 \\b\\n\\f\\r"',
    "a = []\nb = [1, 2,]\nc = [\n  # first\n  'x', # second\n\n  ['y'],\n]\n",
    "a = {}\nb = {x = 1, y.z = [true]}\n",
    "[t]\na = 1\n[t.u]\nb = 2\n[ v . \"w x\" ]\n'c d' = 3\n",
    "[a.b]\nx = 1\n[a]\ny = 2\n",
    "a.b.c = 1\na.b.d = 2\n",
    "[x]\r\na = 1\r\n",
    "-_9 = 1",
]

REFUSED = [
    ("a = 1\nb", "line 2: expected '='"),
    ("a = ", "line 1: expected a string"),
    ("a = 1.5", "line 1: expected a string"),
    ("a = 01", "line 1: expected a string"),
    ("a = 2026-01-01", "line 1: expected a string"),
    ("a = trueish", "line 1: expected a string"),
    ("a = 1 b = 2", "line 1: expected the end of the line"),
    ('a = "x', "line 1: the string is not closed"),
    ('a = "x\ny"', "line 1: the string is not closed"),
    ('a = """x"""', "line 1: multi-line strings"),
    ('a = "\\q"', "line 1: unknown escape"),
    ('a = "\\u12"', "line 1: unknown escape"),
    ('a = "\\ud800"', "line 1: \\ud800 is no character"),
    ('a = "\\U99999999"', "is no character"),
    ('a = "\x01"', "line 1: control character"),
    ("[[a]]", "line 1: arrays of tables"),
    ("[a]\n[a]", "line 2: table [a] is there twice"),
    ("a = 1\na = 2", "line 2: key 'a' is there twice"),
    ("a = 1\n[a.b]", "line 2: 'a' is a value already"),
    ("a = [1 2]", "line 1: expected ','"),
    ("a = [1,\n", "line 2: expected a string"),
    ("a = {x = 1", "line 1: expected ','"),
    ("[a", "line 1: expected ']'"),
    ("= 1", "line 1: expected a key"),
    ("a = " + "[" * 5000, "line 1: more than 20"),
]


def test_reads_as_tomllib_does() -> None:
    tomllib = pytest.importorskip("tomllib", reason="tomllib came with Python 3.11")
    for text in DOCUMENTS + [(ROOT / "pyproject.toml").read_text(encoding="utf-8")]:
        assert toml_subset.loads(text) == tomllib.loads(text), text


def test_reads_without_tomllib() -> None:
    text = '[a]\nb = ["x", {c = true}] # d\ne.f = "\\u0041"\n'
    assert toml_subset.loads(text) == {"a": {"b": ["x", {"c": True}], "e": {"f": "A"}}}


@pytest.mark.parametrize("text, message", REFUSED)
def test_says_where_and_why_it_stops(text: str, message: str) -> None:
    with pytest.raises(toml_subset.TomlError) as caught:
        toml_subset.loads(text)
    assert message in str(caught.value)


def test_what_it_refuses_is_an_error_or_beyond_the_subset() -> None:
    tomllib = pytest.importorskip("tomllib", reason="tomllib came with Python 3.11")
    beyond = ("a = 1.5", "a = 2026-01-01", 'a = """x"""', "[[a]]")
    for text, _ in REFUSED[:-1]:
        if text in beyond:
            tomllib.loads(text)
        else:
            with pytest.raises(tomllib.TOMLDecodeError):
                tomllib.loads(text)
