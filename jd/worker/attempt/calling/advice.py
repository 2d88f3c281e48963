"""What to do where a script refuses its parameters as they are given, or takes them for something else."""

import re
from typing import Mapping

from jd.protocol import FLAGS_HYDRA, FLAGS_JSON, FLAGS_PYTHON, FLAGS_SWITCHES
from jd.worker.attempt.calling import flags
from jd.worker.verdict import Ended

_IMPORTS_HYDRA = re.compile(rb"^[ \t]*(?:import|from)[ \t]+hydra\b", re.MULTILINE)
_HYDRA_HELP = "[--hydra-help]"  # in what an application of Hydra says of its usage
_NOT_IN_CONFIG = re.compile(r"^Could not override '([^'\n]+)'", re.MULTILINE)
_UNRECOGNIZED = "unrecognized arguments: "
_ONE_ARGUMENT = re.compile(r"argument --(\S+?): expected one argument")
_TEXT_IS_TRUE = r"""["']--%s["'][^()]*\btype\s*=\s*bool\b"""
# Switches that are on by default, of argparse, click, typer and absl, and the option that switches each off.
_ON_BY_DEFAULT = (
    (r"""["']--%s["'](?=[^()]*\bBooleanOptionalAction\b)[^()]*\bdefault\s*=\s*True\b""", "no-%s"),
    (r"""["']--%s/--no-%s["'][^()]*\bdefault\s*=\s*True\b""", "no-%s"),
    (r"""^[ \t]*(?:import|from)[ \t]+typer\b[\s\S]*\b%s\s*:\s*bool\s*=\s*(?:typer\.Option\(\s*)?True\b""",
     "no-%s"),
    (r"""\bDEFINE_bool(?:ean)?\(\s*["']%s["']\s*,\s*True\b""", "no%s"),
)
# The styles in which true is a word of its own.
_WITH_WORDS = (FLAGS_JSON, FLAGS_PYTHON)
_MAX_SHOWN = 60


def beforehand(style: str, parameters: Mapping[str, object], source: bytes) -> str:
    """What a job's history is to say although the script may succeed: that it takes false for true, or is
    not told of it."""
    for name, value in parameters.items():
        if style == FLAGS_SWITCHES and value is False:
            off = _name_for_off(name, source)
            if off:
                return ("the script has --%s on by default, and flags=switches gives nothing for false: "
                        "name the parameter %s, and true switches it off" % (name, off))
        if style in _WITH_WORDS and (value is None or value is False):
            pattern = _TEXT_IS_TRUE % re.escape(name)
            if re.search(pattern.encode(), source) is not None:
                return ("the script has type=bool for --%s, which takes every text for true, %s too: write "
                        "action=\"store_true\" and start workers with flags=switches" % (
                            name, " ".join(flags.words(style, {name: value})[1:])))
    return ""


def afterwards(style: str, parameters: Mapping[str, object], ended: Ended, source: bytes) -> str:
    """Which setting to try for a script that has refused its arguments; nothing where no other one helps."""
    if ended.exit_code <= 0:
        return ""
    if _IMPORTS_HYDRA.search(source) is not None or _HYDRA_HELP in ended.tail:
        return _of_hydra(style, ended)
    if not (ended.misused or _UNRECOGNIZED in ended.tail):
        return ""
    if style == FLAGS_SWITCHES:
        return _of_switches(parameters, ended.tail)
    apart = _of_python(parameters, ended.tail) if style == FLAGS_PYTHON else ""
    if apart:
        return apart
    name = next((name for name, value in parameters.items()
                 if value is None or isinstance(value, (bool, list))), None)
    if name is None or style not in _WITH_WORDS:
        return ""
    return ("it was given %s: flags=switches gives --name for true, nothing for false and null, and several "
            "words for a list" % _shown(" ".join(flags.words(style, {name: parameters[name]}))))


def _name_for_off(name: str, source: bytes) -> str:
    """The option that switches `name` off, if that is on by default; else nothing."""
    for pattern, off in _ON_BY_DEFAULT:
        if re.search(pattern.replace("%s", re.escape(name)).encode(), source, re.MULTILINE) is not None:
            return off % name
    return ""


def _of_hydra(style: str, ended: Ended) -> str:
    unknown = _NOT_IN_CONFIG.search(ended.tail)
    if style != FLAGS_HYDRA:
        if ended.misused or unknown is not None or _UNRECOGNIZED in ended.tail:
            return "it uses Hydra: flags=hydra gives parameters as name=value"
    elif unknown is not None:
        return "the script's config has no {0}: args=\"+{0}=null\" adds it".format(_shown(unknown.group(1)))
    return ""


def _of_switches(parameters: Mapping[str, object], tail: str) -> str:
    found = _ONE_ARGUMENT.search(tail)
    if found is None or parameters.get(found.group(1)) is not True:
        return ""
    return "flags=json gives --{0} true, and flags=python --{0} True".format(_shown(found.group(1)))


def _of_python(parameters: Mapping[str, object], tail: str) -> str:
    """Published clients have the value apart, where argparse takes `-1e-05` and `-x` for options."""
    found = _ONE_ARGUMENT.search(tail)
    value = None if found is None else parameters.get(found.group(1))
    if found is None or not str(value).startswith("-"):
        return ""
    return "flags=json gives --%s" % _shown("%s=%s" % (found.group(1), flags.as_text(value)))


def _shown(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN - 1] + "…"
