# Edgereplay: build, run, test.
#
#   make run      install what is missing, build, serve on 127.0.0.1:8080 with data in ./data
#   make check    install what is missing, build, run all tests
#   make unit     the unit tests alone; make e2e: the end-to-end stories alone
#   make faults   the fault suite's short form: kills, crashes at named steps, bad disks, networks, clocks (tests/README.md)
#   make soak     its long form, and the unit tests' long forms: hours
#   make check-honesty  plants known bugs, one at a time, and sees that the tests notice
#   make demo     two phones edit offline, conflict, retry and converge; cleans up after itself
#   make asan     the whole test suite under AddressSanitizer and UndefinedBehaviorSanitizer
#   make tsan     the whole test suite under ThreadSanitizer
#   make bench    the load matrix and this machine's limits, beside each other; writes loadtest/RESULTS.md (under 20 minutes)
#   make lint     clang-format, clang-tidy, cppcheck, the house rules
#   make fmt      format the sources
#   make install  build, and install both programs into PREFIX (/usr/local), below DESTDIR
#   make clean    remove build/
#
# Variables: V=1 (show the commands), BUILD (folder of the variant), GOAL (of asan and tsan: faults, unit, …), JOBS (linters at a time), CC, CFLAGS, LDFLAGS.

.DEFAULT_GOAL := all
SHELL := /bin/bash
BUILD ?= build/release
GOAL ?= check
PREFIX ?= /usr/local
CC := gcc
VERSION := 0.1.0

PACKAGES_BUILD := gcc libc6-dev libmicrohttpd-dev libsqlite3-dev libsodium-dev libjansson-dev libinih-dev \
	zlib1g-dev libcurl4-openssl-dev libsystemd-dev uthash-dev
PACKAGES_TEST := check python3
PACKAGES_FAULTS := nginx-light haproxy
PACKAGES_LINT := clang-format clang-tidy cppcheck

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
OPTIMISE ?= -O2 -g
HARDEN ?= -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
SANITIZE ?=
CPPFLAGS += -Iserver -I. -D_GNU_SOURCE -DEDGEREPLAY_VERSION='"$(VERSION)"'
ALL_CFLAGS = -std=c11 -pthread $(WARNINGS) $(OPTIMISE) $(HARDEN) $(SANITIZE) $(CFLAGS)
ALL_LDFLAGS = -pthread -pie $(SANITIZE) $(LDFLAGS)

# --- the rooms -------------------------------------------------------------------------------------

LAYERS := base chain store http api cli
sources = $(sort $(wildcard server/$(1)/*.c server/$(1)/*/*.c))
objects = $(patsubst server/%.c,$(BUILD)/server/%.o,$(call sources,$(1)))

# What an archive may see, itself first: an upward call does not link.
SEES_base  := base
SEES_chain := chain base
SEES_store := store chain base
SEES_http  := http base
SEES_api   := api http store chain base
SEES_cli   := cli store chain base
SEES_config := base
SEES_loadtest := loadtest chain base

LIBS_base := -linih -lsodium
LIBS_chain := $(LIBS_base)
LIBS_store := -lsqlite3 $(LIBS_base)
LIBS_http := -lmicrohttpd -lz $(LIBS_base)
LIBS_api := -ljansson -lmicrohttpd -lz $(LIBS_store)
LIBS_cli := -lcurl -ljansson $(LIBS_store)
LIBS_config := $(LIBS_base)
LIBS_loadtest := -ljansson -lm $(LIBS_base)
LIBS_limits := -lmicrohttpd -lsqlite3 -ljansson $(LIBS_base)

archives = $(foreach layer,$(SEES_$(1)),$(BUILD)/lib$(layer).a)

BINARIES := $(BUILD)/edgereplayd $(BUILD)/edgereplay

