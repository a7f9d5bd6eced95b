#!/usr/bin/env bash
# Run all tests: scripts/tests.sh [PYTEST ARGUMENTS]
#
# The browser's tests wait for what they see more than they compute, so that the others run beside
# them, in two processes, and give way to them a little: by more, and the drills that come first would
# stand still while the browser's instance is built. With arguments such as `-k words` one of the two may
# find no test, which is pytest's status 5. Each has a process group of its own (-m), by which it is
# stopped with all that it has started.
set -muo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
slowest=(--durations=25 --durations-min=5)
trap 'kill -INT -- "-$browser" 2>/dev/null; rm -f "$log"' EXIT
.venv/bin/pytest -q "${slowest[@]}" tests/e2e "$@" > "$log" 2>&1 &
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
