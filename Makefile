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
#   make tsan     the test suite, but for what has one thread, under ThreadSanitizer
#   make fuzz     fuzzes for FUZZ_SEC (600) seconds each what reads clients' bytes and the config file; findings go to tests/fuzz/corpus
#   make bench    the load matrix and this machine's limits, beside each other; writes loadtest/RESULTS.md (under 20 minutes)
#   make lint     clang-format, clang-tidy, cppcheck, the house rules
#   make fmt      format the sources
#   make install  build, and install both programs, their manual pages and what systemd wants into PREFIX (/usr/local), below DESTDIR
#   make image    the container image edgereplay, by podman; make image-test: tries it, end-to-end stories included
#   make deb      a Debian package, into BUILD; make deb-test: installs, starts, upgrades and purges it, under systemd in a container
#   make clean    remove build/
#
# Variables: FUZZ_SEC, V=1 (show the commands), BUILD (folder of the variant), GOAL (of asan and tsan: faults, unit, …), JOBS (tests, linters at a time), AGAIN=1 (try once more what failed), CC, CFLAGS, LDFLAGS.

.DEFAULT_GOAL := all
SHELL := /bin/bash
BUILD ?= build/release
GOAL ?= check
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
CC := gcc
VERSION := 0.1.0

PACKAGES_BUILD := gcc libc6-dev libmicrohttpd-dev libsqlite3-dev libsodium-dev libjansson-dev libinih-dev \
	zlib1g-dev libcurl4-openssl-dev libsystemd-dev uthash-dev librhonabwy-dev libgnutls28-dev
PACKAGES_PYTHON := python3 # writes the manual pages from what the programs say of themselves, and plays the demo
PACKAGES_TEST := check python3 python3-cryptography python3-jwt nginx-light haproxy caddy slowhttptest openssl \
	prometheus python3-prometheus-client python3-jsonschema python3-yaml nodejs
PACKAGES_LINT := clang-format clang-tidy cppcheck
PACKAGES_SERVICE := systemd man-db # tests of what make install puts in place
PACKAGES_DEB := debhelper fakeroot lintian
PACKAGES_IMAGE := podman runc uidmap catatonit netavark aardvark-dns golang-github-containers-common iptables mmdebstrap \
	podman-compose

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
OPTIMISE ?= -O2 -g
HARDEN ?= -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
SANITIZE ?=
CPPFLAGS += -Iserver -I. -D_GNU_SOURCE -DEDGEREPLAY_VERSION='"$(VERSION)"'
ALL_CFLAGS = -std=c11 -pthread $(WARNINGS) $(OPTIMISE) $(HARDEN) $(SANITIZE) $(CFLAGS)
ALL_LDFLAGS = -pthread -pie -Wl,-z,relro -Wl,-z,now $(SANITIZE) $(LDFLAGS)

# --- the rooms -------------------------------------------------------------------------------------

LAYERS := base chain store http auth api webhook admin cli
sources = $(sort $(wildcard server/$(1)/*.c server/$(1)/*/*.c))
objects = $(patsubst server/%.c,$(BUILD)/server/%.o,$(call sources,$(1)))

# What an archive may see, itself first: an upward call does not link.
SEES_base  := base
SEES_chain := chain base
SEES_store := store chain base
SEES_http  := http base
SEES_auth  := auth chain base
SEES_api   := api http auth store chain base
SEES_admin := admin webhook api http auth store chain base
SEES_webhook := webhook chain base
SEES_cli   := cli store chain base
SEES_config := base
SEES_loadtest := loadtest chain base

LIBS_base := -linih -lsodium
LIBS_chain := $(LIBS_base)
LIBS_store := -lsqlite3 $(LIBS_base)
LIBS_http := -lmicrohttpd -lgnutls -lz $(LIBS_base)
LIBS_auth := -lrhonabwy -lgnutls -lcurl -ljansson -lm $(LIBS_base)
LIBS_api := -ljansson -lmicrohttpd -lz $(LIBS_store) $(LIBS_auth)
LIBS_admin = $(LIBS_api)
LIBS_webhook := -lcurl $(LIBS_base)
LIBS_cli := -lcurl -ljansson -lz $(LIBS_store)
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

