"""`jd_worker_cli version`."""

import platform
import sys
from typing import Mapping

import jd
from jd import paths
from jd.cli.tokens import CommandLine, no_words


def run(line: CommandLine, environ: Mapping[str, str]) -> int:
    """Print package version, Python executable and cache root (reference, section 2)."""
    no_words(line)
    print("jd_worker_cli %s" % jd.__version__)
    print("Python %s  %s" % (platform.python_version(), sys.executable))
    print("cache  %s" % paths.cache_root(environ))
    return 0