# The load tool, and the program that measures the machine itself.
LOAD_SOURCES := $(sort $(wildcard loadtest/*.c))
LIMITS_SOURCES := $(filter loadtest/limits%,$(LOAD_SOURCES))
load_objects = $(patsubst %.c,$(BUILD)/%.o,$(1))
LOAD_TOOLS := $(BUILD)/edgereplay-load $(BUILD)/edgereplay-limits

# --- tests -----------------------------------------------------------------------------------------

UNIT_SOURCES := $(sort $(wildcard tests/unit/*.c))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT_SOURCES))
E2E_TESTS := $(sort $(wildcard tests/e2e/[0-9]*.py))
FAULT_TESTS := $(sort $(wildcard tests/faults/[0-9]*.py))

.PHONY: all run check unit e2e faults soak faults-build check-honesty demo bench asan tsan lint fmt install clean help deps deps-test deps-faults deps-lint
all: $(BINARIES) $(LOAD_TOOLS)

run: $(BINARIES)
	$(BUILD)/edgereplayd --store.dir=./data

check: deps-test
	@$(MAKE) --no-print-directory $(BINARIES) $(LOAD_TOOLS) $(UNIT_TESTS)
	@tests/run $(BUILD) $(UNIT_TESTS) $(E2E_TESTS)

unit: deps-test
	@$(MAKE) --no-print-directory $(UNIT_TESTS)
	@tests/run $(BUILD) $(UNIT_TESTS)

e2e: deps-test
	@$(MAKE) --no-print-directory $(BINARIES) $(LOAD_TOOLS)
	@tests/run $(BUILD) $(E2E_TESTS)

# The daemon with fail points is a variant beside the others.
faults-build: deps-faults
	@$(MAKE) --no-print-directory $(BINARIES) $(LOAD_TOOLS)
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/faults CFLAGS="$(CFLAGS) -DEDGEREPLAY_FAIL_POINTS" \
		$(BUILD)/faults/edgereplayd

faults: faults-build
	@tests/run $(BUILD) $(FAULT_TESTS)

soak: faults-build
	@$(MAKE) --no-print-directory $(UNIT_TESTS)
	@EDGEREPLAY_SOAK=1 TEST_TIMEOUT=$${TEST_TIMEOUT:-86400} CK_TIMEOUT_MULTIPLIER=10000 \
		tests/run $(BUILD) $(UNIT_TESTS) $(FAULT_TESTS)

check-honesty: deps-faults
	@/usr/bin/python3 -B tests/honesty/check.py $(BUILD)

demo: deps-test
	@$(MAKE) --no-print-directory $(BINARIES)
	@/usr/bin/python3 tests/demo.py $(BUILD)

bench: deps-test
	@$(MAKE) --no-print-directory $(BINARIES) $(LOAD_TOOLS)
	@/usr/bin/python3 loadtest/bench.py $(BUILD)

asan:
	$(MAKE) $(GOAL) BUILD=build/asan OPTIMISE="-O1 -g -fno-omit-frame-pointer" HARDEN= \
		SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=all"

tsan:
	$(MAKE) $(GOAL) BUILD=build/tsan OPTIMISE="-O1 -g -fno-omit-frame-pointer" HARDEN= SANITIZE="-fsanitize=thread"

lint: deps-lint
	tests/lint/run

fmt: deps-lint
	clang-format -i $$(git ls-files '*.c' '*.h')

install: $(BINARIES) $(LOAD_TOOLS)
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BINARIES) $(DESTDIR)$(PREFIX)/bin

clean:
	rm -rf build

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

# --- dependencies ----------------------------------------------------------------------------------

deps:
	@tests/lint/packages $(PACKAGES_BUILD)

deps-test:
	@tests/lint/packages $(PACKAGES_BUILD) $(PACKAGES_TEST)

deps-faults:
	@tests/lint/packages $(PACKAGES_BUILD) $(PACKAGES_TEST) $(PACKAGES_FAULTS)

deps-lint:
	@tests/lint/packages $(PACKAGES_BUILD) $(PACKAGES_TEST) $(PACKAGES_LINT)

# A line a step; V=1 shows the commands instead.
ifeq ($(V),1)
say = @:
.SHELLFLAGS := -xc
else
say = @printf '%-5s %s\n' $(1) $(2)
endif

# --- building --------------------------------------------------------------------------------------

$(BUILD)/server/%.o: server/%.c Makefile | deps
	@mkdir -p $(@D)
	$(call say,CC,$<)
	@$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/loadtest/%.o: loadtest/%.c Makefile | deps
	@mkdir -p $(@D)
	$(call say,CC,$<)
	@$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/%.o: tests/unit/%.c Makefile | deps
	@mkdir -p $(@D)
	$(call say,CC,$<)
	@$(CC) $(CPPFLAGS) -Itests $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# schema/*.sql as C strings: schema/shard-001.sql becomes schema_shard_001.
$(BUILD)/schema.c: $(sort $(wildcard schema/*.sql)) Makefile
	@mkdir -p $(@D)
	@for file in $(sort $(wildcard schema/*.sql)); do \
		name=$$(basename $$file .sql | tr - _); \
		printf 'extern const char schema_%s[];\nconst char schema_%s[] =\n' $$name $$name; \
		sed 's/\\/\\\\/g; s/"/\\"/g; s/^/\t"/; s/$$/\\n"/' $$file; \
		printf '\t;\n'; \
	done > $@

$(BUILD)/schema.o: $(BUILD)/schema.c | deps
	@$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -Wno-overlength-strings -c -o $@ $<

define archive_rule
$(BUILD)/lib$(1).a: $(call objects,$(1)) $(if $(filter store,$(1)),$(BUILD)/schema.o)
	@rm -f $$@
	@ar rcs $$@ $$^
endef
$(foreach layer,$(LAYERS),$(eval $(call archive_rule,$(layer))))

$(BUILD)/edgereplayd: $(BUILD)/server/main.o $(BUILD)/server/config.o $(call archives,api)
	$(call say,LINK,$@)
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_api) -lsystemd

$(BUILD)/edgereplay: $(call archives,cli)
	$(call say,LINK,$@)
	@$(CC) $(ALL_LDFLAGS) -o $@ -Wl,--whole-archive $(BUILD)/libcli.a -Wl,--no-whole-archive \
		$(filter-out $(BUILD)/libcli.a,$^) $(LIBS_cli)

$(BUILD)/libloadtest.a: $(call load_objects,$(filter-out loadtest/main.c $(LIMITS_SOURCES),$(LOAD_SOURCES)))
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/edgereplay-load: $(BUILD)/loadtest/main.o $(call archives,loadtest)
	$(call say,LINK,$@)
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_loadtest)

$(BUILD)/edgereplay-limits: $(call load_objects,$(LIMITS_SOURCES)) $(BUILD)/schema.o $(call archives,chain)
	$(call say,LINK,$@)
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_limits)

# A test sees what its room sees: tests/unit/chain_settle.c links chain and base.
define test_rule
$(BUILD)/tests/$(1): $(BUILD)/tests/$(1).o $(if $(filter config%,$(1)),$(BUILD)/server/config.o) \
		$(call archives,$(firstword $(subst _, ,$(1))))
	$$(call say,LINK,$$@)
	@$(CC) $(ALL_LDFLAGS) -o $$@ $$^ $(LIBS_$(firstword $(subst _, ,$(1)))) -lcheck -lsubunit -ljansson -lrt -lm
endef
$(foreach test,$(notdir $(UNIT_TESTS)),$(eval $(call test_rule,$(test))))

.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
