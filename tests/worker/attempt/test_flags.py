"""Parameters as flags: what a script's argparse gets is what the sweep said."""

import json
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import pytest

from jd.protocol import ProtocolError
from jd.worker.attempt.calling import flags
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
        python(script, json.dumps(list(parameters)), *flags.words("json", parameters)),
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
    assert flags.words("json", parameters) == expected


@pytest.mark.parametrize("name", ["", "-x", "a b", "a=b", "help"])
def test_a_name_that_cannot_be_a_flag(name: str) -> None:
    with pytest.raises(ProtocolError):
        flags.words("json", {name: 1})


@pytest.mark.parametrize("style", ["json", "switches"])
@pytest.mark.parametrize("source, mode, parameters, expected", [
    (b"parser.add_argument('--base_path')", "auto", {}, True),
    (b"print(1)", "auto", {}, False),
    (b"print(1)", "always", {}, True),
    (b"parser.add_argument('--base_path')", "never", {}, False),
    (b"parser.add_argument('--base_path')", "auto", {"base_path": "x"}, False),
    (b"print(1)", "always", {"base_path": "x"}, False),
])
def test_base_path(source: bytes, mode: str, style: str, parameters: Dict[str, Any], expected: bool) -> None:
    assert flags.takes_base_path(source, mode, style, parameters) is expected


def test_published_clients_add_no_base_path() -> None:
    assert not flags.takes_base_path(b"base_path", "auto", "python", {})
    assert flags.takes_base_path(b"print(1)", "always", "python", {})
    assert not flags.takes_base_path(b"base_path", "always", "python", {"base_path": "x"})


@pytest.mark.parametrize("style", ["hydra", "env", "none"])
def test_no_base_path_where_parameters_are_no_options(style: str) -> None:
    assert not flags.takes_base_path(b"base_path", "always", style, {})


# ---- the other styles

NARGS = """
import argparse, json, sys
parser = argparse.ArgumentParser()
parser.add_argument("--amp", action="store_true")
parser.add_argument("--layers", type=int, nargs="*", default=[1])
parser.add_argument("--betas", type=float, nargs="+")
parser.add_argument("--names", nargs="+")
parser.add_argument("--opt.lr", type=float, default=3.5)
parser.add_argument("--tag-name")
print(json.dumps(vars(parser.parse_args())))
"""


def switched(tmp_path: Path, parameters: Dict[str, Any]) -> Dict[str, Any]:
    """What argparse's usual idioms make of parameters, without what was not given."""
    script = tmp_path / "script.py"
    script.write_text(NARGS)
    output = subprocess.check_output(python(script, *flags.words("switches", parameters)),
                                     env=free_env(tmp_path))
    defaults = {"amp": False, "layers": [1], "betas": None, "names": None, "opt.lr": 3.5, "tag_name": None}
    return {name: value for name, value in json.loads(output).items() if defaults[name] != value}


@pytest.mark.parametrize("parameters", [
    {"amp": True}, {"layers": [64, 32]}, {"layers": [-1, 2]}, {"layers": []},
    {"betas": [-1e-05, -0.5, 1e300]},
    {"names": ["", "a b", "-3"]}, {"names": ["-x"]}, {"opt.lr": -1e-05}, {"tag_name": "-x"},
    {"layers": [64], "amp": True, "names": ["a"], "tag_name": ""},
])
def test_switches_and_lists_reach_argparse(tmp_path: Path, parameters: Dict[str, Any]) -> None:
    given = {name.replace("tag_name", "tag-name"): value for name, value in parameters.items()}
    assert switched(tmp_path, given) == parameters


def test_false_and_null_leave_the_default_of_the_script(tmp_path: Path) -> None:
    assert switched(tmp_path, {"amp": False, "layers": None, "opt.lr": None}) == {}


@pytest.mark.parametrize("style, parameters, expected", [
    ("switches", {"a": [[1, 2], {"b": 1}, None, True]}, ["--a", "[1, 2]", '{"b": 1}', "null", "true"]),
    ("switches", {"a": {"b": [1]}}, ["--a", '{"b": [1]}']),
    ("switches", {"a": -1, "b": "-x", "c": ["-x"]}, ["--a=-1", "--b=-x", "--c=-x"]),
    # What published clients gave for these, word by word.
    ("python", {"b": None, "a": True, "c": [1, "a"], "d": 1e-05, "e": "x y", "f": -1,
                "g": {"h": False, "u": "é"}, "i": "-z", "j": "", "k": 1e22, "l": 1.0, "m": [-1.5, True],
                "n": 12345678901234567890123},
     ["--b", "None", "--a", "True", "--c", "[1, 'a']", "--d", "1e-05", "--e", "x y", "--f", "-1",
      "--g", "{'h': False, 'u': 'é'}", "--i", "-z", "--j", "", "--k", "1e+22", "--l", "1.0",
      "--m", "[-1.5, True]", "--n", "12345678901234567890123"]),
    ("hydra", {"lr": 0.1, "opt.lr": -1e-05, "a-b": "adam", "amp": True, "seed": None,
               "x": [1, [True, "a b"]]},
     ["lr=0.1", "opt.lr=-1e-05", "a-b=adam", "amp=true", "seed=null", "x=[1,[true,'a b']]"]),
    ("hydra", {"a": "1", "b": "true", "c": "Null", "d": "", "e": "a,b", "f": "it's", "g": "x\\", "h": "\\'"},
     ["a='1'", "b='true'", "c='Null'", "d=''", "e='a,b'", "f='it\\'s'", "g='x\\\\'", "h='\\\\\\''"]),
    ("hydra", {"a": "x\\y", "b": "x\\\n", "c": "data/x.csv", "d": "größe", "e": {"k": [1], "l": "1"},
               "f": []},
     ["a='x\\y'", "b='x\\\n'", "c=data/x.csv", "d='größe'", "e={k:[1],l:'1'}", "f=[]"]),
    ("env", {"a": 1}, []),
    ("none", {"a": True, "b": [1]}, []),
])
def test_words_of_each_style(style: str, parameters: Dict[str, Any], expected: List[str]) -> None:
    assert flags.words(style, parameters) == expected


@pytest.mark.parametrize("style, parameters, said", [
    ("switches", {"names": ["a", "-x"]}, "'-x' begins with -"),
    ("switches", {"names": ["--", "a"]}, "flags=json"),
    ("hydra", {"a": {"b c": 1}}, "'b c'"),
    ("hydra", {"a": {"1": 1}}, "key '1'"),
    ("later", {"a": 1}, "flags='later'.*update"),
])
def test_what_a_style_cannot_say(style: str, parameters: Dict[str, Any], said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        flags.words(style, parameters)


def test_variables_of_parameters() -> None:
    parameters = {"lr": 0.1, "opt.name": "a b", "Größe": True, "seed": None, "x-1": [1], "empty": ""}
    assert flags.variables("env", parameters) == {
        "JD_PARAM_LR": "0.1", "JD_PARAM_OPT_NAME": "a b", "JD_PARAM_GR_SSE": "true", "JD_PARAM_X_1": "[1]",
        "JD_PARAM_EMPTY": ""}
    assert flags.variables("json", parameters) == {}


def test_two_parameters_of_one_variable() -> None:
    with pytest.raises(ProtocolError, match="a-b and A.B would both be JD_PARAM_A_B"):
        flags.variables("env", {"a-b": None, "A.B": 1})
