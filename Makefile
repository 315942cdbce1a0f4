# The whole set-up. `make run` and `make test` each work alone on a machine with Debian's base, git, make and root.
#
#   make build     into .venv/            make run      a demo server in the foreground
#   make test      lint and every test    make bench    figures, ours beside the peers'
#   make lint      ruff and mypy          make fuzz     minutes of fuzzing (FUZZ_SECONDS)
#                                         make soak     the end-to-end tests at a release's numbers
#   make native-sanitized                 the native cores under ASan and UBSan (OCSENTRY_LEAKS=1: leaks too)
#   make native-races                     their threads under ThreadSanitizer
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --retries 10 --timeout 60
FUZZ_SECONDS ?= 600
SOAK_ROUNDS ?= 500
SOAK_SECONDS ?= 3600

PACKAGES := build-essential autoconf automake libtool python3 python3-dev python3-venv iproute2 ca-certificates
TEST_PACKAGES := openconnect iputils-ping nftables procps
BENCH_PACKAGES := ocserv iperf3 wireguard-go wireguard-tools
FUZZ_PACKAGES := clang libclang-rt-14-dev
NATIVE_SOURCES := $(shell find sentry_engine/native vpn_frontend/native sentry_engine/wolfsentry/native -name "*.[ch]" -o -name "*.py")

RACES := tests/sentry_engine/native tests/sentry_engine/cores/test_native_overlay.py tests/vpn_frontend/native/dtls/test_handshake.py \
    tests/vpn_frontend/native/runtime/test_sharing.py tests/vpn_frontend/native/runtime/test_threads.py \
    tests/vpn_frontend/native/tunnel/test_client_probe.py tests/vpn_frontend/native/tunnel/test_dtls_channel.py \
    tests/vpn_frontend/native/tunnel/test_session.py

.PHONY: build run test lint unit e2e native-sanitized native-races fuzz-short bench fuzz soak clean

build: $(VENV)/.built

# Asks dpkg first, so that nothing is fetched where nothing is missing. Another make on the machine that installs, and
# whoever else does, is waited for; an archive that does not answer is asked again.
APT := DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=5 -o DPkg::Lock::Timeout=600
define install
	@missing=$$(for p in $(1); do dpkg-query -Wf '$${Status}\n' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then echo "installing" $$missing; exec 9>/run/lock/ocsentry-apt && flock 9 && \
	    $(APT) update && $(APT) install -y --no-install-recommends $$missing >/dev/null; fi
	@mkdir -p .build && touch $@
endef

.build/packages: Makefile
	$(call install,$(PACKAGES))
.build/test-packages: Makefile
	$(call install,$(TEST_PACKAGES))
.build/bench-packages: Makefile
	$(call install,$(BENCH_PACKAGES))
.build/fuzz-packages: Makefile
	$(call install,$(FUZZ_PACKAGES))

# Once more, too, when the build that it names was cleared away.
.build/wolfssl: vpn_frontend/native/wolfssl.sh .build/packages $(if $(wildcard $(file <.build/wolfssl)/include/wolfssl),,FORCE)
	prefix=$$(vpn_frontend/native/wolfssl.sh) && echo "$$prefix" >$@
FORCE:

# Serialised by a lock, so that two makes in one checkout do not build over each other. An environment without pip is
# one whose making was interrupted.
$(VENV)/.installed: pyproject.toml .build/packages .build/wolfssl
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ocsentry needs Python 3.11 or newer; set PYTHON=")'
	@flock .build/.lock sh -c '$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)'
	flock .build/.lock $(PIP) install 'setuptools>=80' 'cffi>=2.1' wheel
	flock .build/.lock env OCSENTRY_WOLFSSL=$$(cat .build/wolfssl) $(PIP) install --no-build-isolation --editable '.[dev]'
	@touch $@

$(VENV)/.built: $(VENV)/.installed $(NATIVE_SOURCES)
	flock .build/.lock env OCSENTRY_WOLFSSL=$$(cat .build/wolfssl) \
	    $(BIN)/python -W ignore -c 'from setuptools import setup; setup()' --quiet build_ext --inplace
	@touch $@

lint: build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Tests that make network namespaces and TUN devices (marked netns) run by themselves, the rest side by side.
unit: build .build/test-packages
	$(BIN)/pytest -q -n 2 -m 'not netns'

e2e: build .build/test-packages
	$(BIN)/pytest -q -n 2 --dist loadfile -m netns

native-sanitized: build
	tests/native/sanitized.sh

# Takes minutes.
native-races: build
	OCSENTRY_SANITIZE=thread tests/native/sanitized.sh -m 'not netns' $(RACES)

fuzz-short: build .build/fuzz-packages
	tests/fuzz/run.sh 10

# A server for a first look, kept in .build/demo. What `init` said is shown again once it serves, each time.
DEMO := .build/demo
run: build
	@[ -e $(DEMO)/welcome ] || { rm -rf $(DEMO) && umask 077 && mkdir -p $(DEMO) && \
	    $(BIN)/ocsentry init --demo --dir $(DEMO) >$(DEMO)/welcome.new && mv $(DEMO)/welcome.new $(DEMO)/welcome; }
	@export OCSENTRY_CONFIG=$(DEMO)/ocsentry.toml; server=$$$$; \
	(while kill -0 $$server 2>/dev/null; do sleep 0.3; \
	    $(BIN)/ocsentry status >/dev/null 2>&1 && { cat $(DEMO)/welcome; break; }; done) & \
	exec $(BIN)/ocsentry serve

test: lint unit e2e

bench: build .build/bench-packages .build/test-packages
	$(PIP) install 'py-radix>=1.1'
	$(BIN)/python -m bench

fuzz: build .build/fuzz-packages
	tests/fuzz/run.sh $(FUZZ_SECONDS)

soak: build .build/test-packages
	OCSENTRY_SPOOFED_SOURCES=10000000 OCSENTRY_GEOIP_NETWORKS=1000000 \
	    $(BIN)/pytest -v tests/sentry_engine/cores/test_native_core.py tests/sentry_engine/geoip/test_geoip_large.py
	OCSENTRY_FAULT_STEP=1 $(BIN)/pytest -v tests/vpn_frontend/native/test_programs.py
	OCSENTRY_CLIENT_ROUNDS=$(SOAK_ROUNDS) OCSENTRY_ROAM_ROUNDS=$(SOAK_ROUNDS) OCSENTRY_TUNNELS=200 OCSENTRY_PINGS=600 \
	    SOAK_SECONDS=$(SOAK_SECONDS) OCSENTRY_TRANSFER_BYTES=1000000000 OCSENTRY_STRICT_TIMES=1 $(BIN)/pytest -v -m netns tests/e2e

clean:
	rm -rf .build build *.egg-info $(VENV) sentry_engine/*.so vpn_frontend/*.so
