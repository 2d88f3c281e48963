"""`{job_dir}` and the like in the values of parameters, filled in for the attempt that gets them.

So a script that only takes the name of its output file can be given one of its job: `{job_dir}/model.txt`.
Four names are filled in, in strings, also in those within lists and objects; whatever else stands in braces
stays as it is, and so does `${job_dir}`, which is of a shell or a configuration file. `{{job_dir}}` becomes
`{job_dir}`. What the server keeps is as it was written.
"""

import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from jd.messages import Assignment

_NAMES = "job_dir|job_id|attempt|exp_id"
_PLACEHOLDER = re.compile(r"\{\{(%s)\}\}|(?<!\$)\{(%s)\}" % (_NAMES, _NAMES))


def filled(assignment: Assignment, experiment: str, job_dir: Path) -> Assignment:
    """The job with the values of its parameters as its script gets them.

    A server of the base protocol counts no attempts: there each is the first.
    """
    values = _values(assignment, experiment, job_dir)
    return assignment._replace(parameters={
        name: _filled(value, values) for name, value in assignment.parameters.items()})


def filled_words(words: Sequence[str], assignment: Assignment, experiment: str, job_dir: Path) -> List[str]:
    """Words of its command line, likewise."""
    values = _values(assignment, experiment, job_dir)
    return [_filled(word, values) for word in words]


def _values(assignment: Assignment, experiment: str, job_dir: Path) -> Dict[str, str]:
    return {"job_dir": str(job_dir), "job_id": str(assignment.job_id), "exp_id": experiment,
            "attempt": str(assignment.attempt or 1)}


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _PLACEHOLDER.sub(
            lambda found: "{%s}" % found.group(1) if found.group(1) else values[found.group(2)], value)
    if isinstance(value, list):
        return [_filled(inner, values) for inner in value]
    if isinstance(value, dict):
        return {name: _filled(inner, values) for name, inner in value.items()}
    return value
