# One word each; `make help` lists them.
CARGO ?= cargo
BINARY := target/release/moonpipe

.DEFAULT_GOAL := help
.PHONY: help build run test soak bench lint dependencies

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

build: dependencies ## install what the build needs, build the host and the GStreamer plugin
	$(CARGO) build --release --workspace --locked

run: build ## build, then start the host with its test picture and tone
	@exec $(BINARY) serve

test: ## install what the tests need, run every test
	scripts/install-dependencies --tests
	$(CARGO) build --release --workspace --locked
	$(CARGO) test --release --workspace --locked --no-fail-fast
	$(CARGO) test --release --workspace --locked --features gst-plugin-waylandsrc/gles --test display -- gles::

soak: build ## play recordings of 100 Mbit/s for a minute, bad networks, and half an hour of random faults of network and desktop (MOONPIPE_SEED repeats one)
	scripts/install-dependencies --tests
	MOONPIPE_SOAK_SECONDS=$${MOONPIPE_SOAK_SECONDS:-60} $(CARGO) test --release --locked --test system -- --nocapture replay:: network:: adaptation::five input::nonsense
	MOONPIPE_SEED=$${MOONPIPE_SEED:-$$(date +%s)} MOONPIPE_SOAK_SECONDS=$${MOONPIPE_SOAK_SECONDS:-1800} \
		$(CARGO) test --release --locked --test system -- --nocapture soak::

bench: build ## run every benchmark and print the tables (QUICK=1: fewer rounds)
	scripts/install-dependencies --tests
	$(CARGO) bench --workspace --bench '*' --locked -- $(if $(QUICK),--quick)

lint: ## check formatting and clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --release --package gst-plugin-waylandsrc --features gles --all-targets --locked -- -D warnings

dependencies:
	scripts/install-dependencies
