"""Driving a sweep from Python: what `import jd` offers to programs that create jobs, wait and fetch results.

`session` knows the experiment and its server, and makes every call. Users reach the functions through `jd`;
other rooms take `session.Session` and pass it on.

The room is called like the function `jd.sweep(…)`, so it can be called as well.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jd.sweep.sweeps import Sweep


class _Room(ModuleType):
    def __call__(self, grid: Any, script: Any = None, **options: Any) -> "Sweep":
        from jd.sweep.sweeps import sweep

        return sweep(grid, script, **options)


sys.modules[__name__].__class__ = _Room
