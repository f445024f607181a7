# One non-recursive Makefile.  Rooms and layers come from lib/rooms.mk; everything made is in build/.
#   make            library, server and command line      make run      install what is missing, build, start
#   make check      install what is missing, build, test  make help     the other targets
# SAN=address|undefined|thread builds and tests a sanitized tree in build/<SAN>.  V=1 shows commands.

include lib/rooms.mk

VERSION := 0.1.0
SOVERSION := 0
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= gcc
SAN ?=
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
B := build$(if $(SAN),/$(SAN))
Q := $(if $(V),,@)
MAKEFLAGS += --no-builtin-rules

WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wvla -Werror
OPT ?= $(if $(SAN),-O1 -g -fno-omit-frame-pointer -fsanitize=$(SAN) -Wno-format-truncation $(if $(filter undefined,$(SAN)),-fno-sanitize-recover=all),-O2 -g)
CFLAGS_ALL := -std=gnu11 $(OPT) $(WARN) -fPIC -fvisibility=hidden -fno-strict-aliasing -pthread \
	-D_GNU_SOURCE -DWKIM_VERSION_TEXT='"$(VERSION)"' -Iinclude -Ilib -MMD -MP $(CFLAGS)
LDFLAGS_ALL := -pthread $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)

LIB_LIBS := -levent_core -levent_pthreads -lrocksdb -ljansson -lcrypto -lz
SERVER_LIBS := -lwebsockets -levent_core -levent_extra -levent_openssl -levent_pthreads -lyaml -lcurl -lnghttp2 -lprotobuf-c -ljansson -lssl -lcrypto -lz

