#!/bin/sh
# Makes bench/.venv with the clients of bench/requirements.txt and this endwell (editable); with the argument `servers`
# bench/servers/.venv with the servers of bench/servers/requirements.txt, some of which want older versions of what all
# share. Does nothing if they are there. PYTHON chooses the interpreter.
set -eu
cd "$(dirname "$0")"
checkout=$(dirname "$PWD")
own=$checkout
if [ "${1:-}" = servers ]; then
    cd servers
    own="$checkout[cli]" # for endwell serve
fi
venv=.venv
stamp=$venv/installed.txt
if [ -e "$stamp" ] && cmp -s requirements.txt "$stamp"; then
    exit 0
fi
"${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt -e "$own"
cp requirements.txt "$stamp"
