#!/bin/sh
# Install Scopebook into .venv. usage: scripts/install.sh run|dev
#
# uv where it can be had, else pip. Torch is the one package whose build matters: a local wheel
# wins, then CUDA where a GPU driver is, then the CPU build, so that nobody downloads gigabytes
# of CUDA by accident.
set -eu

what=${1:?usage: scripts/install.sh run|dev}
python=${PYTHON:-python3}
case $what in
    run) extras="api,workers,embedded" ;;
    dev) extras="dev" ;;
    *) echo "scripts/install.sh: '$what' is neither run nor dev" >&2; exit 2 ;;
esac

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Scopebook needs Python 3.11 or newer, but $python is $("$python" -V 2>&1); set PYTHON=/path/to/python3.11." >&2
    exit 1
}
[ -x .venv/bin/python ] || "$python" -m venv .venv

# A folder of wheels that pip already knows; uv does not read pip's configuration.
links=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-$(.venv/bin/python -m pip config get global.find-links 2>/dev/null || true)}}
folders=""
for folder in $(echo "$links" | tr ',' ' '); do
    # uv fails on a folder that does not exist.
    [ -d "$folder" ] && folders="${folders:+$folders,}$folder"
done
# shellcheck disable=SC2086
has_local_torch() { [ -n "$folders" ] && ls $(echo "$folders" | tr ',' ' ' | sed 's/[^ ]*/&\/torch-2.13.0*.whl/g') >/dev/null 2>&1; }

with_pip() {
    echo "Installing with pip, which takes longer than uv." >&2
    .venv/bin/python -m pip install -q -c constraints.txt -e ".[$extras]"
}

if ! .venv/bin/python -m uv --version >/dev/null 2>&1; then
    .venv/bin/python -m pip install -q 'uv>=0.9,<1' || { with_pip; exit; }
fi
export UV_SYSTEM_CERTS=1
[ -n "$folders" ] && export UV_FIND_LINKS="$folders"
install() {
    .venv/bin/python -m uv pip install -q --python .venv/bin/python -c constraints.txt "$@" -e ".[$extras]"
}

if has_local_torch || [ "$(uname -s)" != Linux ]; then
    install
elif command -v nvidia-smi >/dev/null 2>&1; then
    install
elif ! install --torch-backend=cpu; then
    echo "The index of CPU builds of torch cannot be reached: installing the build with CUDA, about 2.7 GB." >&2
    install
fi
