#!/bin/sh
# docker/build.sh [OPTION…]: builds the images jd-worker, jd-server and jd-hub with docker, podman or
# buildah, from a checkout or an unpacked bundle. OPTIONs go to the engine, for instance
#   docker/build.sh --build-arg BASE=registry.example/python:3.12
# ENGINE names the engine (default: the first of these that works here).
set -eu
cd "$(dirname "$0")/.."

fail() {
  echo "error: $*" >&2
  exit 1
}

engine=${ENGINE:-}
if [ -z "$engine" ]; then
  for candidate in docker podman buildah; do
    # docker's client without its daemon builds nothing.
    if "$candidate" info >/dev/null 2>&1; then
      engine=$candidate
      break
    fi
  done
  [ -n "$engine" ] || fail "images need docker (with its daemon), podman or buildah, and none works here"
fi

case ${engine##*/} in
docker) build="build" ;;
podman) build="build --format docker" ;; # the OCI format has no HEALTHCHECK
buildah) build="bud --format docker" ;;
*) fail "ENGINE=$engine is not known; name docker, podman or buildah" ;;
esac

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' jd/__init__.py 2>/dev/null || true)
if [ -z "$version" ]; then
  wheel=$(ls jd_worker-*.whl 2>/dev/null || true)
  version=${wheel#jd_worker-}
  version=${version%%-*}
fi
[ -n "$version" ] || fail "neither jd/ nor a wheel is in $PWD; run this in a checkout or an unpacked bundle"

for target in worker server hub; do
  # shellcheck disable=SC2086 # $build is several words
  "$engine" $build -f docker/Dockerfile --target "$target" --build-arg "VERSION=$version" \
    -t "jd-$target:$version" -t "jd-$target:latest" "$@" .
  echo "built jd-$target:$version"
done
