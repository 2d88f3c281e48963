"""Parameters of a job as its script gets them: six ways, of which a launch or a sweep names one.

    json       --lr 0.1 --amp true --layers "[64, 32]"    every value survives `type=json.loads`
    switches   --lr 0.1 --amp --layers 64 32              store_true and nargs="+" of argparse
    python     --lr 0.1 --amp True --layers "[64, 32]"    str() of the value, as published clients have it
    hydra      lr=0.1 amp=true layers=[64,32]             `hydra` has its grammar
    env        variables JD_PARAM_LR, JD_PARAM_AMP, …     nothing on the command line
    none       nothing

JD_JOB_PARAMETERS has all of them in any case. One limit remains: Python before 3.13 drops a value that is
exactly `--`, in either form, before the option sees it.
"""

import json
import re
from decimal import Decimal
from typing import Callable, Dict, List, Mapping

from jd import protocol
from jd.protocol import ProtocolError
from jd.worker.attempt.calling import hydra
from jd.worker.config import BASE_PATH_ALWAYS, BASE_PATH_NEVER

BASE_PATH = "base_path"
# Those in which --base_path is an argument like the others.
WITH_BASE_PATH = (protocol.FLAGS_JSON, protocol.FLAGS_SWITCHES, protocol.FLAGS_PYTHON)

_VARIABLE = "JD_PARAM_"
# What argparse takes for a number and not for an option, in every version.
_NEGATIVE_NUMBER = re.compile(r"-\d+|-\d*\.\d+", re.ASCII)


def as_text(value: object) -> str:
    """A parameter as one argument: strings as they are, everything else as JSON.

    Numbers come back exactly: `repr` of a float is the shortest text that gives the same float.
    """
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def words(style: str, parameters: Mapping[str, object]) -> List[str]:
    """The words that carry the parameters, in their order.

    Raises ProtocolError for a name or a value that cannot be given so, and for a style that this version
    does not know.
    """
    if style not in protocol.FLAG_STYLES:
        raise ProtocolError("the sweep says flags=%s, which this version of jd_worker_cli does not know: "
                            "update it" % protocol.shown(style))
    one: Callable[[str, object], List[str]] = {
        protocol.FLAGS_JSON: lambda name, value: _flag(name, as_text(value)),
        # Two words, whatever the value: a sweep of both fleets is to look the same to its script in each.
        protocol.FLAGS_PYTHON: lambda name, value: ["--" + name, str(value)],
        protocol.FLAGS_SWITCHES: _switch,
        protocol.FLAGS_HYDRA: lambda name, value: [hydra.override(name, value)],
    }.get(style, lambda name, value: [])
    return [word for name, value in parameters.items()
            for word in one(protocol.check_parameter_name(name), value)]


def variables(style: str, parameters: Mapping[str, object]) -> Dict[str, str]:
    """With `env` a variable for each parameter but those that are null: strings as they are, everything
    else as JSON. Raises ProtocolError where two parameters would have the same variable.
    """
    if style != protocol.FLAGS_ENV:
        return {}
    names: Dict[str, str] = {}
    for name in parameters:
        variable = _VARIABLE + re.sub("[^A-Z0-9]", "_", name.upper(), flags=re.ASCII)
        if variable in names:
            raise ProtocolError("flags=env: parameters %s and %s would both be %s; rename one, or take "
                                "another flags=" % (names[variable], name, variable))
        names[variable] = name
    return {variable: as_text(parameters[name]) for variable, name in names.items()
            if parameters[name] is not None}


def is_variable(name: str) -> bool:
    """Whether a variable is one of a job's parameters; what is inherited of another job is not handed on."""
    return name.startswith(_VARIABLE)


def _flag(name: str, text: str) -> List[str]:
    """`--name text`; one that begins with `-` is not apart, or argparse would take it for an option."""
    return ["--%s=%s" % (name, text)] if text.startswith("-") else ["--" + name, text]


def _switch(name: str, value: object) -> List[str]:
    """True: the name alone; false and null: nothing; a list: its entries, each a word. An empty list is the
    name alone too: nargs="*" takes it, and nargs="+" refuses it aloud, while without the name the script's
    default would stand in its place."""
    if value is None or value is False:
        return []
    if value is True:
        return ["--" + name]
    if not isinstance(value, list):
        return _flag(name, as_text(value))
    if len(value) == 1:
        return _flag(name, _entry(value[0]))
    entries = [_entry(entry) for entry in value]
    for entry in entries:
        if entry.startswith("-") and not _NEGATIVE_NUMBER.fullmatch(entry):
            raise ProtocolError("flags=switches: in the list %s, %s begins with - and would be taken for an "
                                "option; take flags=json, or read JD_JOB_PARAMETERS" % (
                                    name, protocol.shown(entry)))
    return ["--" + name, *entries]


def _entry(value: object) -> str:
    """An entry of a list. argparse does not know -1e-05 for a number, so it is written out."""
    if isinstance(value, float) and value < 0:
        return format(Decimal(repr(value)), "f")
    return as_text(value)


def takes_base_path(source: bytes, mode: str, style: str, parameters: Mapping[str, object]) -> bool:
    """Whether to add `--base_path <job directory>` (reference, section 3).

    `auto` adds it for scripts whose source mentions it, since others would stop at an unknown
    argument. A parameter of that name wins. Where parameters are no `--name`, this is none either, nor by
    itself where they are as published clients give them: those add no such option.
    """
    if mode == BASE_PATH_NEVER or BASE_PATH in parameters or style not in WITH_BASE_PATH:
        return False
    return mode == BASE_PATH_ALWAYS or style != protocol.FLAGS_PYTHON and BASE_PATH.encode() in source
