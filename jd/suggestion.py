"""What a person may have meant who typed a name that does not exist."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `word`, whatever the case, `-` and `_`; None if none is."""
    import difflib  # what is typed right needs no suggestion
    plain = {_plain(name): name for name in known}
    found = difflib.get_close_matches(_plain(word), list(plain), n=1, cutoff=0.7)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
