"""The caches of this user, in which the registries are: which experiments there are, without opening any.

Nearly every command asks this first, and most often there is none: so little is imported for it.
"""

from __future__ import annotations

import os

from jd import paths
from jd.errors import StorageError, UsageError
from jd.files import safedirs
from jd.protocol import is_experiment_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping


def experiments(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Experiments that have a directory in this user's cache, by name.

    Raises StorageError, UnsafePlace where somebody else could have put them there.
    """
    top = paths.cache_root(environ)
    root = top / ".cache"
    try:
        safedirs.check(root, safedirs.CACHE, top)
        return sorted(entry.name for entry in os.scandir(str(root))
                      if is_experiment_name(entry.name) and entry.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError("cannot read %s: %s" % (root, error.strerror)) from error


def others(environ: Mapping[str, str]) -> list[dict[str, str]]:
    """The surroundings of the cache that launches without JD_CACHE_PATH use, if that is another one."""
    without = {name: value for name, value in environ.items() if name != "JD_CACHE_PATH"}
    try:
        return [] if paths.cache_root(without) == paths.cache_root(environ) else [without]
    except UsageError:
        return []


def are_empty(environ: Mapping[str, str]) -> bool:
    """Whether there is no experiment in any. Raises StorageError, UnsafePlace."""
    return not any(experiments(cache) for cache in (environ, *others(environ)))
