#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints the path of a Python that runs, is at least 3.<minor> and can make virtual environments:
#
#     sh scripts/find_python.sh [minor]        (12 when not given; PYTHON=... names the interpreter)
#
# Looks at PYTHON, then PATH, then pyenv's versions, then what uv knows. Every candidate is run, because a pyenv shim of
# a version that is not selected is on PATH, and fails. Low versions come first: the tests run on 3.12.

minor="${1:-12}"

suits() {
    "$1" -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, $minor))" >/dev/null 2>&1
}

found() {
    if suits "$1"; then
        "$1" -c "import sys; print(sys.executable)"
        exit 0
    fi
}

if [ -n "$PYTHON" ]; then
    found "$PYTHON"
    echo "PYTHON=$PYTHON does not run, is older than Python 3.$minor or lacks venv: name another one, or leave PYTHON" \
        "out to have one looked for." >&2
    exit 1
fi

for name in python3.11 python3.12 python3.13 python3.14 python3 python; do
    found "$name"
done
for version in 11 12 13 14; do
    for python in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$version"*/bin/python; do
        found "$python"
    done
done
if command -v uv >/dev/null 2>&1; then
    python="$(uv python find ">=3.$minor" 2>/dev/null)" && found "$python"
fi

echo "No Python 3.$minor or newer was found: install one (Debian, Ubuntu: apt install python3.$minor python3.$minor-venv;" \
    "macOS: brew install python@3.$minor; anywhere: pyenv install 3.$minor, or uv python install 3.$minor)" \
    "and run make again, or name it with PYTHON=/path/to/python." >&2
exit 1
