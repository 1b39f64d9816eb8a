#!/usr/bin/env bash
# Runs ctrl_c.py, each case in a console of its own, which Wine makes of a terminal: ctrl_c.sh FOLDER
set -euo pipefail
folder=$(cd "$1" && pwd)
export WINEPREFIX=$folder/prefix WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml='
unset DISPLAY PYTHONPATH PYTHONHOME
for case in wait follower poll hub console; do
    script -qec "wine '$folder/python/python.exe' tests/windows/ctrl_c.py $case" /dev/null \
        </dev/null >"$folder/ctrl_c.log" 2>&1 || {
        cat "$folder/ctrl_c.log"
        exit 1
    }
    echo "Ctrl-C ends $case"
done
