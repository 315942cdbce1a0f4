# Build, run and test. Each target works alone on a Debian machine with git, make and root.
#
#   make build      into .venv/               make run          a demo server in the foreground
#   make test       lint, unit and e2e        make bench        benchmarks, the peers' beside ours
#   make demo-fleet   three nodes on this machine: a block on one cuts a tunnel of another, a killed node's client goes on
#   make lint       ruff and mypy             make fuzz         every fuzz target for FUZZ_SECONDS
#   make unit       tests without namespaces  make fuzz-short   every fuzz target, 100 000 inputs
#   make e2e        tests with namespaces     make soak         the end-to-end tests with a release's counts
#   make lock       requirements/*.lock from pyproject.toml (UPGRADE=1: newest versions)
#   make sbom       bill of materials         make audit        known vulnerabilities (ends with 3: not reachable)
#   make supply     sbom and audit, for CI     (licences and reproducible: tests hold them)
#   make man        .build/ocsentry.1, occtl.8, ocpasswd.8
#   make docs       the pages as a site in .build/docs/site     make pictures   docs/*.png, from a real run
#   make wheel      into .build/dist, tried by PYTHONS      make release   all artefacts of a tagged commit
#   make engine-wheel   likewise, of the policy engine alone
#   make deb, rpm, apk   a package in .build/dist     make package-test   its life on a bare system with systemd
#   make licences   docs/licences.md          make reproducible both native cores built twice, bytes compared
#   make native-sanitized   the native cores under ASan and UBSan (OCSENTRY_LEAKS=1: and LeakSanitizer)
#   make native-coverage    lines and branches of the cores that their tests reach; takes minutes
#   make native-races       their threads under ThreadSanitizer; takes minutes
#   make help       these lines              make clean     removes all of it, the demo too; wolfSSL's build stays in ~/.cache/ocsentry
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --retries 10 --timeout 60
# Installs from lock files alone: every file is checked against its hash, and nothing else is resolved or built from.
PIP_LOCKED := $(PIP) install --require-hashes --no-deps --no-build-isolation --use-pep517
FUZZ_SECONDS ?= 600
SOAK_ROUNDS ?= 500
SOAK_SECONDS ?= 3600
HOSTILE_ROUNDS ?= 20

PACKAGES := build-essential autoconf automake libtool python3 python3-dev python3-venv iproute2 ca-certificates libseccomp2 libnftables1
TEST_PACKAGES := openconnect curl iputils-ping nftables procps systemd slapd krb5-kdc krb5-admin-server krb5-user krb5-k5tls libkrb5-dev libpam-wrapper libpam-oath oathtool freeradius strace postgresql prometheus ocserv chromium pebble groff-base
BENCH_PACKAGES := iperf3 wireguard-go wireguard-tools libuv1-dev
SITE_PACKAGES := haproxy keepalived patroni etcd-server python3-etcd
# Of the bare system: an init system, and what the package depends on, so that installing it needs no archive.
BARE_PACKAGES := systemd,systemd-sysv,dbus,iproute2,python3,nftables,libnftables1,libseccomp2,procps,ca-certificates
FUZZ_PACKAGES := clang libclang-rt-14-dev
NATIVE_SOURCES := $(shell find sentry_engine/native vpn_frontend/native sentry_engine/wolfsentry/native -name "*.[ch]" -o -name "*.py" -o -name "*.wrap")

RACES := tests/sentry_engine/native tests/sentry_engine/cores/test_blocks.py tests/vpn_frontend/native/dtls/test_handshake.py \
    tests/vpn_frontend/native/limits tests/vpn_frontend/native/runtime/test_sharing.py \
    tests/vpn_frontend/native/runtime/test_threads.py tests/vpn_frontend/native/signing/test_handshakes.py \
    tests/vpn_frontend/native/tunnel/test_client_probe.py tests/vpn_frontend/native/tunnel/test_dtls_channel.py \
    tests/vpn_frontend/native/tunnel/test_session.py

.PHONY: build run demo-fleet test lint unit e2e native-sanitized native-coverage native-races fuzz-short bench fuzz soak lock sbom audit supply deb rpm apk wheel engine-wheel release package-test licences reproducible man docs pictures help clean

