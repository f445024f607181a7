#!/bin/sh
# Named scenarios, seeds that once failed, then a range of seeds.
# usage: test/sim/run.sh SIM FIRST_SEED SEEDS
set -u
sim=$1 passed=0 failed=0
here=$(dirname "$0")
run() {
    if out=$("$sim" "$@" 2>&1); then :; else echo "$out" | grep -v '^seed .* ok' | tail -20; fi
    line=$(echo "$out" | grep -E '^[0-9]+ passed, [0-9]+ failed' | tail -1)
    p=${line%% passed*} f=${line#*passed, }
    f=${f%% failed*}
    if [ -z "$line" ]; then # named scenarios: one line each
        p=$(echo "$out" | grep -c '^ok ')
        f=$(echo "$out" | grep -c '^FAILED')
        [ "$p" -gt 0 ] || f=1
    fi
    passed=$((passed + p)) failed=$((failed + f))
}
run --scenario all
for seed in $(sed -e 's/#.*//' -e 's/ .*//' "$here/regressions.txt"); do run --seed "$seed"; done
run --seed "$2" --seeds "$3"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
