#!/usr/bin/env bash
# Hold exported presets against the tools they are made for: scripts/test-exports.sh [PYTEST ARGUMENTS]
#
# Each tool lives in an environment of its own below build/exports, since their pins clash; torch,
# transformers and pytest are taken from .venv. llama-cpp-python is compiled where no wheel of it
# is at hand, which takes a quarter of an hour on two cores: LLAMA_WHEEL=FILE names one.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${EXPORTS_ENVIRONMENTS:-build/exports}
shared=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
export PYTHONPATH=dictionary:api:workers:migrations:demo:.

# usage: environment NAME REQUIREMENT...
environment() {
    local here=$folder/$1
    shift
    [ -e "$here/.made" ] && return
    echo "Installing $* into $here ..."
    .venv/bin/python -m venv "$here"
    echo "$shared" > "$("$here/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shared.pth"
    "$here/bin/python" -m pip install -q "$@"
    touch "$here/.made"
}

# usage: holds NAME TEST-FILE [PYTEST ARGUMENTS]
holds() {
    local here=$folder/$1 file=$2
    shift 2
    "$here/bin/python" -m pytest -q -s -p no:cacheprovider "tests/exports/$file" "$@"
}

environment llama-cpp "${LLAMA_WHEEL:-llama-cpp-python==0.3.36}" 'gguf>=0.19,<1'
environment interp-engine 'interp-engine==1.14.2'
environment lm-eval 'lm-eval==0.4.13'
holds llama-cpp consumer_llama_cpp.py "$@"
holds interp-engine consumer_interp_engine.py "$@"
holds lm-eval consumer_lm_eval.py "$@"
