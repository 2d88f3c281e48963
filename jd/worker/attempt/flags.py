"""Parameters of a job as command-line flags of its script.

Every JSON value survives a script that reads it with argparse. One limit remains: Python before
3.13 drops a value that is exactly `--`, in either form, before the option sees it.
"""

import json
from pathlib import Path
from typing import List, Mapping

from jd import protocol
from jd.worker.config import BASE_PATH_ALWAYS, BASE_PATH_NEVER

BASE_PATH = "base_path"
# A script is read this far to see whether it knows --base_path; no hand-written one is longer.
MAX_SOURCE_BYTES = 4 * 1024 * 1024


def as_text(value: object) -> str:
    """A parameter as one argument: strings as they are, everything else as JSON.

    Numbers come back exactly: `repr` of a float is the shortest text that gives the same float.
    """
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def flags(parameters: Mapping[str, object]) -> List[str]:
    """`--name value` for each parameter, in their order.

    A value that begins with `-` goes as `--name=value`: argparse takes a separate one for an
    option. Raises ProtocolError for a name that cannot be a flag.
    """
    arguments: List[str] = []
    for name, value in parameters.items():
        flag = "--" + protocol.check_parameter_name(name)
        text = as_text(value)
        if text.startswith("-"):
            arguments.append(flag + "=" + text)
        else:
            arguments += [flag, text]
    return arguments


def takes_base_path(script: Path, mode: str, parameters: Mapping[str, object]) -> bool:
    """Whether to add `--base_path <job directory>` (reference, section 3).

    `auto` adds it for scripts whose source mentions it, since others would stop at an unknown
    argument. A parameter of that name wins. Raises OSError when the script cannot be read.
    """
    if mode == BASE_PATH_NEVER or BASE_PATH in parameters:
        return False
    if mode == BASE_PATH_ALWAYS:
        return True
    with open(str(script), "rb") as source:
        return BASE_PATH.encode() in source.read(MAX_SOURCE_BYTES)
