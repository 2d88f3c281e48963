import subprocess
import sys

from tests.support import ROOT

_MEASURE = """
import sys
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
import jd
jd.__version__
dir(jd)
print(" ".join(sorted(set(sys.modules) - before)))
"""


def test_import_jd_costs_next_to_nothing() -> None:
    told = subprocess.run([sys.executable, "-S", "-I", "-c", _MEASURE, str(ROOT)],
                          stdout=subprocess.PIPE, check=True, timeout=60)
    added = set(told.stdout.decode().split())
    assert "jd" in added
    for dear in ("urllib", "urllib.request", "http", "http.client", "pathlib", "logging", "pickle",
                 "socket", "ssl", "json", "tempfile", "jd.settings", "jd.script.upload"):
        assert dear not in added
