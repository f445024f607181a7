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
OPT ?= $(if $(SAN),-O1 -g -fno-omit-frame-pointer -fsanitize=$(SAN) $(if $(filter undefined,$(SAN)),-fno-sanitize-recover=all),-O2 -g)
CFLAGS_ALL := -std=gnu11 $(OPT) $(WARN) -fPIC -fvisibility=hidden -fno-strict-aliasing -pthread \
	-D_GNU_SOURCE -DWKIM_VERSION_TEXT='"$(VERSION)"' -Iinclude -Ilib -MMD -MP $(CFLAGS)
LDFLAGS_ALL := -pthread $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)

LIB_LIBS := -levent_core -levent_pthreads -lrocksdb -ljansson -lcrypto
SERVER_LIBS := -lwebsockets -levent_core -levent_extra -levent_openssl -levent_pthreads -lyaml -lcurl -lnghttp2 -lprotobuf-c -ljansson -lssl -lcrypto -lz

LIB_SRC := $(foreach r,$(ROOMS),$(sort $(wildcard lib/$(r)/*.c)))
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o)
SERVER_SRC := $(sort $(wildcard server/*.c server/http/*.c))
SERVER_OBJ := $(SERVER_SRC:%.c=$(B)/%.o)
SUPPORT_SRC := $(sort $(wildcard test/support/*.c))
SUPPORT_OBJ := $(SUPPORT_SRC:%.c=$(B)/%.o)

TEST_SRC := $(sort $(wildcard test/unit/*/test_*.c test/prop/test_*.c test/oom/test_*.c test/scenario/test_*.c test/abi/test_*.c))
TEST_BIN := $(TEST_SRC:%.c=$(B)/%)
SIM_SRC := $(sort $(wildcard test/sim/*.c))
FUZZ_SRC := $(sort $(wildcard test/fuzz/fuzz_*.c))
FUZZ_BIN := $(FUZZ_SRC:%.c=$(B)/%)
PERF_SRC := $(sort $(wildcard test/perf/*.c))
EXAMPLES := $(sort $(wildcard examples/*.c))

.PHONY: all lib server run check test integration browser sim fuzz asan ubsan tsan abi perf install dist web deps lint clean help tidy examples
.DEFAULT_GOAL := all

all: lib server ## library, server, command line
lib: $(B)/libwkim.a $(B)/libwkim.so
server: $(B)/wkim-server

help: ## list of targets
	@sed -n 's/^\([a-z]*\):.*## /\1: /p' Makefile

# ---- objects -------------------------------------------------------------------------------------
$(B)/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -c -o $@ $<
$(B)/server/%.o: server/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -Iserver -c -o $@ $<
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
	$(Q)$(CC) -o $@ $< $(B)/libtestsupport.a $(B)/libwkim-internal.a $(LDFLAGS_ALL) -lcmocka $(LIB_LIBS)
$(B)/test/sim/sim: $(SIM_SRC:%.c=$(B)/%.o) $(B)/libwkim-internal.a $(B)/libtestsupport.a
	$(Q)$(CC) -o $@ $(SIM_SRC:%.c=$(B)/%.o) $(B)/libtestsupport.a $(B)/libwkim-internal.a $(LDFLAGS_ALL) $(LIB_LIBS)
$(B)/test/perf/%: $(B)/test/perf/%.o $(B)/libwkim-internal.a $(B)/libtestsupport.a
	$(Q)$(CC) -o $@ $< $(B)/libtestsupport.a $(B)/libwkim-internal.a $(LDFLAGS_ALL) $(LIB_LIBS)

test: $(TEST_BIN) ## unit, property, scenario and allocation-failure tests (no installation)
	$(Q)JOBS=$(JOBS) sh test/run.sh $(TEST_BIN)

-include $(LIB_OBJ:.o=.d) $(SERVER_OBJ:.o=.d) $(SUPPORT_OBJ:.o=.d) $(TEST_BIN:=.d) $(SIM_SRC:%.c=$(B)/%.d)

clean:
	rm -rf build