LIB_SRC := $(foreach r,$(ROOMS),$(sort $(wildcard lib/$(r)/*.c)))
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o)
SERVER_SRC := $(sort $(wildcard server/*.c server/config/*.c server/listen/*.c server/out/*.c server/http/*.c server/http/*/*.c))
SERVER_OBJ := $(SERVER_SRC:%.c=$(B)/%.o) $(B)/gen/wkhook.pb-c.o
SUPPORT_SRC := $(sort $(wildcard test/support/*.c))
SUPPORT_OBJ := $(SUPPORT_SRC:%.c=$(B)/%.o)

TEST_SRC := $(sort $(wildcard test/unit/*/test_*.c test/unit/*/*/test_*.c test/prop/test_*.c test/oom/test_*.c test/scenario/test_*.c test/abi/test_*.c))
TEST_BIN := $(TEST_SRC:%.c=$(B)/%)
SIM_SRC := $(sort $(wildcard test/sim/*.c))
FUZZ_SRC := $(sort $(wildcard test/fuzz/fuzz_*.c))
FUZZ_BIN := $(FUZZ_SRC:%.c=$(B)/%)
PERF_SRC := $(sort $(wildcard test/perf/*.c))
EXAMPLES := $(sort $(wildcard examples/*.c))

# What a bare Debian 12 needs; `make deps` installs only what is missing.
DEPS_BUILD := gcc make pkg-config libc6-dev libevent-dev libnghttp2-dev libwebsockets-dev librocksdb-dev \
	libprotobuf-c-dev protobuf-c-compiler libjansson-dev libssl-dev libcurl4-openssl-dev libyaml-dev zlib1g-dev
DEPS_TEST := libcmocka-dev g++ python3 openssl
DEPS_WEB := $(if $(shell command -v npm),,nodejs npm) ca-certificates
DEPS_SDK := $(if $(shell command -v go),,golang-go) python3-pip
DEPS_FUZZ := clang libclang-rt-14-dev
DEPS_BROWSER := chromium chromium-driver
DEPS_PERF := redis-server redis-tools wrk python3

.PHONY: all lib server load run check test sanitized integration browser sim fuzz asan ubsan tsan abi perf large-group soak install dist web deps lint clean help tidy examples
.DEFAULT_GOAL := all

all: lib server load ## library, server, load client
lib: $(B)/libwkim.a $(B)/libwkim.so
server: $(B)/wkim-server
load: $(B)/wkload

help: ## list of targets
	@sed -n 's/^\([a-z -]*\):.*## /\1: /p' Makefile

# ---- objects -------------------------------------------------------------------------------------
$(B)/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -c -o $@ $<
# /metrics tells the commit; the file changes only when the commit does.
COMMIT := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
$(B)/commit: FORCE
	@mkdir -p $(@D)
	@[ "$$(cat $@ 2>/dev/null)" = "$(COMMIT)" ] || echo "$(COMMIT)" > $@
.PHONY: FORCE
$(B)/server/http/metrics/process.o: $(B)/commit
$(B)/server/http/metrics/process.o: CFLAGS_ALL += -DWKIM_COMMIT='"$(COMMIT)"'
$(B)/server/%.o: server/%.c | $(B)/gen/wkhook.pb-c.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -Iserver -I$(B)/gen -c -o $@ $<
# What protoc-c makes of a .proto is never committed.
$(B)/gen/wkhook.pb-c.c $(B)/gen/wkhook.pb-c.h &: server/out/wkhook.proto
	@mkdir -p $(@D)
	$(Q)protoc-c --proto_path=server/out --c_out=$(B)/gen $<
$(B)/gen/%.o: $(B)/gen/%.c
	$(Q)$(CC) $(CFLAGS_ALL) -c -o $@ $<
$(B)/test/%.o: test/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -Itest/support -Itest/sim -c -o $@ $<

# Internal names stay visible here; only tests link it.
$(B)/libwkim-internal.a: $(LIB_OBJ)
	@rm -f $@
	$(Q)ar rcs $@ $(LIB_OBJ)
$(B)/libwkim.so: $(LIB_OBJ) lib/libwkim.map
	$(Q)$(CC) -shared -Wl,-soname,libwkim.so.$(SOVERSION) -Wl,--version-script=lib/libwkim.map -o $@.$(VERSION) $(LIB_OBJ) $(LDFLAGS_ALL) $(LIB_LIBS)
	@ln -sf libwkim.so.$(VERSION) $(B)/libwkim.so.$(SOVERSION)
	@ln -sf libwkim.so.$(SOVERSION) $@
# Partial link, then localise what is not public.
$(B)/libwkim.a: $(LIB_OBJ)
	@rm -f $@
	$(Q)ld -r -o $(B)/wkim-all.o $(LIB_OBJ)
	$(Q)objcopy --wildcard --keep-global-symbol='wkim_*' $(B)/wkim-all.o
	$(Q)ar rcs $@ $(B)/wkim-all.o
$(B)/wkim-server: $(SERVER_OBJ) $(B)/libwkim.a
	$(Q)$(CC) -o $@ $(SERVER_OBJ) $(B)/libwkim.a $(LDFLAGS_ALL) $(SERVER_LIBS) $(LIB_LIBS)

# ---- tests ---------------------------------------------------------------------------------------
$(B)/libtestsupport.a: $(SUPPORT_OBJ)
	@mkdir -p $(@D); rm -f $@
	$(Q)ar rcs $@ $(SUPPORT_OBJ)
$(TEST_BIN): $(B)/%: $(B)/%.o $(B)/libwkim-internal.a $(B)/libtestsupport.a
	$(Q)$(CC) -o $@ $< $(TEST_OBJ) $(B)/libtestsupport.a $(B)/libwkim-internal.a $(LDFLAGS_ALL) -lcmocka $(LIB_LIBS) $(TEST_LIBS)
$(B)/test/unit/server/%.o: CFLAGS_ALL += -Iserver
$(B)/test/unit/server/test_grpc_conn.o: CFLAGS_ALL += -I$(B)/gen
$(B)/test/unit/server/test_grpc_conn.o: | $(B)/gen/wkhook.pb-c.h
$(B)/test/unit/server/test_grpc_conn: $(B)/gen/wkhook.pb-c.o
$(B)/test/unit/server/test_grpc_conn: TEST_OBJ := $(B)/gen/wkhook.pb-c.o
$(B)/test/unit/server/test_grpc_conn: TEST_LIBS := -lnghttp2 -lprotobuf-c
$(B)/test/sim/sim: $(SIM_SRC:%.c=$(B)/%.o) $(B)/libwkim-internal.a $(B)/libtestsupport.a
	$(Q)$(CC) -o $@ $(SIM_SRC:%.c=$(B)/%.o) $(B)/libtestsupport.a $(B)/libwkim-internal.a $(LDFLAGS_ALL) $(LIB_LIBS)
$(B)/test/perf/%: $(B)/test/perf/%.o $(B)/libwkim-internal.a $(B)/libtestsupport.a
	$(Q)$(CC) -o $@ $< $(B)/libtestsupport.a $(B)/libwkim-internal.a $(LDFLAGS_ALL) $(LIB_LIBS)

$(B)/wkload: $(patsubst %.c,$(B)/%.o,$(sort $(wildcard test/perf/wkload/*.c))) $(B)/libwkim.a
	$(Q)$(CC) -o $@ $^ $(LDFLAGS_ALL) $(LIB_LIBS) -lm

test: $(TEST_BIN) ## unit, property, scenario and allocation-failure tests (no installation)
	$(Q)JOBS=$(JOBS) sh test/run.sh $(TEST_BIN)


# ---- what people type ------------------------------------------------------------------------------
# Installs a list of packages if one is missing; needs root or sudo only then.
install_deps = @missing=""; for p in $(1); do dpkg -s $$p >/dev/null 2>&1 || command -v $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then echo "installing:$$missing"; \
	as=; [ "$$(id -u)" = 0 ] || as=sudo; \
	$$as apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive $$as apt-get install -y -q --no-install-recommends $$missing >/dev/null || exit 1; fi

deps: ## install the packages the build needs, if missing
	$(call install_deps,$(DEPS_BUILD))

# The pages are optional: without Node.js the server starts without them and says so.
web: ## build the demo page into build/web
	-$(call install_deps,$(DEPS_WEB))
	@if command -v npm >/dev/null 2>&1; then sh server/web/build.sh build/web; else echo "web: Node.js cannot be had, going on without the demo page"; fi

RUN_DIR ?= build/run
run: deps ## build and start one node with its demo page (data in build/run)
	@$(MAKE) -j$(JOBS) --no-print-directory all
	@[ -f build/web/chatdemo/index.html ] || $(MAKE) --no-print-directory web || echo "web: the demo page could not be built, going on without it"
	@mkdir -p $(RUN_DIR)
	WK_ROOTDIR=$(RUN_DIR) exec $(B)/wkim-server --config server/wk.yaml

check: deps ## install what is missing, build, pass the tests
	$(call install_deps,$(DEPS_TEST))
	@$(MAKE) -j$(JOBS) --no-print-directory all examples $(TEST_BIN) $(B)/test/sim/sim
	@sh test/suites.sh "python3 test/tidy/tidy.py" "JOBS=$(JOBS) sh test/run.sh $(TEST_BIN)" \
	  "sh test/examples.sh $(B)" "sh test/abi/run.sh $(B)" "sh test/sim/run.sh $(B)/test/sim/sim 1 200" "python3 test/api/run.py --quick"

abi: lib ## exported names, struct layouts, headers alone
	@sh test/abi/run.sh $(B)

tidy: ## layers, sizes, banned calls, the feature table
	@python3 test/tidy/tidy.py

examples: lib ## build examples/ against an installed copy
	@$(MAKE) --no-print-directory install DESTDIR=$(abspath $(B))/stage PREFIX=/usr >/dev/null
	@mkdir -p $(B)/examples
	@for e in $(EXAMPLES); do n=$$(basename $$e .c); \
	  PKG_CONFIG_PATH=$(abspath $(B))/stage/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$(abspath $(B))/stage \
	  sh -c "$(CC) -std=c11 -Wall -Wextra -Werror -o $(B)/examples/$$n $$e \$$(pkg-config --cflags --libs wkim)" || exit 1; done

install: lib ## headers, shared and static library, wkim.pc, server (PREFIX, DESTDIR)
	install -d $(DESTDIR)$(PREFIX)/include/wkim $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/bin
	install -m 644 include/wkim/*.h $(DESTDIR)$(PREFIX)/include/wkim/
	install -m 644 $(B)/libwkim.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(B)/libwkim.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/
	ln -sf libwkim.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libwkim.so.$(SOVERSION)
	ln -sf libwkim.so.$(SOVERSION) $(DESTDIR)$(PREFIX)/lib/libwkim.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' pkgconfig/wkim.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/wkim.pc
	[ ! -x $(B)/wkim-server ] || install -m 755 $(B)/wkim-server $(DESTDIR)$(PREFIX)/bin/

dist: ## source archive
	git archive --prefix=libwkim-$(VERSION)/ -o build/libwkim-$(VERSION).tar.gz HEAD

# ---- longer suites -------------------------------------------------------------------------------------
integration: all web ## real processes, real SDKs, kill -9
	$(call install_deps,$(DEPS_TEST) $(DEPS_WEB) $(DEPS_SDK))
	@sh test/suites.sh "python3 test/api/run.py" "sh test/sdk/run.sh"

browser: all web ## the demo page in a real browser
	$(call install_deps,$(DEPS_BROWSER) $(DEPS_WEB))
	@sh test/browser/run.sh

SEED ?= 1
SEEDS ?= 2000
sim: $(B)/test/sim/sim ## simulator: SEED=first SEEDS=how many
	@sh test/sim/run.sh $(B)/test/sim/sim $(SEED) $(SEEDS)

FUZZ_SECONDS ?= 10
fuzz: ## every decoder for FUZZ_SECONDS each (clang, libFuzzer, AddressSanitizer)
	$(call install_deps,$(DEPS_BUILD) $(DEPS_FUZZ))
	@sh test/fuzz/run.sh $(FUZZ_SECONDS)

asan ubsan tsan: lib ## every suite but the browser under a sanitizer
	$(call install_deps,$(DEPS_BUILD) $(DEPS_TEST) $(DEPS_WEB) $(DEPS_SDK))
	@$(MAKE) -j$(JOBS) --no-print-directory SAN=$(if $(filter asan,$@),address,$(if $(filter ubsan,$@),undefined,thread)) sanitized
sanitized: $(TEST_BIN) $(B)/test/sim/sim $(B)/wkim-server
	@JOBS=$(JOBS) sh test/sanitized.sh $(B) $(TEST_BIN)

perf: all ## throughput and latency against a Redis stream on this machine
	$(call install_deps,$(DEPS_PERF))
	@sh test/perf/run.sh

large-group: all ## a group of 100,000 members beside small channels
	@python3 test/perf/large_group.py

MINUTES ?= 20
soak: all ## mixed traffic for MINUTES (20): no error, no gap, nothing lost, flat memory
	$(call install_deps,$(DEPS_TEST))
	@python3 test/soak/soak.py --minutes $(MINUTES)

lint: $(B)/gen/wkhook.pb-c.h ## clang warnings, without linking
	@for f in $(LIB_SRC) $(SERVER_SRC); do clang $(filter-out -MMD -MP,$(CFLAGS_ALL)) -Iserver -I$(B)/gen -DWKIM_COMMIT='""' -fsyntax-only $$f || exit 1; done

-include $(patsubst %.c,$(B)/%.d,$(wildcard test/perf/wkload/*.c)) $(LIB_OBJ:.o=.d) $(SERVER_OBJ:.o=.d) $(SUPPORT_OBJ:.o=.d) $(TEST_BIN:=.d) $(SIM_SRC:%.c=$(B)/%.d)

clean:
	rm -rf build
