"""A launch is stored whole: what `restart` and `scale` start is what was started."""

import json
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest

from jd.worker.config import WorkerConfig, from_json, with_absolute_paths
from jd.worker.snapshot import Snapshot

NEVER_STORED = ("place", "grant", "environ")
STORED = [field for field in fields(WorkerConfig) if field.name not in NEVER_STORED]
PLAIN = WorkerConfig("digits", Path("/launch/train.py"), "http://host:5000", environ={},
                     directory=Path("/launch"))


def other(kind: Any, value: Any) -> Any:
    """A value of the same type that is not the default."""
    known: Dict[Any, Any] = {bool: not value, int: 7, float: 7.5, str: "other", Path: Path("/other"),
                             Tuple[str, ...]: ("a", "b-c"), Tuple[int, int]: (7, 8),
                             Snapshot: Snapshot(Path("/of/a"), Path("/of"), Path("/copy"), "h")}
    wanted = [part for part in getattr(kind, "__args__", ()) if part is not type(None)]
    return known[kind] if kind in known else known[wanted[0]]


@pytest.mark.parametrize("field", STORED, ids=[field.name for field in STORED])
def test_every_argument_survives_the_registry(field: "Field[Any]") -> None:
    default = None if field.default is MISSING else field.default
    launched = replace(PLAIN, **{field.name: other(field.type, default)})
    assert launched != PLAIN
    assert from_json(json.loads(json.dumps(launched.to_json())), {}) == launched


@pytest.mark.parametrize("name, given, expected", [
    ("JD_ENTRY_SCRIPT", "train.py", "/launch/train.py"), ("JD_ENTRY_SCRIPT", "-m pkg.train", "-m pkg.train"),
    ("JD_PYTHON", "env/bin/python", "/launch/env/bin/python"), ("JD_PYTHON", "python3.11", "python3.11"),
    ("JD_LOG_DIR", "logs", "/launch/logs"), ("JD_LOG_DIR", "~/logs", "~/logs"),
    ("JD_ARGS", "a/b", "a/b"),
])
def test_variables_that_are_paths_mean_the_same_elsewhere(name: str, given: str, expected: str) -> None:
    assert with_absolute_paths({name: given}, Path("/launch")) == {name: expected}
