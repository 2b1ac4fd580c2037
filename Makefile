# The few things that are done by hand.

CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

.PHONY: build test demo bench

build:
	cargo build --release -p ideal-cli

test:
	cargo test --workspace

# Shows the whole loop on this machine, and checks each claim. Leaves nothing behind.
demo: build
	scripts/demo.sh $(CARGO_TARGET_DIR)/release/ideal

# Measures this program beside its peers: BENCH=plan, launch or status. What is not installed is said to be missing.
BENCH ?= plan
bench:
	cargo build --release -p ideal-bench $(if $(filter status,$(BENCH)),-p ideal-cli)
	$(CARGO_TARGET_DIR)/release/ideal-bench $(BENCH)
