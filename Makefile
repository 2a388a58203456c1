# What people and CI run. `make help` lists it; every target can be run on a fresh machine.

# Outside the checkout, so that RocksDB, which takes long to compile, is compiled once.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/cairn/target

# Always the whole workspace and always one profile: a part of it alone has other features, and would compile
# RocksDB again. --locked: nothing here writes to the tree.
CARGO_OPTIONS := --release --workspace --locked
PROGRAMS := $(CARGO_TARGET_DIR)/release

.DEFAULT_GOAL := help
.PHONY: help setup build demo test sim verify bench bench-peers bench-kv bench-keys bench-repair bench-scaling bench-profile fmt fix

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what the build needs, where it is missing (Debian, Ubuntu)
	@.setup/install

build: setup ## build the program `cairn`
	cargo build $(CARGO_OPTIONS) --bins

demo: build ## start a cluster here, copy a file in and out, kill two nodes, read again
	@.demo/run $(PROGRAMS)/cairn

test: build ## run all tests; CAIRN_NO_FUSE=1 leaves out those that mount
	cargo test $(CARGO_OPTIONS)

sim: setup ## masters in simulated time under faults drawn from seeds: SEEDS=1000, or SEEDS=17..18 for one
	CAIRN_SEEDS=$(or $(SEEDS),1000) cargo test $(CARGO_OPTIONS) --test simulation -- --nocapture

verify: build ## what CI runs: format, lints and documentation with warnings denied, all tests
	cargo fmt --all --check
	cargo clippy $(CARGO_OPTIONS) --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc $(CARGO_OPTIONS) --no-deps --document-private-items
	cargo test $(CARGO_OPTIONS)

bench: build ## measure the codec beside ISA-L, a mount beside the bare disk, repairs, and the key-value service beside etcd (needs root)
	@.setup/isal
	cargo bench --profile release --workspace --locked --bench coding
	$(PROGRAMS)/cairn-bench run $(BENCH)
	$(PROGRAMS)/cairn-bench repair
	$(PROGRAMS)/cairn-bench kv --peer etcd

bench-peers: build ## measure a mount beside GlusterFS, MooseFS and the bare disk, in 40 minutes (installs them if missing; needs root)
	$(PROGRAMS)/cairn-bench run --peers gluster,moosefs $(BENCH)

bench-kv: build ## measure the key-value service beside etcd's (installs etcd-server if it is missing)
	$(PROGRAMS)/cairn-bench kv --peer etcd $(BENCH)

bench-keys: build ## measure up to a million keys: their listing through a mount, and requests then (needs root)
	$(PROGRAMS)/cairn-bench keys $(BENCH)

bench-repair: build ## measure the rebuilding of what three nodes lose, one after the other
	$(PROGRAMS)/cairn-bench repair $(BENCH)

bench-scaling: build ## measure how all of it changes with nodes, clients, keys and sizes, (needs root)
	$(PROGRAMS)/cairn-bench scaling $(BENCH)

bench-profile: build ## show where processors spend their time in each row of the benchmark (needs root and perf)
	$(PROGRAMS)/cairn-bench profile $(BENCH)

fmt: ## format the source
	cargo fmt --all

fix: setup fmt ## format, and apply what clippy can mend by itself
	cargo clippy $(CARGO_OPTIONS) --all-targets --fix --allow-dirty --allow-staged
