#!/usr/bin/env bash
# Makes a virtual environment: scripts/make-venv.sh PYTHON FOLDER
set -euo pipefail

python=$1
folder=$2

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "Warehouse needs Python 3.11 or newer, and $python is not: name another with PYTHON=..." >&2
  exit 1
fi
# Debian keeps a part of the standard library's venv in a package of its own.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "$python cannot make virtual environments: install the package python3-venv." >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3-venv >/dev/null
fi
"$python" -m venv "$folder"
