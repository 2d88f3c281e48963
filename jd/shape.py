"""What data between files is made of where a command that is typed imports it: `dataclasses`, which brings
`inspect`, takes half the time of Python's own start, and half a millisecond more for each class.
`typing` brings `re`, and takes twice as long as `NamedTuple` here for each class."""

from __future__ import annotations

import collections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
    from typing import TypeVar

    S = TypeVar("S", bound="Shape")
else:
    class _Named(type):
        """Makes a tuple with names of a class that annotates them, as `typing.NamedTuple` does."""

        def __new__(cls, name, bases, body):
            fields = body.pop("__annotations__", {})
            defaults = [body.pop(field) for field in fields if field in body]
            made = collections.namedtuple(name, fields, defaults=defaults, module=body.pop("__module__"))
            for beside, value in body.items():
                setattr(made, beside, value)
            return made

    NamedTuple = type.__new__(_Named, "NamedTuple", (), {})


class Shape:
    """Values under names that `__init__` gives them, and nobody changes. Equal are those with equal values,
    `_BESIDE` aside, and what is in `_SECRET` is not shown."""

    _BESIDE: tuple[str, ...] = ()
    _SECRET: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(tuple(self._compared().values()))

    def __repr__(self) -> str:
        shown = ["%s=%r" % field for field in vars(self).items() if field[0] not in self._SECRET]
        return "%s(%s)" % (type(self).__name__, ", ".join(shown))

    def but(self: S, **values: object) -> S:
        """The same with other values under these names."""
        return type(self)(**dict(vars(self), **values))

    def _compared(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name not in self._BESIDE}
