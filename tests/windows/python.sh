#!/usr/bin/env bash
# The Windows Python that setup.sh made, under Wine: python.sh FOLDER ARGUMENTS...
set -euo pipefail
folder=$(cd "$1" && pwd)
shift
export WINEPREFIX=$folder/prefix WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml='
unset DISPLAY PYTHONPATH PYTHONHOME
export PYTHONUTF8=1
# Python cannot start there with its output redirected to a file; a pipe is fine.
wine "$folder/python/python.exe" "$@" </dev/null 2>&1 | cat
