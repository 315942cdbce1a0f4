# The whole set-up. `make run` and `make test` each work alone on a machine with Debian's base, git and make.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(wildcard sentry_engine/native/* vpn_frontend/native/*)

.PHONY: build run test lint native-sanitized bench fuzz soak clean

build: $(VENV)/.built

# The machine: what Debian must bring. Asked of dpkg first, so that nothing is fetched where nothing is missing.
PACKAGES := build-essential autoconf automake libtool python3 python3-dev python3-venv iproute2
TEST_PACKAGES := openconnect iputils-ping
define install
	@missing=$$(for p in $(1); do dpkg-query -Wf '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing >/dev/null; fi
endef

.build/.packages: Makefile
	$(call install,$(PACKAGES))
	@mkdir -p .build && touch $@

.build/.test-packages: Makefile
	$(call install,$(TEST_PACKAGES))
	@mkdir -p .build && touch $@

$(VENV)/.installed: pyproject.toml .build/.packages
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check 'setuptools>=80' 'cffi>=2.1' wheel
	OCSENTRY_WOLFSSL=$$(vpn_frontend/native/wolfssl.sh) $(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[dev]'
	@touch $@

$(VENV)/.built: $(VENV)/.installed $(NATIVE)
	OCSENTRY_WOLFSSL=$$(vpn_frontend/native/wolfssl.sh) $(BIN)/python -c 'from setuptools import setup; setup()' --quiet build_ext --inplace
	@touch $@

clean:
	rm -rf .build build *.egg-info $(VENV) sentry_engine/*.so vpn_frontend/*.so
