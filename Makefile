# `make help` lists everything. Two commands set all up on a fresh machine: `make demo`, `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
ROUNDS ?= 1000
SEED ?= 1

.PHONY: help demo check test test-% test-long test-garage lint faults bench deb audit clean

help: ## this list
	@awk -F':.*## ' '/^[a-z%-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## build, enrol this host, collect, export, verify twice, show tampering caught; all in ./demo
	@bash packaging/demo.sh

check: ## format, clippy and tests of the rooms you changed; the loop while you edit
	@python3 packaging/check.py

test: ## everything the gate runs: lint, build, all suites (installs what it needs; see packaging/test-deps.sh)
	@sh packaging/test-deps.sh
	@python3 packaging/run-tests.py

test-%: ## one suite by name (python3 packaging/run-tests.py --list)
	@python3 packaging/run-tests.py $*

test-long: ## what is too long for the gate; one part: make test-long PARTS=ignored, kills or rules; writes tests/long-run.txt
	@sh packaging/test-deps.sh
	@python3 packaging/run-tests.py long $(PARTS)

test-garage: ## suite `stores` with Garage as a third S3 server (builds it once into the cache: half an hour)
	@sh packaging/test-s3/garage-build.sh
	@python3 packaging/run-tests.py stores

lint: ## formatting, spelling, licences, clippy, documentation
	@python3 packaging/run-tests.py lint

faults: ## kill -9 at random moments: make faults ROUNDS=1000 SEED=1
	@EXHIBIT_FAULT_ROUNDS=$(ROUNDS) EXHIBIT_FAULT_SEED=$(SEED) python3 packaging/run-tests.py faults

bench: ## first figures, as ratios to tar | openssl sha256 | zstd in the same run
	@bash bench/end-to-end.sh

deb: ## Debian packages of agent, server and command line in ./target/deb
	@bash packaging/build-deb.sh

audit: ## known advisories (needs the advisory database's Git host)
	@"$${EXHIBIT_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/exhibit}/tools/bin/cargo-deny" check advisories

clean: ## removes build products and the demo
	@cargo clean; rm -rf demo
