"""A bundle as a user makes it, and the commands of docs/air-gapped.md."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Dict, List

from jd.dist import contents
from tests.support import ROOT, free_env

PAGE = ROOT / "docs" / "air-gapped.md"
SWEEP = "docs/examples/digits-tune/sweep.json"
# The demo takes a minute with its own sweep; this one has three jobs.
QUICK = {"epochs": [1], "hidden": [2, 4, 6], "batch": [64]}
JOBS = 3


def commands(section: str) -> str:
    """The shell commands of a section of the page, in order, as they stand there."""
    text = PAGE.read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    body = dict(zip(parts[1::2], parts[2::2]))[section]
    return "".join(re.findall(r"^```bash\n(.*?)^```$", body, flags=re.MULTILINE | re.DOTALL))


def copy_with_quick_demo(into: Path) -> Path:
    """This checkout, with a shorter sweep for the demo."""
    for name in contents.source_files(ROOT):
        path = into / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents.read_bytes(ROOT, name))
    (into / SWEEP).write_text(json.dumps(QUICK))
    return into


def shell(script: str, cwd: Path, environ: Dict[str, str], before: List[str], timeout: float) -> str:
    """Run commands in one shell that ends at the first failure; what all of them printed."""
    done = subprocess.run(before + ["sh", "-eux", "-c", script], cwd=str(cwd), env=environ, timeout=timeout,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, said
    return said


def plain_environment(directory: Path) -> Dict[str, str]:
    """What a login shell has: nothing of JobDistributor's, and no checkout on PYTHONPATH."""
    return free_env(directory, PYTHONPATH=None, JD_WORKSPACE_PATH=None, JD_CACHE_PATH=None,
                    TMPDIR=directory, PIP_CONFIG_FILE=os.devnull, PIP_DISABLE_PIP_VERSION_CHECK="1")
