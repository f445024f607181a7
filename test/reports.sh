#!/bin/sh
# Reports of sanitizers as a suite: one failure each, their texts, the counts.
# usage: test/reports.sh FOLDER
set -u
failed=0
for report in "$1"/*; do
    [ -f "$report" ] || continue
    failed=$((failed + 1))
    echo "FAILED $(basename "$report")"
    head -c 20000 "$report"
done
echo "$((failed == 0)) passed, $failed failed"
[ "$failed" -eq 0 ]
