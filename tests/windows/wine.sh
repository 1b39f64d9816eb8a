#!/usr/bin/env bash
# Runs a Windows program in the Wine prefix that setup.sh made: wine.sh FOLDER PROGRAM ARGUMENTS...
#
# CPython does not start there with its output redirected to a file; a pipe is fine.  Whatever hangs
# so that no test notices is ended after twenty minutes.
set -euo pipefail
folder=$(cd "$1" && pwd)
shift
export WINEPREFIX=$folder/prefix WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml='
unset DISPLAY PYTHONPATH PYTHONHOME
export PYTHONUTF8=1
timeout --kill-after=10 1200 wine "$@" </dev/null 2>&1 | cat
