#!/bin/sh
# Builds every test/fuzz/fuzz_*.c with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer and
# runs each SECONDS long; findings stay in build/fuzz/findings.  Ends with the counts.
# usage: test/fuzz/run.sh SECONDS [TARGET...]
set -u
cd "$(dirname "$0")/../.." || exit 1
seconds=${1:-10}
[ $# -gt 0 ] && shift
: "${CLANG:=clang}" "${JOBS:=$(nproc 2>/dev/null || echo 2)}"
out=build/fuzz
mkdir -p "$out/findings" "$out/corpus"

# The library, the HTTP side and the configuration of the server compiled by clang, so that coverage
# leads the search everywhere.
cat >"$out/rules.mk" <<'RULES'
include lib/rooms.mk
O := build/fuzz
SRC := $(foreach r,$(ROOMS),$(wildcard lib/$(r)/*.c)) $(wildcard test/support/*.c) \
	$(wildcard server/http/*.c server/http/*/*.c server/config/*.c server/out/*.c) \
	server/listen/ws_look.c server/options.c server/net.c server/tls.c test/fuzz/log_say.c
TARGETS := $(patsubst test/fuzz/%.c,$(O)/%,$(wildcard test/fuzz/fuzz_*.c))
SAN := -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS := -std=gnu11 -O1 -g -fno-omit-frame-pointer -fno-strict-aliasing -pthread -D_GNU_SOURCE \
	-DWKIM_VERSION_TEXT='"fuzz"' -DWKIM_COMMIT='"fuzz"' -Iinclude -Ilib -Iserver -Itest/support -I$(O)/gen -MMD -MP $(SAN)
all: $(TARGETS)
$(O)/gen/wkhook.pb-c.c $(O)/gen/wkhook.pb-c.h &: server/out/wkhook.proto
	@mkdir -p $(@D)
	@protoc-c --proto_path=server/out --c_out=$(O)/gen $<
$(O)/obj/gen/wkhook.pb-c.o: $(O)/gen/wkhook.pb-c.c
	@mkdir -p $(@D)
	@$(CLANG) $(FLAGS) -fsanitize=fuzzer-no-link -c -o $@ $<
$(O)/obj/%.o: %.c | $(O)/gen/wkhook.pb-c.h
	@mkdir -p $(@D)
	@$(CLANG) $(FLAGS) -fsanitize=fuzzer-no-link -c -o $@ $<
$(O)/all.a: $(SRC:%.c=$(O)/obj/%.o) $(O)/obj/gen/wkhook.pb-c.o
	@rm -f $@; ar qcs $@ $^
$(TARGETS): $(O)/%: $(O)/obj/test/fuzz/%.o $(O)/all.a
	@$(CLANG) -o $@ $< $(O)/all.a $(SAN) -fsanitize=fuzzer -pthread \
		-levent_core -levent_extra -levent_pthreads -lrocksdb -ljansson -lyaml -lcurl -lnghttp2 \
		-lprotobuf-c -lssl -lcrypto -lz
.SECONDARY:
-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)
RULES
make -s -f "$out/rules.mk" -j"$JOBS" CLANG="$CLANG" all || { echo "0 passed, 1 failed"; exit 1; }

passed=0 failed=0
for source in test/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    [ $# -eq 0 ] || case " $* " in *" $name "*) ;; *) continue ;; esac
    mkdir -p "$out/corpus/$name"
    mkdir -p "$out/seeds/$name"
    python3 test/fuzz/seeds.py "$name" "$out/seeds/$name" || exit 1
    words=
    [ ! -s "$out/seeds/$name.dict" ] || words=-dict=$out/seeds/$name.dict
    # The limit of one input is time of the wall: a busy machine must not look like a hang.
    # shellcheck disable=SC2086
    if "$out/$name" -max_total_time="$seconds" -timeout=90 -rss_limit_mb=2048 -max_len=8192 \
        -artifact_prefix="$out/findings/$name-" -print_final_stats=1 $words \
        "$out/corpus/$name" "$out/seeds/$name" \
        >"$out/$name.log" 2>&1; then
        echo "ok     $name ($(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$name.log") inputs)"
        passed=$((passed + 1))
    else
        echo "FAILED $name"
        grep -v '^#\|^INFO' "$out/$name.log" | head -60
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
