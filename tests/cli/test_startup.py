"""What a command imports: whoever types it, or Tab, waits for that. None of it depends on the machine."""

import subprocess
import sys
from pathlib import Path
from typing import AbstractSet, List, Set

import pytest

from tests.net_client.keeper import Keeper
from tests.support import ROOT, free_env

# What takes a good part of the time that Python itself takes to start, by what it is for.
NETWORK = {"socket", "ssl", "http", "email", "urllib.request"}  # calls of a server
STORAGE = {"sqlite3"}  # registries
PROCESSES = {"subprocess", "threading", "asyncio", "shutil"}  # launches, and watching
SHAPES = {"dataclasses", "inspect", "typing"}  # the first brings the second; annotations need nothing
METADATA = {"importlib.metadata", "zipfile"}  # who else's package is installed, which a small file tells
ERRORS = {"difflib", "shlex", "jd.redaction"}  # what is said of a line that is wrong
TEXTS = {"re", "json", "textwrap", "platform", "pathlib", "urllib.parse"}
ALL = NETWORK | STORAGE | PROCESSES | SHAPES | METADATA | ERRORS | TEXTS


def imported(tmp_path: Path, code: str, **variables: object) -> Set[str]:
    """The modules that are there after a program; without `site`, where an installation may import more."""
    code = "import sys; %s; sys.stderr.write(' '.join(sys.modules))" % code
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True,
                          env=free_env(tmp_path, PYTHONPATH=ROOT, **variables), timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return set(done.stderr.decode().split())


def of_command(tmp_path: Path, *words: str) -> Set[str]:
    """The modules that the console script has imported at its end."""
    return imported(tmp_path, "sys.argv[1:] = %r; from jd.cli.__main__ import entry; "
                              "assert entry() == 0" % list(words))


@pytest.mark.parametrize("words, needed", [
    (["version"], set()),
    (["completion", "words", "wor"], set()),
    (["completion", "words", "expId=a", "server-info", "js"], set()),
    (["completion", "bash"], {"shlex", "re"}),
    (["help"], {"textwrap", "re"}),
    (["help", "stop"], {"textwrap", "re"}),
], ids=" ".join)
def test_commands_that_ask_nobody(tmp_path: Path, words: List[str], needed: AbstractSet[str]) -> None:
    assert of_command(tmp_path, *words) & ALL == needed


def test_commands_that_look_at_this_machine(tmp_path: Path) -> None:
    """They read registries, and no server is asked where no worker has died."""
    for line in (["expId=a", "worker-list"], ["exp-list"], ["completion", "words", "expId="]):
        assert of_command(tmp_path, *line) & (NETWORK | PROCESSES | METADATA | SHAPES) == set()


def test_commands_that_ask_a_server(tmp_path: Path) -> None:
    """TLS and proxies are for who has them, and all calls of a command share a connection."""
    with Keeper() as server:
        there = of_command(tmp_path, "expId=a", "server=" + server.url, "server-info")
    dear = NETWORK | METADATA | SHAPES | {"encodings.idna", "hmac", "random"}
    assert there & dear == {"socket"}
    assert "sqlite3" not in there, "there is no registry to clean up"
    assert server.asked == [(1, "GET"), (1, "GET")]


def test_garbage_is_looked_for_in_what_a_command_makes_alone(tmp_path: Path) -> None:
    there = imported(tmp_path, "sys.argv[1:] = ['exp-list']; from jd.cli.__main__ import entry; import gc; "
                               "entry(); assert gc.isenabled(); assert gc.get_freeze_count() > 5000")
    assert "jd.cli.commands.look.exp_list" in there


def test_the_library(tmp_path: Path) -> None:
    """Modules that jd itself imports at first use, and nothing of Python's that its own start leaves out."""
    alone = imported(tmp_path, "import os, __future__")
    assert imported(tmp_path, "import jd") - alone == {"jd"}
    in_job = imported(tmp_path, "import jd; jd.jd_job_dir()", JD_WORKER_JOB_DIR=tmp_path)
    assert in_job - imported(tmp_path, "import pathlib, importlib, __future__") == {
        "jd", "jd.script", "jd.script.directories"}
    tryout = imported(tmp_path, "import jd; jd.jd_job_dir()")
    assert tryout & NETWORK == set()
