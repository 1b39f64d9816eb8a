#!/usr/bin/env bash
# The test suite, in two processes with every other test each: suite.sh FOLDER ARGUMENTS...
#
# A test waits most of the time, for Wine's server or for a clock.  What the second process says is shown
# when the first has ended.
set -euo pipefail
folder=$1
shift
share() {
    tests/windows/python.sh "$folder" -m pytest -p no:cacheprovider --share "$@"
}
share 2/2 "$@" >"$folder/second.log" &
second=$!
failed=0
share 1/2 "$@" || failed=$?
wait $second || failed=$?
cat "$folder/second.log"
exit $failed
