#!/usr/bin/env bash
# Run all tests: scripts/tests.sh [PYTEST ARGUMENTS]
#
# The browser's tests wait for what they see more than they compute, so that the others run beside
# them, in two processes, and give way to them a little: by more, and the drills that come first would
# stand still while the browser's instance is built. After the browser's come those over Debian's
# Redis and RabbitMQ, where these are there or can be installed. Each side has a process group of its
# own (-m), by which it is stopped with all that it has started.
#
# With arguments such as `-k words` one side may find no test, which is pytest's status 5, and those
# over Debian's servers are left out.
set -muo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
slowest=(--durations=25 --durations-min=5)
trap 'kill -INT -- "-$browser" 2>/dev/null; rm -f "$log"' EXIT

over_services() {
    echo "The tests over Debian's Redis and RabbitMQ:"
    if ! scripts/test-services.sh --install-only; then
        echo "LEFT OUT, since these are not there."
        return 0
    fi
    scripts/test-services.sh "${slowest[@]}" -k "not demo and not hosts"
}

beside() {
    .venv/bin/pytest -q "${slowest[@]}" tests/e2e "$@"
    local status=$?
    if [ "$status" -ne 0 ] || [ "$#" -ne 0 ]; then return "$status"; fi
    over_services
}

beside "$@" > "$log" 2>&1 &
browser=$!
nice -n 3 .venv/bin/pytest -q -n 2 --dist loadfile --no-loadscope-reorder "${slowest[@]}" \
    --ignore tests/e2e --ignore tests/services "$@"
others=$?
if [ "$others" -eq 2 ]; then exit 2; fi # pytest's status for "interrupted"
wait "$browser"
pages=$?
echo "The browser's tests:"
cat "$log"
for status in "$others" "$pages"; do
    if [ "$status" -ne 0 ] && { [ "$status" -ne 5 ] || [ "$#" -eq 0 ]; }; then exit "$status"; fi
done
