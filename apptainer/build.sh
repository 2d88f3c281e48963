#!/bin/sh
# apptainer/build.sh [OPTION…]: builds dist/jd-worker.sif and dist/jd-server.sif with apptainer or
# singularity, from a checkout or an unpacked bundle. OPTIONs go to its build command (--fakeroot, …).
# The base is in the first lines of the definitions. SIF_OUT: another directory than dist;
# PYTHON: what makes the wheel of a checkout.
set -eu
cd "$(dirname "$0")/.."

fail() {
  echo "error: $*" >&2
  exit 1
}

engine=$(command -v apptainer || command -v singularity) ||
  fail "SIF files need apptainer or singularity, and neither is installed here"

mkdir -p "${SIF_OUT:-dist}"
out=$(cd "${SIF_OUT:-dist}" && pwd)
# The definitions take the wheel, and a base of a file, from the directory in which they are built.
staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT
trap 'exit 1' HUP INT TERM
if ls jd_worker-*.whl >/dev/null 2>&1; then
  cp jd_worker-*.whl "$staging"
else
  [ -f pyproject.toml ] || fail "neither a checkout nor a wheel is in $PWD"
  "${PYTHON:-python3}" -m jd.dist wheel --out "$staging" >/dev/null
fi
for base in base.tar base.sif; do
  if [ -f "$base" ]; then ln -s "$PWD/$base" "$staging/$base"; fi
done

for name in jd-worker jd-server; do
  # Built beside its place: an interrupted build leaves the old file.
  (cd "$staging" && "$engine" build "$@" "$name.sif" "$OLDPWD/apptainer/$name.def")
  mv "$staging/$name.sif" "$out/$name.sif"
  echo "built $out/$name.sif"
done
