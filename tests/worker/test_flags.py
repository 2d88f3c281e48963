"""Parameters as flags: what a script's argparse gets is what the sweep said."""

import json
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import pytest

from jd.protocol import ProtocolError
from jd.worker.attempt import flags
from tests.support import free_env, python

SCRIPT = """
import argparse, json, sys
parser = argparse.ArgumentParser()
for name in json.loads(sys.argv[1]):
    parser.add_argument("--" + name)
values = vars(parser.parse_args(sys.argv[2:]))
sys.stdout.buffer.write(json.dumps(values).encode("ascii"))
"""

STRINGS = {
    "plain": "adam", "empty": "", "space": "two words", "quotes": "a'b\"c", "newline": "a\nb\n",
    "unicode": "größe 学習率 🚀", "dash": "-x", "dashes": "--lr", "negative": "-3", "equals": "a=b",
    "dash_equals": "--a=b", "glob": "*.py", "dollar": "$HOME `id`", "percent": "%s", "at": "@file",
    "minus": "-", "tab": "\t", "long": "x" * 60000,
}
VALUES = {
    "yes": True, "no": False, "null": None, "whole": 7, "negative": -7, "big": 2 ** 63 + 1,
    "tenth": 0.1, "tiny": 5e-324, "third": -1 / 3, "exponent": 1e300,
    "list": [1, -2, "a b"], "nested": {"a": {"b": [None, True, "ü"]}}, "empty_list": [],
}


def parsed(tmp_path: Path, parameters: Dict[str, Any]) -> Dict[str, str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    output = subprocess.check_output(
        python(script, json.dumps(list(parameters)), *flags.flags(parameters)),
        env=free_env(tmp_path))
    read: Dict[str, str] = json.loads(output.decode("ascii"))
    return read


def test_strings_survive_argparse(tmp_path: Path) -> None:
    assert parsed(tmp_path, STRINGS) == STRINGS


def test_other_values_survive_as_json(tmp_path: Path) -> None:
    received = parsed(tmp_path, VALUES)
    assert {name: json.loads(text) for name, text in received.items()} == VALUES


@pytest.mark.parametrize("value, text", [
    (True, "true"), (None, "null"), (0.1, "0.1"), (1e-05, "1e-05"), ([1, 2], "[1, 2]"),
    ({"a": "ü"}, '{"a": "ü"}'), ("1", "1"), (10 ** 20, "100000000000000000000"),
])
def test_text_of_a_value(value: Any, text: str) -> None:
    assert flags.as_text(value) == text


@pytest.mark.parametrize("parameters, expected", [
    ({"lr": 0.1, "name": "a b"}, ["--lr", "0.1", "--name", "a b"]),
    ({"lr": -0.1}, ["--lr=-0.1"]),
    ({}, []),
])
def test_form(parameters: Dict[str, Any], expected: List[str]) -> None:
    assert flags.flags(parameters) == expected


@pytest.mark.parametrize("name", ["", "-x", "a b", "a=b", "help"])
def test_a_name_that_cannot_be_a_flag(name: str) -> None:
    with pytest.raises(ProtocolError):
        flags.flags({name: 1})


@pytest.mark.parametrize("source, mode, parameters, expected", [
    ("parser.add_argument('--base_path')", "auto", {}, True),
    ("print(1)", "auto", {}, False),
    ("print(1)", "always", {}, True),
    ("parser.add_argument('--base_path')", "never", {}, False),
    ("parser.add_argument('--base_path')", "auto", {"base_path": "x"}, False),
    ("print(1)", "always", {"base_path": "x"}, False),
])
def test_base_path(tmp_path: Path, source: str, mode: str, parameters: Dict[str, Any],
                   expected: bool) -> None:
    script = tmp_path / "script.py"
    script.write_text(source)
    assert flags.takes_base_path(script, mode, parameters) is expected
