# The few things that are done by hand.

CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

.PHONY: build test demo

build:
	cargo build --release -p ideal-cli

test:
	cargo test --workspace

# Shows the whole loop on this machine, and checks each claim. Leaves nothing behind.
demo: build
	scripts/demo.sh $(CARGO_TARGET_DIR)/release/ideal
