"""The paths of files that were fetched: a sequence that is small, as there may be millions of them."""

from array import array
from pathlib import Path
from typing import Dict, Iterable, List, Sequence, Union, overload


class Fetched(Sequence[Path]):
    """The paths below `root`, by job and name."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._jobs = array("q")
        self._names = array("i")  # places in `_known`
        self._known: List[str] = []  # jobs have the same names, mostly
        self._places: Dict[str, int] = {}

    def add(self, job_id: int, names: Iterable[str]) -> None:
        """The files of one more job."""
        for name in names:
            place = self._places.setdefault(name, len(self._known))
            if place == len(self._known):
                self._known.append(name)
            self._jobs.append(job_id)
            self._names.append(place)

    def sort(self) -> None:
        """Put them into the order of jobs, of one job into that of names."""
        order = sorted(range(len(self._jobs)), key=lambda at: (self._jobs[at], self._known[self._names[at]]))
        self._jobs = array("q", (self._jobs[at] for at in order))
        self._names = array("i", (self._names[at] for at in order))

    def __len__(self) -> int:
        return len(self._jobs)

    @overload
    def __getitem__(self, place: int) -> Path: ...

    @overload
    def __getitem__(self, place: slice) -> List[Path]: ...

    def __getitem__(self, place: Union[int, slice]) -> Union[Path, List[Path]]:
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        return self._root / str(self._jobs[place]) / self._known[self._names[place]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (list, Fetched)) and list(self) == list(other)

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return "[%s%s]" % (shown, ", … %d files" % len(self) if len(self) > 3 else "")
