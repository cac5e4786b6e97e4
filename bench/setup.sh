#!/bin/sh
# Makes bench/.venv with the peers of bench/requirements.txt and this endwell (editable).
# Does nothing if they are there. PYTHON chooses the interpreter.
set -eu
cd "$(dirname "$0")"
venv=.venv
stamp=$venv/installed.txt
if [ -e "$stamp" ] && cmp -s requirements.txt "$stamp"; then
    exit 0
fi
"${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt -e ..
cp requirements.txt "$stamp"
