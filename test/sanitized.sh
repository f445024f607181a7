#!/bin/sh
# Everything that can run under a sanitizer: test programs, simulator, suites against the sanitized
# server, published SDKs.  Whatever process says something, it fails the run: reports go to a folder.
# usage: test/sanitized.sh BUILD_DIR PROGRAM...      (JOBS=n)
set -u
cd "$(dirname "$0")/.." || exit 1
build=$1
shift
reports=$(mktemp -d) || exit 1
trap 'rm -rf "$reports"' EXIT
common=log_path=$reports/report:handle_abort=1
ASAN_OPTIONS=$common:detect_leaks=1:detect_stack_use_after_return=1
LSAN_OPTIONS=suppressions=$PWD/test/support/lsan.supp:print_suppressions=0
UBSAN_OPTIONS=$common:print_stacktrace=1
TSAN_OPTIONS=$common:suppressions=$PWD/test/support/tsan.supp:second_deadlock_stack=1
WKIM_SERVER=$PWD/$build/wkim-server
export ASAN_OPTIONS LSAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS WKIM_SERVER
export TEST_TIMEOUT=1800 WKIM_SANITIZED=1
sh test/suites.sh "sh test/run.sh $*" "sh test/sim/run.sh $build/test/sim/sim 1 100" \
    "python3 test/api/run.py --slow --jobs 2" "sh test/sdk/run.sh" "sh test/reports.sh $reports"
