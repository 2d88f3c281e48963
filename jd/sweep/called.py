"""What a job of a mapped function runs: that function. Its answer becomes the result of the job."""

import importlib
import json
import os
from typing import Any, Mapping

from jd.script.directories import jd_job_dir
from jd.script.upload import jd_upload

NAME = "result.json"


def run(module: str, name: str) -> None:
    """Call the function, and upload what it returns, unless that is None. Raises what it raises, and
    TypeError for what JSON has no place for."""
    function: Any = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    answer = function(**json.loads(os.environ["JD_JOB_PARAMETERS"]))
    if answer is not None:
        path = jd_job_dir() / NAME
        path.write_text(json.dumps(answer if isinstance(answer, Mapping) else {"value": answer},
                                   default=_plain), encoding="utf-8")
        jd_upload(path)


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy and the like are those of Python, other mappings dictionaries."""
    if isinstance(value, Mapping):
        return dict(value)
    if callable(getattr(value, "tolist", None)):
        return value.tolist()
    raise TypeError("what the function returned has %s in it, which JSON has no place for"
                    % type(value).__name__)
