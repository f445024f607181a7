#!/bin/sh
# Measures build/wkim-server beside a Redis stream and against its goals; see perf.py for the rules.
# usage: test/perf/run.sh            (from any folder; after `make all`; about three minutes)
# The report goes to standard output and to build/perf.json.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
for program in python3 redis-server redis-benchmark; do
    command -v "$program" >/dev/null || { echo "perf: $program is missing" >&2; exit 1; }
done
exec python3 "$here/perf.py" "$@"
