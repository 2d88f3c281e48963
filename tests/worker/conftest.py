from pathlib import Path
from typing import Dict

import pytest

from jd.node.identity import Here
from jd.worker.local.registry import Registry
from tests.support import free_env


@pytest.fixture
def environ(tmp_path: Path) -> Dict[str, str]:
    """An environment with a home of its own."""
    return free_env(tmp_path)


@pytest.fixture
def registry(environ: Dict[str, str]) -> Registry:
    """The registry of experiment `exp` there."""
    return Registry("exp", environ)


@pytest.fixture
def here() -> Here:
    """This machine, under a name that tests know."""
    return Here("gpunode")
