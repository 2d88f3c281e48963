#!/bin/sh
# Installs JobDistributor out of the directory that this file lies in. It needs Python 3.8 or newer:
# no network, no pip, no compiler. What is there already is upgraded.
#
#   sh install.sh                  into a venv of its own, ~/jd-worker
#   sh install.sh --venv DIR       into this venv; it is made if there is none
#   sh install.sh --prefix DIR     into DIR/bin and DIR/lib/jd-worker, without a venv
#   sh install.sh --user           for this user and this Python
#   sh install.sh --uninstall …    with the same option: removes it
#   sh install.sh --check          verifies the files and installs nothing
#
# PYTHON=/path/to/python3 names the Python.
set -eu

fail() {
  printf 'error: %s\n' "$1" >&2
  exit 1
}

case "${1-}" in
  -h | --help | help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit 0 ;;
  -* | '') ;;
  *)
    printf 'error: what is %s? a directory is given with --venv or --prefix; see sh install.sh --help\n' "$1" >&2
    exit 2 ;;
esac

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || fail "cannot enter the directory of $0"

python=
for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8 python; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1; then
    python=$candidate
    break
  fi
  [ -z "${PYTHON-}" ] || fail "PYTHON=$PYTHON is not Python 3.8 or newer, or does not run"
done
[ -n "$python" ] || fail "there is no Python 3.8 or newer on PATH: name one with PYTHON=/path/to/python3 sh install.sh"

# Prints the path of the wheel, when all files are as SHA256SUMS says.
wheel=$("$python" -I - "$here" <<'END'
import hashlib, os, sys

def fail(text):
    sys.exit("error: %s: copy the bundle again; nothing was installed" % text)

here = sys.argv[1]
try:
    with open(os.path.join(here, "SHA256SUMS"), encoding="ascii") as file:
        lines = file.read().splitlines()
except (OSError, ValueError) as error:
    fail("cannot read %s/SHA256SUMS (%s)" % (here, error))
wheels = []
for line in lines:
    digest, _, name = line.partition("  ")
    try:
        with open(os.path.join(here, name), "rb") as file:
            found = hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        fail("%s is missing or cannot be read (%s)" % (os.path.join(here, name), error.strerror))
    if found != digest:
        fail("%s is damaged, its SHA-256 is not the one in SHA256SUMS" % os.path.join(here, name))
    if name.endswith(".whl"):
        wheels.append(name)
if len(wheels) != 1:
    fail("SHA256SUMS names %d wheels and not one" % len(wheels))
os.write(1, os.fsencode(os.path.join(here, wheels[0])))
END
) || exit 1

case " $* " in
  *" --check "*)
    echo "every file is as SHA256SUMS says"
    exit 0 ;;
  *" --venv"* | *" --prefix"* | *" --user "*) ;;
  *)
    [ -n "${HOME-}" ] || fail "HOME is not set: say where, with --venv DIR or --prefix DIR"
    set -- --venv "$HOME/jd-worker" "$@" ;;
esac

# Isolated, so neither PYTHON* variables nor a directory jd/ lead elsewhere.
exec "$python" -I -c 'import sys
sys.path.insert(0, sys.argv.pop(1))
sys.argv[0] = "install.sh"
from jd.dist.install import main
from jd.errors import run_command
sys.exit(run_command(main))' "$wheel" "$@"
