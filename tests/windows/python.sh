#!/usr/bin/env bash
# The Windows Python that setup.sh made, under Wine: python.sh FOLDER ARGUMENTS...
set -euo pipefail
exec "$(dirname "$0")/wine.sh" "$1" "$1/python/python.exe" "${@:2}"
