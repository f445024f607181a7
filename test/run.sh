#!/bin/sh
# Runs test programs (cmocka), JOBS at a time, each bounded in time; ends with the counts.
# usage: JOBS=n test/run.sh PROGRAM...
set -u
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
: "${JOBS:=2}" "${TEST_TIMEOUT:=120}"
export tmp TEST_TIMEOUT
printf '%s\n' "$@" | xargs -P "$JOBS" -I{} sh -c '
    out="$tmp/$(echo "{}" | tr / _)"
    timeout "$TEST_TIMEOUT" "{}" >"$out.log" 2>&1
    rc=$?
    p=$(sed -n "s/^\[  PASSED  \] \([0-9]*\) test.*/\1/p" "$out.log" | tail -1)
    f=$(sed -n "s/^\[  FAILED  \] \([0-9]*\) test.*/\1/p" "$out.log" | tail -1)
    if [ "$rc" -ne 0 ] && [ "${f:-0}" = 0 ]; then f=1; fi
    echo "${p:-0} ${f:-0}" >"$out.count"
    if [ "$rc" -ne 0 ]; then
        echo "FAILED {} (exit $rc)"
        grep -v "^\[       OK \]\|^\[ RUN" "$out.log" | tail -60
    else
        echo "ok     {} (${p:-0})"
    fi'
cat "$tmp"/*.count | awk '{p += $1; f += $2} END {printf "%d passed, %d failed\n", p, f; exit f > 0 || p == 0}'
