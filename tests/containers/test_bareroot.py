"""What tests/bareroot.py promises the tests that use it."""

import os
from pathlib import Path

import pytest

from tests.bareroot import end, enter, first_process, needs_bare_root
from tests.support import wait_until


@pytest.mark.slow
@needs_bare_root
@pytest.mark.parametrize("user", ["0:0", "34567:34567"])
def test_nothing_outlives_its_end(bare_root: Path, user: str) -> None:
    process = enter(bare_root, ["sh", "-c", "sleep 1000 & wait"], user=user, read_only=True)
    pid = first_process(process)
    children = Path("/proc/%d/task/%d/children" % (pid, pid))
    sleeping = int(wait_until(lambda: children.read_text().split(), message="its child")[0])
    end(process)
    wait_until(lambda: not os.path.exists("/proc/%d" % pid) and not os.path.exists("/proc/%d" % sleeping))
