#!/usr/bin/env bash
# Puts uv into .tools/uv, from the package index, at a pinned hash.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(tools/python.sh)
if "$python" -m venv .tools/uv 2>/dev/null; then
    .tools/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
elif "$python" -m pip --version >/dev/null 2>&1; then
    # Debian's Python comes without venv; pip alone is enough for one program.
    rm -rf .tools/uv
    "$python" -m pip install --quiet --disable-pip-version-check --require-hashes --target .tools/uv -r requirements-uv.lock
else
    echo "This Python has neither venv nor pip (on Ubuntu: apt install python3-venv)." >&2
    exit 1
fi
touch .tools/uv/bin/uv
