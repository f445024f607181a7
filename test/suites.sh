#!/bin/sh
# Runs suites one after another; each prints a closing line "N passed, N failed".  Ends with the sum.
# usage: test/suites.sh COMMAND...        (each COMMAND is one shell word list in quotes)
set -u
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
passed=0 failed=0
for suite in "$@"; do
    echo "== $suite"
    sh -c "$suite" >"$log" 2>&1
    rc=$?
    cat "$log"
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -1)
    p=$(echo "$line" | sed -n 's/^\([0-9]*\) passed.*/\1/p')
    f=$(echo "$line" | sed -n 's/^.* \([0-9]*\) failed.*/\1/p')
    # A suite that fails or says nothing counts as one failure.
    if [ "${f:-0}" = 0 ] && { [ "$rc" -ne 0 ] || [ -z "$line" ]; }; then f=1; fi
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0}))
done
echo "== all suites"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
