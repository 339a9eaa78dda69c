#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a virtual environment hold what requirements files lock, then leaves a stamp, so that make knows it is done:
#
#     sh scripts/make_venv.sh DIRECTORY MINOR STAMP REQUIREMENTS... [pip options]
#
# An environment that was cut short (killed, disk full) still holds the file `unfinished`, and is made anew: pip takes a
# package whose metadata it finds for a whole one.
set -eu

venv="$1" minor="$2" stamp="$3"
shift 3
unfinished="$venv/unfinished"

usable() {
    [ ! -e "$unfinished" ] &&
        "$venv/bin/python" -c "import pip, sys; sys.exit(sys.version_info < (3, $minor))" 2>/dev/null
}

if ! usable; then
    if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ] && [ ! -e "$unfinished" ]; then
        echo "$venv is there and no virtual environment: move it away, or name another place with VENV=." >&2
        exit 1
    fi
    python="$(sh scripts/find_python.sh "$minor")"
    echo "Creating $venv with $("$python" --version) (a few minutes, once)."
    rm -rf "$venv"
    mkdir -p "$venv"
    touch "$unfinished"
    "$python" -m venv "$venv"
fi

touch "$unfinished"
echo "Installing into $venv: $*"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input "$@"
rm -f "$unfinished" "${stamp%-*}"-*
touch "$stamp"
