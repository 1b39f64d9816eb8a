#!/usr/bin/env bash
# The test suite, in two processes with every other test each: suite.sh FOLDER ARGUMENTS...
#
# A test waits most of the time, for Wine's server or for a clock.  What the second process says is shown
# when the first has ended.  What failed is run once more by itself, which decides: Wine is slow, and two
# processes share its server with whatever else the machine does.  Both outcomes are shown.
set -uo pipefail
folder=$1
shift
pytest() {
    tests/windows/python.sh "$folder" -m pytest -p no:cacheprovider "$@"
}
pytest --share 2/2 "$@" >"$folder/second.log" &
second=$!
failed=0
pytest --share 1/2 "$@" | tee "$folder/first.log" || failed=$?
wait $second || failed=$?
cat "$folder/second.log"
((failed == 0)) && exit
mapfile -t again < <(sed -nE 's/\r$//; /^(FAILED|ERROR) [^ ]+::/{s/^[A-Z]+ //; s/ - .*//; p}' "$folder"/{first,second}.log)
((${#again[@]} > 0)) || exit "$failed" # it did not come to its end
printf 'once more, by itself: %s\n' "${again[@]}"
pytest "$@" "${again[@]}"
