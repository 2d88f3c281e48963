"""What a job's history says of a script that does not take its parameters as they were given."""

from typing import Any, Dict

import pytest

from jd.worker.attempt.calling import advice
from jd.worker.verdict import Ended

UNKNOWN = "usage: x\nx: error: unrecognized arguments: "
HYDRA = b"import os\nimport hydra\n"


@pytest.mark.parametrize("style, parameters, exit_code, runtime, tail, source, said", [
    ("json", {"lr": 1, "amp": True}, 2, 0.1, UNKNOWN + "true", b"", "given --amp true: flags=switches"),
    ("python", {"amp": False}, 2, 0.1, "", b"", "given --amp False: flags=switches"),
    ("json", {"layers": [64, 32]}, 2, 0.1, "", b"", "given --layers [64, 32]: flags=switches"),
    ("json", {"lr": None}, 2, 0.1, "", b"", "given --lr null: flags=switches"),
    ("json", {"amp": True}, 1, 99.0, UNKNOWN + "--amp true", b"", "flags=switches"),  # by a shell around it
    ("json", {"lr": 1, "name": "x"}, 2, 0.1, UNKNOWN + "--lr 1", b"", ""),
    ("json", {"amp": True}, 1, 0.1, "Traceback", b"", ""),
    ("json", {"amp": True}, 2, 99.0, "", b"", ""),
    ("json", {"amp": True}, 0, 0.1, UNKNOWN, b"", ""),
    ("switches", {"amp": True}, 2, 0.1, UNKNOWN + "--amp", b"", ""),
    ("switches", {"amp": True}, 2, 0.1, "x: error: argument --amp: expected one argument", b"",
     "flags=json gives --amp true"),
    ("python", {"lr": -1e-05, "amp": True}, 2, 0.1, "x: error: argument --lr: expected one argument", b"",
     "flags=json gives --lr=-1e-05"),
    ("python", {"lr": 1, "amp": True}, 2, 0.1, "x: error: argument --lr: expected one argument", b"",
     "given --amp True"),
    ("switches", {"amp": 1}, 2, 0.1, "x: error: argument --lr: expected one argument", b"", ""),
    ("json", {"lr": 1}, 2, 0.1, UNKNOWN + "--lr", HYDRA, "flags=hydra"),
    ("json", {"lr": 1}, 2, 0.1, "usage: x [--help] [--hydra-help]", b"#!/bin/sh", "flags=hydra"),
    ("json", {"lr": 1}, 1, 0.1, "Could not override 'lr'.\n", HYDRA, "flags=hydra"),
    ("json", {"lr": 1}, 1, 9.0, "Traceback", HYDRA, ""),
    ("hydra", {"lr": 1}, 1, 9.0, "Could not override 'lr'.\nTo append", HYDRA, 'args="+lr=null" adds it'),
    ("hydra", {"lr": True}, 2, 0.1, UNKNOWN + "lr=true", b"", ""),
    ("none", {"lr": True}, 2, 0.1, "", b"", ""),
])
def test_what_to_try(style: str, parameters: Dict[str, Any], exit_code: int, runtime: float, tail: str,
                     source: bytes, said: str) -> None:
    found = advice.afterwards(style, parameters, Ended(exit_code, runtime, tail), source)
    assert said in found and bool(said) == bool(found)


TYPE_BOOL = b"""p.add_argument('--amp', type = bool, help="x"); p.add_argument("--lr", type=float)"""


@pytest.mark.parametrize("style, parameters, said", [
    ("json", {"amp": False}, "takes every text for true, false too"),
    ("python", {"amp": False}, "takes every text for true, False too"),
    ("json", {"amp": None}, "null too"), ("json", {"amp": True}, ""), ("json", {"amp": 0}, ""),
    ("json", {"lr": False}, ""), ("switches", {"amp": False}, ""), ("json", {"other": False}, ""),
])
def test_false_that_a_script_takes_for_true(style: str, parameters: Dict[str, Any], said: str) -> None:
    found = advice.beforehand(style, parameters, TYPE_BOOL)
    assert said in found and bool(said) == bool(found)


@pytest.mark.parametrize("source, said", [
    ('p.add_argument("--amp", default=True, action=argparse.BooleanOptionalAction)', "no-amp"),
    ('@click.option("--amp/--no-amp", default=True)', "no-amp"),
    ("import typer\ndef main(lr: float = 0.1,\n         amp: bool = True): ...", "no-amp"),
    ('flags.DEFINE_boolean(\n  "amp", True, "")', "noamp"),
    ('p.add_argument("--amp", action="store_true")', ""), ("def main(amp: bool = False): ...", ""),
    ("import argparse\ndef main(amp: bool = True): ...", ""), ('flags.DEFINE_bool("amp", False, "")', ""),
    ('@click.option("--amp/--no-amp", default=False)', ""),
    ('@click.option("--other/--no-other", default=True)', ""),
])
def test_false_that_leaves_a_switch_on(source: str, said: str) -> None:
    found = advice.beforehand("switches", {"lr": 1, "amp": False}, source.encode())
    assert said in found and bool(said) == bool(found)
    assert advice.beforehand("switches", {"amp": True, "x": None}, source.encode()) == ""


def test_a_long_value_is_cut() -> None:
    found = advice.afterwards("json", {"layers": list(range(1000))}, Ended(2, 0.1), b"")
    assert len(found) < 250 and "…" in found
