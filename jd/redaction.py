"""What looks like a key or token is not repeated in messages: an error after one was typed in the wrong
place ends up in a log, or on a screen that others see.
"""

import re

# jd_ and 40 letters and digits, or the most of it.
_API_KEY = re.compile(r"jd_[A-Za-z0-9]{12,}")
_SIGNED = re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*){0,2}", re.ASCII)
# A word by itself: the parts of paths and host names are none.
_LONG = re.compile(r"(?<![\w./@~-])[\w-]{32,}(?![\w./@-]|:\S)", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]+")
_KINDS = ((re.compile("[A-Z]"), "A"), (re.compile("[a-z]"), "a"), (re.compile("[0-9]"), "0"))
_CHANGES = 0.45  # of chance two in three, of names fewer: they consist of words


def hidden(text: str) -> str:
    """`text` without API keys (jd_...), tokens of a Hub (eyJ...) and words that chance has made (...)."""
    text = _SIGNED.sub("eyJ...", _API_KEY.sub("jd_...", text))
    return _LONG.sub(lambda match: "..." if _by_chance(match.group()) else match.group(), text)


def _by_chance(word: str) -> bool:
    if _HEX.fullmatch(word):
        return True
    kinds = word
    for pattern, kind in _KINDS:
        kinds = pattern.sub(kind, kinds)
    return sum(a != b for a, b in zip(kinds, kinds[1:])) >= _CHANGES * len(word)