# What make install puts in place besides the programs.
MAN_PAGES := $(BUILD)/man/edgereplayd.8.gz $(BUILD)/man/edgereplay.1.gz
UNITS := $(wildcard config/*.service config/*.socket config/*.timer)
DEB := edgereplay_$(VERSION)_$(shell dpkg --print-architecture 2>/dev/null).deb
IMAGE ?= localhost/edgereplay:$(VERSION)
# Those that look at the daemon from outside only, and are quick.
IMAGE_STORIES ?= $(foreach number,01 02 03 04 05 06 14 16 17 20 24 26 40 60 61 63,$(wildcard tests/e2e/$(number)_*.py))

# --- tests -----------------------------------------------------------------------------------------

FUZZ_SOURCES := $(sort $(wildcard tests/fuzz/*_*.c))
FUZZERS := $(notdir $(basename $(FUZZ_SOURCES)))
FUZZ_REPLAYS := $(filter-out $(ONE_THREAD:%=$(BUILD)/tests/%),$(FUZZERS:%=$(BUILD)/tests/fuzz_%))
FUZZ_SEC ?= 600

UNIT_SOURCES := $(sort $(wildcard tests/unit/*.c))
ONE_THREAD ?= # unit tests that tsan leaves out
UNIT_TESTS := $(filter-out $(ONE_THREAD:%=$(BUILD)/tests/%),$(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT_SOURCES)))
EXAMPLE := $(BUILD)/example-client # of docs/clients.md
EXAMPLE_FILES := $(sort $(wildcard docs/examples/c/*.[ch]))
LONG_TESTS := $(filter $(BUILD)/tests/store_%,$(UNIT_TESTS)) # they start first
LONGEST := tests/e2e/62_proxies.py# minutes, in which it waits: before all others
E2E_TESTS := $(LONGEST) $(filter-out $(LONGEST),$(sort $(wildcard tests/e2e/[0-9]*.py)))
FAULT_TESTS := $(sort $(wildcard tests/faults/[0-9]*.py))

# Of a make that builds: all processors at once, unless make was told how many.
AT_ONCE = --no-print-directory $(if $(findstring --jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: programs man deb deb-test image image-test deps-deb deps-python
.PHONY: all run check unit e2e faults soak faults-build check-honesty demo fuzz fuzz-build bench asan tsan lint fmt install clean help deps deps-test deps-lint
all: $(BINARIES) $(LOAD_TOOLS)

run: $(BINARIES)
	$(BUILD)/edgereplayd --store.dir=./data

check: deps-test
	@$(MAKE) $(AT_ONCE) $(BINARIES) $(LOAD_TOOLS) $(EXAMPLE) $(UNIT_TESTS) $(FUZZ_REPLAYS)
	@tests/run $(BUILD) $(LONGEST) $(LONG_TESTS) $(filter-out $(LONGEST),$(E2E_TESTS)) $(filter-out $(LONG_TESTS),$(UNIT_TESTS)) \
		$(FUZZ_REPLAYS)

unit: deps-test
	@$(MAKE) $(AT_ONCE) $(UNIT_TESTS)
	@tests/run $(BUILD) $(LONG_TESTS) $(filter-out $(LONG_TESTS),$(UNIT_TESTS))

e2e: deps-test
	@$(MAKE) $(AT_ONCE) $(BINARIES) $(LOAD_TOOLS) $(EXAMPLE)
	@tests/run $(BUILD) $(E2E_TESTS)

# The daemon with fail points is a variant beside the others.
faults-build: deps-test
	@$(MAKE) $(AT_ONCE) $(BINARIES) $(LOAD_TOOLS)
	@$(MAKE) $(AT_ONCE) BUILD=$(BUILD)/faults CFLAGS="$(CFLAGS) -DEDGEREPLAY_FAIL_POINTS" \
		$(BUILD)/faults/edgereplayd

faults: faults-build
	@tests/run $(BUILD) $(FAULT_TESTS)

soak: faults-build
	@$(MAKE) $(AT_ONCE) $(UNIT_TESTS)
	@EDGEREPLAY_SOAK=1 TEST_TIMEOUT=$${TEST_TIMEOUT:-86400} CK_TIMEOUT_MULTIPLIER=10000 \
		tests/run $(BUILD) $(UNIT_TESTS) $(FAULT_TESTS)

check-honesty: deps-test
	@/usr/bin/python3 -B tests/honesty/check.py $(BUILD)

demo: deps-python
	@$(MAKE) $(AT_ONCE) $(BINARIES)
	@/usr/bin/python3 tests/demo.py $(BUILD)

bench: deps-test
	@$(MAKE) $(AT_ONCE) $(BINARIES) $(LOAD_TOOLS)
	@/usr/bin/python3 loadtest/bench.py $(BUILD)

asan:
	$(MAKE) $(GOAL) BUILD=build/asan OPTIMISE="-O1 -g -fno-omit-frame-pointer" HARDEN= \
		SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=all"

# The tool has one thread, as what reads and writes texts, and is the release's here.
tsan:
	$(MAKE) $(AT_ONCE) $(BUILD)/edgereplay
	EDGEREPLAY_TOOL=$(abspath $(BUILD)/edgereplay) $(MAKE) $(GOAL) BUILD=build/tsan OPTIMISE="-O1 -g -fno-omit-frame-pointer" \
		HARDEN= SANITIZE="-fsanitize=thread" ONE_THREAD="chain_% cli_% config_% loadtest_answer loadtest_daemon loadtest_histogram loadtest_plan loadtest_re% loadtest_users api_json% api_wire% fuzz_%"

# A variant of its own, by clang; one fuzzer after the other, so that each has the machine.
fuzz: deps-lint
	@$(MAKE) $(AT_ONCE) BUILD=$(BUILD)/fuzz CC=clang WARNINGS=-w OPTIMISE="-O1 -g -fno-omit-frame-pointer" HARDEN= \
		SANITIZE="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" fuzz-build
	@for fuzzer in $(FUZZERS); do \
		mkdir -p $(BUILD)/fuzz/corpus/$$fuzzer; \
		$(BUILD)/fuzz/fuzz/$$fuzzer -max_total_time=$(FUZZ_SEC) -timeout=10 -print_final_stats=1 \
			-artifact_prefix=tests/fuzz/corpus/$$fuzzer/ $(BUILD)/fuzz/corpus/$$fuzzer \
			tests/fuzz/corpus/$$fuzzer > $(BUILD)/fuzz/$$fuzzer.log 2>&1 || { tail -n 60 $(BUILD)/fuzz/$$fuzzer.log; exit 1; }; \
		echo "$$fuzzer: $$(sed -n 's/^stat::number_of_executed_units: //p' $(BUILD)/fuzz/$$fuzzer.log) inputs in $(FUZZ_SEC) s, clean"; \
	done

fuzz-build: $(FUZZERS:%=$(BUILD)/fuzz/%)

lint: deps-lint
	tests/lint/run

fmt: deps-lint
	clang-format -i $$(git ls-files '*.c' '*.h')

programs: $(BINARIES)
man: $(MAN_PAGES)

install: $(BINARIES) $(MAN_PAGES)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man8 \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/lib/tmpfiles.d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSCONFDIR)/edgereplay
	install -m 755 $(BINARIES) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(BUILD)/man/edgereplay.1.gz $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 $(BUILD)/man/edgereplayd.8.gz $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 config/edgereplay.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/edgereplay.conf
	install -m 644 config/edgereplay.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/edgereplay.conf
	for unit in $(UNITS); do \
		sed 's|/usr/bin/edgereplay|$(PREFIX)/bin/edgereplay|g' $$unit > $(DESTDIR)$(UNITDIR)/$$(basename $$unit) || exit 1; \
	done
	test -e $(DESTDIR)$(SYSCONFDIR)/edgereplay/edgereplay.ini || \
		install -m 644 config/service.ini $(DESTDIR)$(SYSCONFDIR)/edgereplay/edgereplay.ini

# Debhelper works in its folder beside the sources; what it makes there goes again.
deb: deps-deb
	@$(MAKE) $(AT_ONCE) $(BINARIES) $(MAN_PAGES)
	@fakeroot debian/rules clean > $(BUILD)/deb.log 2>&1
	@BUILD=$(abspath $(BUILD)) fakeroot debian/rules binary >> $(BUILD)/deb.log 2>&1 || { tail -n 40 $(BUILD)/deb.log; exit 1; }
	@fakeroot debian/rules clean >> $(BUILD)/deb.log 2>&1
	@lintian --fail-on=error,warning --tag-display-limit=0 --allow-root $(BUILD)/$(DEB)
	@ls -l $(BUILD)/$(DEB)

deb-test: deps-test
	@tests/image/base $(BUILD) $(PACKAGES_IMAGE) || exit 0; \
		$(MAKE) $(AT_ONCE) deb && TEST_TIMEOUT=1800 tests/run $(BUILD) tests/image/deb.py

# On the base that is made of Debian's packages, or on DEBIAN=….
image:
	@tests/image/base $(BUILD) $(PACKAGES_IMAGE)
	@tests/image/build $(BUILD) $(IMAGE)

image-test: deps-test
	@tests/image/base $(BUILD) $(PACKAGES_IMAGE) || exit 0; \
		$(MAKE) $(AT_ONCE) $(BINARIES) $(LOAD_TOOLS) image && \
		tests/image/run $(BUILD) $(IMAGE) tests/image/image.py tests/image/compose.py $(IMAGE_STORIES)

clean:
	rm -rf build

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

# --- dependencies ----------------------------------------------------------------------------------

deps:
	@tests/lint/packages $(PACKAGES_BUILD)

deps-test:
	@tests/lint/packages $(PACKAGES_BUILD) $(PACKAGES_TEST) $(PACKAGES_SERVICE)

deps-python:
	@tests/lint/packages $(PACKAGES_PYTHON)

deps-deb:
	@tests/lint/packages $(PACKAGES_BUILD) $(PACKAGES_PYTHON) $(PACKAGES_DEB)

deps-lint:
	@tests/lint/packages $(PACKAGES_BUILD) $(PACKAGES_TEST) $(PACKAGES_SERVICE) $(PACKAGES_LINT)

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

$(BUILD)/edgereplayd: $(addprefix $(BUILD)/server/,main.o addresses.o options.o notify.o config.o) $(call archives,admin)
	$(call say,LINK,$@)
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_api) -lsystemd

$(BUILD)/edgereplay: $(call archives,cli)
	$(call say,LINK,$@)
	@$(CC) $(ALL_LDFLAGS) -o $@ -Wl,--whole-archive $(BUILD)/libcli.a -Wl,--no-whole-archive \
		$(filter-out $(BUILD)/libcli.a,$^) $(LIBS_cli)

$(BUILD)/man/%.gz: $(BINARIES) docs/man.py | deps-python
	@mkdir -p $(@D)
	@/usr/bin/python3 -B docs/man.py $(BUILD) $* > $(BUILD)/man/$*
	@gzip -9nc $(BUILD)/man/$* > $@

$(BUILD)/libloadtest.a: $(call load_objects,$(filter-out loadtest/main.c $(LIMITS_SOURCES),$(LOAD_SOURCES)))
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/edgereplay-load: $(BUILD)/loadtest/main.o $(call archives,loadtest)
	$(call say,LINK,$@)
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_loadtest)

$(BUILD)/edgereplay-limits: $(call load_objects,$(LIMITS_SOURCES)) $(BUILD)/schema.o $(call archives,chain)
	$(call say,LINK,$@)
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_limits)

$(EXAMPLE): $(EXAMPLE_FILES) Makefile | deps
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	@$(CC) -D_GNU_SOURCE $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.c,$^) -lcurl -ljansson -lsqlite3 -lsodium

# A test sees what its room sees: tests/unit/chain_settle.c links chain and base.
define test_rule
$(BUILD)/tests/$(1): $(BUILD)/tests/$(1).o $(if $(filter config%,$(1)),$(BUILD)/server/config.o) \
		$(call archives,$(firstword $(subst _, ,$(1))))
	$$(call say,LINK,$$@)
	@$(CC) $(ALL_LDFLAGS) -o $$@ $$^ $(LIBS_$(firstword $(subst _, ,$(1)))) -lcheck -lsubunit -ljansson -lrt -lm
endef
$(foreach test,$(notdir $(UNIT_TESTS)),$(eval $(call test_rule,$(test))))

# A fuzzer sees what its room sees; its replay is the same with a main() that reads the corpus.
$(BUILD)/fuzz/%.o: tests/fuzz/%.c Makefile | deps
	@mkdir -p $(@D)
	$(call say,CC,$<)
	@$(CC) $(CPPFLAGS) -Itests $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

define fuzz_rule
FUZZ_PARTS_$(1) := $(BUILD)/fuzz/$(1).o $(if $(filter config%,$(1)),$(BUILD)/server/config.o) $(call archives,$(firstword $(subst _, ,$(1))))
$(BUILD)/fuzz/$(1): $$(FUZZ_PARTS_$(1))
	$$(call say,LINK,$$@)
	@$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $$@ $$^ $(LIBS_$(firstword $(subst _, ,$(1))))
$(BUILD)/tests/fuzz_$(1): $(BUILD)/fuzz/replay.o $$(FUZZ_PARTS_$(1))
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	@$(CC) $(ALL_LDFLAGS) -o $$@ $$^ $(LIBS_$(firstword $(subst _, ,$(1))))
endef
$(foreach fuzzer,$(FUZZERS),$(eval $(call fuzz_rule,$(fuzzer))))

.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
