"""All benchmarks, one after the other, and one table of what they found: `make bench`.

`make bench ONLY="startup store"` runs those two, as does `python -m tests.bench.run startup store`. Each is a
program of its own, `bench_NAME.py`, and says with `--help` what it measures and what can be set. With
`make bench AGAINST=DIRECTORY` some have the server of another checkout beside that of this one.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence

from tests.bench import rows

HERE = Path(__file__).resolve().parent
COMPARING = ("create", "fleet", "requests", "upload")


def names() -> List[str]:
    """Of all benchmarks."""
    return sorted(path.stem[len("bench_"):] for path in HERE.glob("bench_*.py"))


def run(name: str, scratch: Path, options: Sequence[str] = ()) -> Dict[str, Any]:
    """What one has written, how it has ended, and how many seconds that took."""
    told = scratch / (name + ".json")
    began = time.monotonic()
    words = [sys.executable, str(HERE / ("bench_%s.py" % name)), "--json", str(told), *options]
    status = subprocess.run(words).returncode
    found = json.loads(told.read_text()) if told.exists() else {"rows": []}
    return dict(found, status=status, seconds=round(time.monotonic() - began, 1))


def main() -> int:
    parser = rows.arguments(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which (all): " + ", ".join(names()))
    parser.add_argument("--against", type=Path, metavar="DIRECTORY",
                        help="another checkout, for " + ", ".join(COMPARING))
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(names()))
    if unknown:
        parser.error("there is no benchmark %s: take of %s" % (", ".join(unknown), ", ".join(names())))
    if given.against is not None and not (given.against / "jd").is_dir():
        parser.error("%s is no checkout: there is no jd in it" % given.against)
    found: Dict[str, Dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.names or names():
            print("== %s" % name, flush=True)
            compared = given.against is not None and name in COMPARING
            found[name] = run(name, Path(scratch), ["--against", str(given.against)] if compared else ())
    print("== all")
    rows.show([rows.from_json(row) for one in found.values() for row in one["rows"]])
    if given.json:
        told = {"machine": rows.machine(), "benchmarks": found}
        Path(given.json).write_text(json.dumps(told, indent=2) + "\n")
    failed = [name for name, one in found.items() if one["status"]]
    if failed:
        print("error: these did not end well: %s" % ", ".join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
