#!/bin/sh
# Run a team's instance over Debian's Redis and RabbitMQ:
# scripts/test-services.sh [--install-only | PYTEST ARGUMENTS]
#
# The servers are programs that tests start and stop themselves, on ports and in folders of their
# own; what Debian would start when it installs them stays off. tests/services/test_hosts.py makes
# networks, which takes root.
set -eu
cd "$(dirname "$0")/.."

missing=""
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null 2>&1 || missing="$missing rabbitmq-server"
command -v ip >/dev/null 2>&1 || missing="$missing iproute2"

if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "These tests need$missing: on Debian, root installs them by \`apt-get install$missing\`; elsewhere put the programs on the PATH." >&2
        exit 1
    fi
    # Debian asks this program whether an installed service may be started: not ours.
    policy=/usr/sbin/policy-rc.d
    made=""
    if [ ! -e "$policy" ]; then
        made=$policy
        trap 'rm -f "$made"' EXIT
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
    fi
    echo "Installing$missing ..." >&2
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null || {
        echo "Debian's packages$missing could not be installed: apt-get says above why." >&2
        exit 1
    }
    [ -z "$made" ] || rm -f "$made"
    trap - EXIT
fi
[ "${1:-}" = --install-only ] || .venv/bin/pytest -q tests/services "$@"
