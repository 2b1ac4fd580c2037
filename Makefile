# What is done by hand. A machine that checks a commit does the same: `make ci`.

CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

# Everything that is built to be tested is built once, with this profile.
PROFILE := gate
IDEAL := $(CARGO_TARGET_DIR)/$(PROFILE)/ideal
# The program as it is shipped: one static file that runs on any Linux of this architecture. The host is named as
# the target because only then do build scripts and procedural macros stay dynamic, as they must.
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
SHIPPED := $(CARGO_TARGET_DIR)/$(HOST)/release/ideal
TOOLS := $(CARGO_TARGET_DIR)/tools
PEERS := $(CARGO_TARGET_DIR)/peers
TYPOS := $(TOOLS)/bin/typos
TYPOS_VERSION := 1.52.0
# The server that the tests of EC2 ask.
MOTO := $(CARGO_TARGET_DIR)/moto
MOTO_VERSION := 5.2.5
NEXTEST_VERSION := 0.9.143
# How long `make soak` goes on.
MINUTES ?= 10

.PHONY: help build size setup check deny test ci soak demo bench peers

help:
	@echo 'make demo    show the whole loop on this machine, each claim checked'
	@echo 'make test    set up what is missing, check, run every test'
	@echo 'make check   formatting, lints, spelling'
	@echo 'make soak    seeds of the simulation for MINUTES=$(MINUTES), and the rate'
	@echo 'make deny    the dependencies against deny.toml and its network database (needs cargo-deny)'
	@echo 'make bench   the measurements beside their peers; see bench/src/main.rs'
	@echo 'make build   the program as it is shipped: $(SHIPPED)'
	@echo 'make size    that it is static, and small enough to be sent to every node'

build:
	RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --release --target $(HOST) -p ideal-cli

size: build
	scripts/size.sh $(SHIPPED)

# Installs what is missing and nothing else; as often as you like. Root is not needed.
setup: $(TYPOS) $(MOTO)/bin/moto_server
	@cargo --version > /dev/null || { echo 'install rustup and its stable toolchain first' >&2; exit 1; }
	@cargo nextest --version > /dev/null 2>&1 || cargo install --locked cargo-nextest --version $(NEXTEST_VERSION)

$(TYPOS):
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check typos==$(TYPOS_VERSION)

$(MOTO)/bin/moto_server:
	python3 -m venv $(MOTO)
	$(MOTO)/bin/pip install --quiet --disable-pip-version-check 'moto[server,ec2]==$(MOTO_VERSION)'

check: setup
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --profile $(PROFILE) -- -D warnings
	$(TYPOS)

deny:
	cargo deny check

# The demo and the documents run the program that the tests have built; one test takes the one that is shipped. The
# tests come last, so that what is left on the screen is their summary.
test: check build
	cargo nextest run --locked --workspace --cargo-profile $(PROFILE) --no-run
	cargo test --locked --workspace --profile $(PROFILE) --doc --quiet
	scripts/demo.sh $(IDEAL)
	IDEAL_SHIPPED=$(abspath $(SHIPPED)) cargo nextest run --locked --workspace --cargo-profile $(PROFILE) --profile ci

ci: test

soak:
	cargo build --locked --profile $(PROFILE) -p ideal-cli
	scripts/soak.sh $(IDEAL) $(MINUTES)

# Shows the whole loop on this machine, and checks each claim. Leaves nothing behind.
demo: build
	scripts/demo.sh $(SHIPPED)

# Measures this program beside its peers: BENCH=plan, launch, placement, status, resources, heal, faults, calls or bootstrap. What is not installed is said to be missing.
BENCH ?= plan
bench: $(if $(filter resources bootstrap,$(BENCH)),peers) $(if $(filter bootstrap,$(BENCH)),build) $(if $(filter calls,$(BENCH)),$(MOTO)/bin/moto_server)
	cargo build --release -p ideal-bench $(if $(filter status resources heal faults,$(BENCH)),-p ideal-cli)
	IDEAL_BENCH_PEERS=$(PEERS) IDEAL_SHIPPED=$(abspath $(SHIPPED)) $(CARGO_TARGET_DIR)/release/ideal-bench $(BENCH)

# The peers of the bench of resources, in a Python environment of their own. One that cannot be had is said there.
peers:
	@test -x $(PEERS)/bin/ansible-playbook || { python3 -m venv $(PEERS) && $(PEERS)/bin/pip install -q ansible-core salt pyinfra; } || true
