#!/bin/sh
# entrypoint.sh [--exec] ROLE [ARGUMENT…]: the command of an image (ROLE: worker, server or hub), with
# the defaults of a container, below an init where this is process 1. --exec: it is not what the
# container was started for, but typed in it (docker exec).
#
# The defaults are here and not in ENV: an image with ENV JD_… made into an Apptainer image would
# not let the host's value through. What is set wins over them.
set -eu

starts=true
if [ "$1" = --exec ]; then
  starts=false
  shift
fi
role=$1
shift

fail() {
  echo "error: $*" >&2
  exit 1
}

# A directory that this uid, whichever it is, can write in.
usable() {
  mkdir -p "$1" 2>/dev/null && [ -w "$1" ] && [ -x "$1" ]
}

who="uid $(id -u), gid $(id -g)"

case $role in
worker)
  command=jd_worker_cli
  export JD_FOREGROUND="${JD_FOREGROUND:-true}"
  # ps would show a key that is an argument of process 1.
  for word in "$@"; do
    shift
    case $word in
    api_key=*) export JD_API_KEY="${word#api_key=}" ;;
    *) set -- "$@" "$word" ;;
    esac
  done
  # All may be in JD_* variables. Without an argument jd_worker_cli is a shell, for a terminal.
  if $starts && [ $# -eq 0 ] && { [ -n "${JD_ENTRY_SCRIPT:-}" ] || ! [ -t 0 ]; }; then
    set -- "foreground=$JD_FOREGROUND"
  fi
  # The same for every command in this container, so that `docker exec` finds the workers.
  scratch=/scratch
  usable "$scratch" || scratch=/tmp/jd-$(id -u)
  if [ -z "${JD_WORKSPACE_PATH:-}" ] || [ -z "${JD_CACHE_PATH:-}" ]; then
    (umask 077 && usable "$scratch") ||
      fail "$who can write neither in /scratch nor in /tmp; add --tmpfs /tmp or -v DIR:/scratch"
    # With Apptainer, /tmp is that of the host: somebody may have been there before.
    if [ "$scratch" != /scratch ] && { ! [ -O "$scratch" ] || [ -L "$scratch" ]; }; then
      fail "$scratch is not this user's ($who); set JD_WORKSPACE_PATH and JD_CACHE_PATH to directories that are"
    fi
  fi
  export JD_WORKSPACE_PATH="${JD_WORKSPACE_PATH:-$scratch}"
  export JD_CACHE_PATH="${JD_CACHE_PATH:-$scratch/.jd_cache}"
  # Libraries of scripts keep caches in HOME; a uid without a passwd entry is given / for it.
  if [ -z "${HOME:-}" ] || ! [ -w "$HOME" ]; then export HOME="$JD_WORKSPACE_PATH"; fi
  ;;
server)
  command=jd_server
  data=${JD_SERVER_WORKSPACE_PATH:-/data}
  export JD_SERVER_WORKSPACE_PATH="$data" JD_SERVER_HUB_DATA="${JD_SERVER_HUB_DATA:-$data/.hub}"
  export JD_SERVER_HOST="${JD_SERVER_HOST:-0.0.0.0}"
  # A uid without a passwd entry is given / for HOME, and nothing outside looks into this one.
  if [ -z "${HOME:-}" ] || ! [ -w "$HOME" ]; then export JD_ACCESS_DIR="${JD_ACCESS_DIR:-$data/.jd}"; fi
  ;;
hub)
  command=jd_hub
  data=${JD_HUB_DATA:-/data}
  export JD_HUB_DATA="$data" JD_HUB_HOST="${JD_HUB_HOST:-0.0.0.0}"
  ;;
*) fail "entrypoint.sh: '$role' is none of worker, server, hub" ;;
esac

# Unlike a worker's scratch this is to stay, so there is no second choice. Other directories are for
# the command to judge.
if [ "$role" != worker ] && [ "$data" = /data ]; then
  case " $* " in
  *" --workspace_path"* | *" --data"* | *" --help "* | *" -h "* | *" --version "*) ;;
  *)
    usable /data ||
      fail "$who cannot write in /data; mount a volume there that it may write (-v jd-data:/data)"
    ;;
  esac
fi

set -- "/opt/jd/bin/$command" "$@"
if [ $$ -ne 1 ]; then
  exec "$@"
elif command -v tini >/dev/null; then
  exec tini -- "$@"
else
  exec /opt/jd/bin/python -I /opt/jd/init.py "$@"
fi
