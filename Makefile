# SPDX-License-Identifier: GPL-2.0-or-later
#
# `make` builds, `make demo` shows, `make test` tests; `make help` lists the rest.

PREFIX ?= /usr/local
DESTDIR ?=
SWIFT ?= swift
SWIFT_FLAGS ?=
CONFIGURATION ?= release

# The Debian packages, the one place that names them: to build, and to run, show and test.
BUILD_PACKAGES := libbpf-dev libelf-dev libpcap-dev zlib1g-dev libzstd-dev libssl-dev libseccomp-dev pkg-config make git
RUN_PACKAGES = gnuplot-nox babeltrace2 tcpdump sockperf iperf3 nftables iproute2 iputils-ping ethtool clang-format python3 zstd \
	$(PAIRING_PACKAGES) $(TRAFFIC_PACKAGES) $(LAB_PACKAGES)
# What pairing is checked against, and the clients of the servers below.
PAIRING_PACKAGES := tshark dnsmasq-base dnsperf redis-tools apache2-utils sip-tester
# An independent sender and reflector.
TRAFFIC_PACKAGES := python3-scapy
# What would run as a service once it is installed: unpacked below build/services, so that none runs but within tests.
SERVICE_PACKAGES := memcached kamailio nginx linuxptp
# What boots and fills the virtual machines of the lab.
LAB_PACKAGES := qemu-system-x86 busybox-static kmod cpio xz-utils binutils e2fsprogs

# The first clang that has the bpf target: on the PATH, beside swift, or Debian's.
BPF_CLANG ?= $(shell for clang in clang "$$(dirname "$$(readlink -f "$$(command -v $(SWIFT))")")/clang" \
	/usr/bin/clang /usr/bin/clang-[0-9]*; do \
	"$$clang" -print-targets 2>/dev/null | grep -qw bpf && { echo "$$clang"; break; }; done)
# The layout of pt_regs; named as in libbpf's bpf_tracing.h.
BPF_ARCH := $(shell uname -m | sed -e 's/x86_64/x86/' -e 's/aarch64/arm64/' -e 's/riscv64/riscv/' \
	-e 's/ppc64le/powerpc/' -e 's/s390x/s390/')
# BPF_PROG of bpf_tracing.h declares a context that most programs do not use.
BPF_CFLAGS := -target bpf -D__TARGET_ARCH_$(BPF_ARCH) -mcpu=v3 -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter \
	-Ibpf/abi/include -Ibpf/include
# Swift's clang moves cold code into functions of its own, which libbpf cannot link; other clangs have no such switch.
BPF_CFLAGS += $(shell [ -n "$(BPF_CLANG)" ] && "$(BPF_CLANG)" -Xclang -fno-split-cold-code -x c -fsyntax-only /dev/null \
	2>/dev/null && echo -Xclang -fno-split-cold-code)
