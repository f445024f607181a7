#!/bin/sh
# Runs the examples that were built against the installed tree (make examples).
# usage: test/examples.sh BUILD_DIR
set -u
build=$1
passed=0 failed=0
for e in embed_node feed_session; do
    dir=$(mktemp -d)
    if LD_LIBRARY_PATH="$build/stage/usr/lib" timeout 60 "$build/examples/$e" "$dir/data"; then
        echo "ok     examples/$e"
        passed=$((passed + 1))
    else
        echo "FAILED examples/$e"
        failed=$((failed + 1))
    fi
    rm -rf "$dir"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