# Also where the environment forbids Python to write byte code: compiling the sources takes half of a start.
build: $(VENV)/.built
	@$(BIN)/python -m compileall -q ocsentry vpn_frontend admin_api sentry_engine

# Installs only the packages that dpkg does not list. Waits for apt and for other makes on the machine; retries archives.
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
.build/site-packages: Makefile
	$(call install,$(SITE_PACKAGES))
.build/fuzz-packages: Makefile
	$(call install,$(FUZZ_PACKAGES))

# Also rebuilt when the prefix that the file names was removed.
.build/wolfssl: vpn_frontend/native/wolfssl.sh .build/packages $(if $(wildcard $(file <.build/wolfssl)/include/wolfssl),,FORCE)
	prefix=$$(vpn_frontend/native/wolfssl.sh) && echo "$$prefix" >$@
FORCE:

# A lock keeps two makes in one checkout apart. An environment without pip is the rest of an interrupted build.
$(VENV)/.installed: pyproject.toml requirements/build.lock requirements/server.lock requirements/dev.lock requirements/postgres.lock \
    .build/packages .build/wolfssl
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ocsentry needs Python 3.11 or newer; set PYTHON=")'
	@flock .build/.lock sh -c '$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)'
	flock .build/.lock $(PIP_LOCKED) -r requirements/build.lock
	flock .build/.lock $(PIP_LOCKED) -r requirements/server.lock -r requirements/dev.lock -r requirements/postgres.lock
	flock .build/.lock env OCSENTRY_WOLFSSL=$$(cat .build/wolfssl) $(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.built: $(VENV)/.installed $(NATIVE_SOURCES)
	flock .build/.lock env OCSENTRY_WOLFSSL=$$(cat .build/wolfssl) \
	    $(BIN)/python -W ignore -c 'from setuptools import setup; setup()' --quiet build_ext --inplace
	@touch $@

# The optional package gssapi, which its tests and mypy need. There is no wheel: it is built from its source.
$(VENV)/.gssapi: $(VENV)/.installed requirements/gssapi-build.lock requirements/gssapi.lock .build/test-packages
	flock .build/.lock $(PIP_LOCKED) -r requirements/gssapi-build.lock
	flock .build/.lock env CFLAGS=-O1 $(PIP_LOCKED) -r requirements/gssapi.lock
	@touch $@

lint: build $(VENV)/.gssapi
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Tests marked netns make network namespaces and TUN devices. They run apart from the others, one file per process.
unit: build $(VENV)/.gssapi
	$(BIN)/pytest -q -n 2 -m 'not netns'

e2e: build $(VENV)/.gssapi
	$(BIN)/pytest -q -n 2 --dist loadfile -m netns

native-sanitized: build
	tests/native/sanitized.sh

native-coverage: build $(VENV)/.gssapi
	tests/native/coverage.sh

native-races: build
	OCSENTRY_SANITIZE=thread tests/native/sanitized.sh -m 'not netns' $(RACES)

# The API beside the other targets, which use one core. Each run sends the same requests, so that a finding is of the change.
fuzz-short: build .build/fuzz-packages
	@$(BIN)/python -m tests.fuzz.schemathesis_api 60 --generation-deterministic >.build/schemathesis.log 2>&1 & api=$$!; \
	tests/fuzz/run.sh 4; targets=$$?; \
	wait $$api || { cat .build/schemathesis.log; exit 1; }; \
	tail -n 1 .build/schemathesis.log; exit $$targets

# A demo server with its state in .build/demo. Prints what `init` printed each time, once the server answers.
DEMO := .build/demo
run: build
	@[ -e $(DEMO)/welcome ] || { rm -rf $(DEMO) && umask 077 && mkdir -p $(DEMO) && \
	    $(BIN)/ocsentry init --demo --dir $(DEMO) >$(DEMO)/welcome.new && mv $(DEMO)/welcome.new $(DEMO)/welcome; }
	@export OCSENTRY_CONFIG=$(DEMO)/ocsentry.toml; server=$$$$; \
	(while kill -0 $$server 2>/dev/null; do sleep 0.3; \
	    $(BIN)/ocsentry status >/dev/null 2>&1 && { cat $(DEMO)/welcome; break; }; done) & \
	exec $(BIN)/ocsentry serve

# Three nodes, PostgreSQL and a client in namespaces, told step by step. Leaves nothing behind.
demo-fleet: build .build/test-packages
	@$(BIN)/python -m lab.fleet_demo

test: lint unit e2e

bench: build .build/bench-packages .build/test-packages
	$(PIP_LOCKED) -r requirements/bench.lock
	$(BIN)/python -m bench
	$(BIN)/python -m bench.fleet

fuzz: build .build/fuzz-packages
	tests/fuzz/run.sh $(FUZZ_SECONDS)
	$(BIN)/python -m tests.fuzz.schemathesis_api 600

soak: build $(VENV)/.gssapi .build/site-packages
	OCSENTRY_SPOOFED_SOURCES=10000000 OCSENTRY_GEOIP_NETWORKS=1000000 \
	    $(BIN)/pytest -v tests/sentry_engine/cores/native/test_core.py tests/sentry_engine/geoip/test_databases_large.py
	OCSENTRY_PATH_PLANS=1000 OCSENTRY_NONSENSE_FILES=20000 \
	    $(BIN)/pytest -v tests/sentry_engine/cores/native/test_paths_agree.py tests/sentry_engine/cores/test_policy_file.py
	OCSENTRY_FAULT_STEP=1 $(BIN)/pytest -v tests/vpn_frontend/native/test_programs.py
	OCSENTRY_CLIENT_ROUNDS=$(SOAK_ROUNDS) OCSENTRY_ROAM_ROUNDS=$(SOAK_ROUNDS) OCSENTRY_TUNNELS=200 OCSENTRY_RETURNING=200 OCSENTRY_FLEET_SESSIONS=200 OCSENTRY_FLEET_DPD=10 OCSENTRY_LOGINS=1000 OCSENTRY_PINGS=600 OCSENTRY_KILL_ROUNDS=50 \
	    SOAK_SECONDS=$(SOAK_SECONDS) OCSENTRY_TRANSFER_BYTES=1000000000 OCSENTRY_STRICT_TIMES=1 $(BIN)/pytest -v -m netns tests/e2e
	OCSENTRY_LOGINS=1000 $(BIN)/pytest -v tests/admin_api/store/test_used_codes.py
	OCSENTRY_FLEET_WALKTHROUGH=1 $(BIN)/pytest -vs -m netns tests/e2e/fleet/test_walkthrough.py
	OCSENTRY_FLEET_FROM=last OCSENTRY_FLEET_SESSIONS=60 $(BIN)/pytest -vs -m netns tests/e2e/fleet/test_upgrade.py
	OCSENTRY_FLEET_OPERATIONS=30000 OCSENTRY_FLEET_KILLS=20 OCSENTRY_FLEET_NEMESES=kill,restart,hang $(BIN)/pytest -vs tests/admin_api/fleet/test_history.py
	OCSENTRY_FLEET_ROLLOUTS=100 $(BIN)/pytest -v tests/admin_api/fleet/policy/test_many_rollouts.py
	OCSENTRY_FLEET_ROUNDS=100 OCSENTRY_FLEET_SEED=$$(date +%j) $(BIN)/pytest -vs -m netns tests/e2e/fleet/test_nemeses.py
	OCSENTRY_BLOCKS=1000000 OCSENTRY_BLOCK_TUNNELS=100 OCSENTRY_API_RATE=1000 OCSENTRY_API_SECONDS=60 OCSENTRY_CHANGE_ROUNDS=100 \
	    $(BIN)/pytest -vs -m netns tests/e2e/operation/test_api_load.py tests/e2e/faults/test_kill_changes.py
	OCSENTRY_HOSTILE_ROUNDS=$(HOSTILE_ROUNDS) OCSENTRY_HOSTILE_CYCLES=10000 OCSENTRY_HOSTILE_TUNNELS=240 \
	    $(BIN)/pytest -v -m netns tests/hostile

lock: $(VENV)/.installed
	PYTHON=$(BIN)/python requirements/update.sh $(if $(UPGRADE),--upgrade)

# Tools that read the lock files, in an environment of their own.
SUPPLY := .build/supply-tools
$(SUPPLY)/.installed: requirements/supply.lock
	@mkdir -p .build
	$(PYTHON) -m venv --clear $(SUPPLY)
	$(SUPPLY)/bin/python -m pip --disable-pip-version-check --quiet --retries 10 --timeout 60 install --require-hashes --no-deps -r $<
	@touch $@

man: build
	$(BIN)/python -m ocsentry.cli.manual .build/ocsentry.1
	$(BIN)/python -m ocsentry.cli.tool_manuals .build

DOCS := .build/docs-tools
$(DOCS)/.installed: requirements/docs.lock
	$(PYTHON) -m venv --clear $(DOCS)
	$(DOCS)/bin/python -m pip --disable-pip-version-check --quiet --retries 10 --timeout 60 install --require-hashes --no-deps -r $<
	@touch $@

docs: build $(DOCS)/.installed
	$(BIN)/python contrib/docs/build.py $(DOCS)/bin/zensical .build/docs
	@echo .build/docs/site/index.html

pictures: build .build/test-packages
	mkdir -p .build/pictures
	OCSENTRY_PICTURE=docs/console.png OCSENTRY_PICTURES=.build/pictures $(BIN)/pytest -q tests/e2e/operation/test_console.py -k 'connect_see_block or every_page'
	cp .build/pictures/dark_.png docs/console-overview.png
	cp .build/pictures/light_rules_edit.png docs/console-rules.png

# For the system's own Python, to whose path the package refers.
deb rpm apk: build
	contrib/packaging/build.sh $@

wheel: build
	contrib/packaging/wheel.sh --try $(PYTHONS)

engine-wheel: build
	contrib/packaging/engine.sh --try

release: build $(SUPPLY)/.installed
	contrib/packaging/release.sh

# The life of the Debian package on a bare system: install, set up, connect, restart, upgrade, remove, purge. Then the
# Ansible role on another one.
.build/lifecycle-packages: Makefile
	$(call install,mmdebstrap systemd-container openconnect iputils-ping)
.build/bare-root.tar: .build/lifecycle-packages
	mmdebstrap --quiet --variant=minbase --include=$(BARE_PACKAGES) bookworm $@
ANSIBLE := .build/ansible-tools
$(ANSIBLE)/.installed: requirements/ansible.lock
	/usr/bin/python3 -m venv --clear $(ANSIBLE)
	$(ANSIBLE)/bin/python -m pip --disable-pip-version-check --quiet --retries 10 --timeout 60 install --require-hashes --no-deps -r $<
	@touch $@
package-test: deb .build/bare-root.tar $(ANSIBLE)/.installed
	$(BIN)/python -m tests.packaging.lifecycle .build/dist/ocsentry_*.deb .build/bare-root.tar
	cd contrib/ansible && PATH=$$OLDPWD/$(ANSIBLE)/bin:$$PATH ansible-lint --offline --strict
	$(BIN)/python -m tests.packaging.ansible_role .build/dist/ocsentry_*.deb .build/bare-root.tar $(ANSIBLE)

BILL = SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 0) $(SUPPLY)/bin/python requirements/bill_of_materials.py
sbom: $(SUPPLY)/.installed
	$(BILL) >.build/sbom.json
	@echo .build/sbom.json

audit: $(SUPPLY)/.installed
	@$(SUPPLY)/bin/python requirements/audit.py

# For CI. A second bill has to be equal. A database that does not answer fails nothing: the lines above say "not audited".
supply: sbom
	@$(BILL) | cmp - .build/sbom.json
	@$(SUPPLY)/bin/python requirements/audit.py || { [ $$? -eq 3 ] && echo "supply: the audit is not complete, see above"; }

licences: build
	$(BIN)/python -m requirements.licences docs/licences.md

reproducible: build
	tests/native/reproducible.sh

help:
	@sed -n 's/^#   make/make/p' Makefile

clean:
	rm -rf .build build *.egg-info $(VENV) sentry_engine/*.so vpn_frontend/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