BPF_OBJECTS := $(patsubst bpf/%.bpf.c,build/bpf/%.bpf.o,$(wildcard bpf/*.bpf.c))

SWIFT_BUILD := $(SWIFT) build -c $(CONFIGURATION) --explicit-target-dependency-import-check error $(SWIFT_FLAGS)
LATPROBE := .build/$(CONFIGURATION)/latprobe
C_FILES = $(wildcard benchmarks/*/*.c bpf/*.[ch] bpf/include/*.h bpf/abi/*.c bpf/abi/include/*.h Sources/C*/*.c Sources/C*/include/*.h \
	fuzz/Sources/C*/*.c fuzz/Sources/C*/include/*.h)
SHELL_FILES = $(wildcard .ci/run demo/*.sh lab/*.sh Tests/*.sh benchmarks/*.sh benchmarks/*/*.sh fuzz/*.sh)
SWIFT_PATHS = Package.swift Sources $(wildcard Tests benchmarks lab fuzz)

.DELETE_ON_ERROR:

.PHONY: all deps bpf build share test demo lab bench soak fuzz check check-deep format install clean help

all: build share ## build the BPF object, the program, its manual pages and completions (the default)

deps: ## install the Debian packages that are missing, if any (needs root)
	@command -v dpkg-query >/dev/null || { \
		echo "deps: not a Debian; see to it that you have: $(BUILD_PACKAGES) $(RUN_PACKAGES)"; exit 0; }; \
	missing=; \
	for package in $(BUILD_PACKAGES) $(RUN_PACKAGES) $(if $(BPF_CLANG),,clang); do \
		dpkg-query -W -f '$${db:Status-Status}\n' "$$package" 2>/dev/null | grep -qx installed \
			|| missing="$$missing $$package"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	root=; \
	if [ "$$(id -u)" != 0 ]; then \
		command -v sudo >/dev/null || { \
			echo "deps: missing$$missing; run as root: apt-get install$$missing" >&2; exit 1; }; \
		echo "deps: installing$$missing (sudo: installing packages needs root)"; root=sudo; \
	else \
		echo "deps: installing$$missing"; \
	fi; \
	$$root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing || { \
		$$root apt-get update && \
		$$root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing; }
	@Tests/services.sh build/services $(SERVICE_PACKAGES)

bpf: $(BPF_OBJECTS) ## build the BPF object alone

build/bpf/%.bpf.o: bpf/%.bpf.c Makefile
	@[ -n "$(BPF_CLANG)" ] || { echo "bpf: no clang with the bpf target; run 'make deps'" >&2; exit 1; }
	@mkdir -p $(@D)
	"$(BPF_CLANG)" $(BPF_CFLAGS) -MMD -MP -MF build/bpf/$*.d -MT $@ -c $< -o $@

build/bpf/overhead.bpf.o: benchmarks/overhead/overhead.bpf.c bpf/include/kernel.h Makefile
	@mkdir -p $(@D)
	"$(BPF_CLANG)" $(BPF_CFLAGS) -c $< -o $@

-include $(BPF_OBJECTS:.o=.d) $(wildcard build/bpf/*.d)

build: bpf ## build everything
	@[ -x "$(LATPROBE)" ] || echo "build: the first build takes some minutes, all of them the Swift compiler's"
	$(SWIFT_BUILD)

test: deps bpf ## run all tests (root for those that need namespaces)
	SWIFT="$(SWIFT)" Tests/run.sh $(SWIFT_FLAGS)

demo: deps build ## record, report and gate real traffic between two network namespaces (needs root)
	LATPROBE="$(LATPROBE)" demo/run.sh

lab: deps build ## the same on a KVM host and its guest, under QEMU; SCENARIO=lab/scenarios/… (needs root)
	LATPROBE="$(LATPROBE)" lab/run.sh $(or $(SCENARIO),lab/scenarios/udp-6.1.yaml)

bench: deps build build/bpf/overhead.bpf.o ## measure what a stamp costs (needs root)
	benchmarks/overhead/run.sh

soak: deps build ## send and reflect for SECONDS (600): memory stays, no packet is lost uncounted (needs root)
	LATPROBE="$(LATPROBE)" benchmarks/soak/run.sh $(or $(SECONDS),600)

# libFuzzer watches what each input reaches, for which everything is built once more; a debug build takes less time.
FUZZ_CONFIGURATION ?= release
fuzz: deps ## give hostile bytes to every parser for FUZZ_SECONDS (60)
	LATPROBE_FUZZ=1 $(SWIFT) build -c $(FUZZ_CONFIGURATION) --sanitize fuzzer --scratch-path .build-fuzz --product fuzz $(SWIFT_FLAGS)
	FUZZ=.build-fuzz/$(FUZZ_CONFIGURATION)/fuzz FUZZ_SEED=$(FUZZ_SEED) fuzz/run.sh $(or $(FUZZ_SECONDS),60)

# One test at a time: all at once they did not end in six minutes. What libraries leave at exit is no leak of ours.
# Reporting draws hundreds of pictures, each by a process that is forked from the whole: it takes longer than all the rest.
ADDRESS_LEAVES_OUT := Integration Reporting
# What has threads; the others would be slow and find nothing.
THREADED := Remote Timing Traffic
check-deep: bpf ## tests that need no root: nearly all under the address sanitizer, of what has threads under the thread sanitizer
	ASAN_OPTIONS=detect_leaks=0 $(SWIFT) test --no-parallel --sanitize address --scratch-path .build-address \
		$(ADDRESS_LEAVES_OUT:%=--skip '^%Tests\.') $(SWIFT_FLAGS)
	TSAN_OPTIONS=suppressions=$(CURDIR)/Tests/thread-sanitizer.suppressions \
		$(SWIFT) test --sanitize thread --scratch-path .build-thread $(THREADED:%=--filter '^%Tests\.') $(SWIFT_FLAGS)

.PHONY: extremes
extremes: deps bpf ## every number of files and messages at its extremes, EXTREMES (10000) sessions; SEED chooses them
	LATPROBE_EXTREMES=$(or $(EXTREMES),10000) LATPROBE_SEED=$(or $(SEED),41) \
		$(SWIFT) test $(SWIFT_FLAGS) --filter 'ExtremesTests|GrowthTests'

check: ## formatting and lint, as CI sees them
	$(SWIFT) format lint --strict --parallel --recursive $(SWIFT_PATHS)
	$(if $(C_FILES),clang-format --dry-run -Werror $(C_FILES))
	for file in $(SHELL_FILES); do bash -n "$$file" || exit 1; done
	if command -v shellcheck >/dev/null; then shellcheck $(SHELL_FILES); else echo "check: no shellcheck, left out"; fi

format: ## format all sources in place
	$(SWIFT) format --in-place --parallel --recursive $(SWIFT_PATHS)
	$(if $(C_FILES),clang-format -i $(C_FILES))

# Shell completions and manual pages, both made by the argument parser from the commands themselves. The plugin builds
# the program anew without SWIFT_FLAGS, so what is to be installed is put aside first.
share: build
	@mkdir -p build/share/man build/share/completions
	cp $(LATPROBE) build/share/latprobe
	$(LATPROBE) --generate-completion-script bash >build/share/completions/latprobe
	$(LATPROBE) --generate-completion-script zsh >build/share/completions/_latprobe
	$(LATPROBE) --generate-completion-script fish >build/share/completions/latprobe.fish
	$(SWIFT) package plugin generate-manual --multi-page
	rm -f build/share/man/*
	cp .build/plugins/GenerateManual/outputs/latprobe/*.1 build/share/man/

# Copies alone, since root may not find Swift, and would leave files of its own in .build.
install: ## install what `make` built under PREFIX (default /usr/local), below DESTDIR if given
	@for file in build/share/latprobe build/share/completions/latprobe.fish build/share/man/latprobe.1 $(BPF_OBJECTS); do \
		[ -e "$$file" ] || { echo "install: no $$file; run 'make' first" >&2; exit 1; }; \
	done
	install -D -m 755 build/share/latprobe "$(DESTDIR)$(PREFIX)/bin/latprobe"
	install -d "$(DESTDIR)$(PREFIX)/lib/latprobe" "$(DESTDIR)$(PREFIX)/share/latprobe/probes" \
		"$(DESTDIR)$(PREFIX)/share/man/man1"
	install -m 644 $(BPF_OBJECTS) "$(DESTDIR)$(PREFIX)/lib/latprobe/"
	install -m 644 probes/*.yaml "$(DESTDIR)$(PREFIX)/share/latprobe/probes/"
	install -m 644 build/share/man/*.1 "$(DESTDIR)$(PREFIX)/share/man/man1/"
	install -D -m 644 build/share/completions/latprobe "$(DESTDIR)$(PREFIX)/share/bash-completion/completions/latprobe"
	install -D -m 644 build/share/completions/_latprobe "$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_latprobe"
	install -D -m 644 build/share/completions/latprobe.fish \
		"$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/latprobe.fish"

clean: ## remove what was built (recordings and reports in out/ stay)
	rm -rf build .build .build-fuzz .build-address .build-thread

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
