"""A parameter as an override of Hydra: `name=value`, in the grammar of its command line.

https://hydra.cc/docs/advanced/override_grammar/basic/
"""

import json
import re
from typing import Dict, List, cast

from jd.protocol import ProtocolError, shown

# Without quotes it is a string, and means no interpolation, function or sweep.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_OTHER_THAN_STRINGS = ("true", "false", "null", "nan", "inf")


def override(name: str, value: object) -> str:
    """`name=value`. Raises ProtocolError for what the grammar cannot say."""
    return "%s=%s" % (name, _element(name, value))


def _element(name: str, value: object) -> str:
    if isinstance(value, str):
        return value if _is_plain(value) else _quoted(value)
    if isinstance(value, list):
        return "[%s]" % ",".join(_element(name, entry) for entry in cast(List[object], value))
    if isinstance(value, dict):
        return "{%s}" % ",".join("%s:%s" % (_key(name, key), _element(name, entry))
                                 for key, entry in cast(Dict[str, object], value).items())
    return json.dumps(value)  # numbers, true, false, null


def _is_plain(text: str) -> bool:
    return _PLAIN.fullmatch(text) is not None and text.lower() not in _OTHER_THAN_STRINGS


def _quoted(text: str) -> str:
    """In single quotes. Backslashes are doubled before a quote, and nowhere else."""
    return "'%s'" % re.sub(r"(\\*)('|\Z)", lambda found: found.group(1) * 2 + (
        "\\'" if found.group(2) else ""), text)


def _key(name: str, key: str) -> str:
    """The key of an object, which cannot stand in quotes."""
    if not _is_plain(key):
        raise ProtocolError("flags=hydra: parameter %s has the key %s, which Hydra's command line cannot "
                            "say; give it as a list, or read JD_JOB_PARAMETERS" % (name, shown(key)))
    return key
