# The commands of the README and of .ci/run. `make demo` needs Rust, C and C++ compilers, make and perl; the others fetch their tools once,
# into the cache (see crates/test-support/services/tools.sh).

TARGET := $(or $(CARGO_TARGET_DIR),target)
SERVICES := crates/test-support/services
TOOLS := $(SERVICES)/tools.sh
FUNCTIONS := $(notdir $(patsubst %/,%,$(wildcard functions/*/)))
# What the functions are built for, x86_64 or arm64: make package ARCH=arm64. Rust's target for it must be installed.
ARCH := x86_64
# Where `cargo lambda build` compiles what it packs, and `sam build` finds it compiled.
PACKED := $(TARGET)/$(patsubst arm64,aarch64,$(ARCH))-unknown-linux-gnu/release

.PHONY: demo test cases test-long lint fmt bench package sam-build deploy-local

## The whole pipeline in one process, then a served API: make demo ARGS="--exit --verify --faults 0.05"
demo:
	cargo build --locked --profile cli -p trunkline --no-default-features
	@exec $(TARGET)/cli/trunkline demo $(ARGS)

## Everything that must hold, on real parts. Unoptimized: with optimization, building takes far longer than the tests.
test:
	$(SERVICES)/prerequisites.sh
	$(SERVICES)/provision.sh kafka
	$(SERVICES)/provision.sh cassandra
	$(SERVICES)/provision.sh mina
	cargo test --locked --workspace --no-fail-fast
	$(TOOLS) cfn-lint template.yaml
	SAM_CLI_TELEMETRY=0 $(TOOLS) sam validate --region us-east-1

## The inputs of cases/, and others on which the program was once wrong: a part of `make test`.
cases:
	$(SERVICES)/prerequisites.sh
	$(SERVICES)/provision.sh kafka
	cargo test --locked -p trunkline -p cdc-handler -p lake-loader -p local-runtime --test it -- \
	  cases:: loads:: skip:: recreated::

## What takes too long for every change: 1,000,000 schedules of each simulator, 5,000 random statements on the CRM's tables.
## When it was last run, and what came of it, is in functions/sftp-poll, crates/usage-store and functions/cdc-handler.
test-long:
	$(SERVICES)/prerequisites.sh
	$(SERVICES)/provision.sh kafka
	SIMULATED_SCHEDULES=1000000 cargo test --locked -p sftp-poll -p usage-store --lib whatever_goes_wrong
	CDC_SCHEMA_STATEMENTS=5000 cargo test --locked -p cdc-handler --test it live::ddl

## Formatting, clippy, licences and sources of the dependencies.
lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(TOOLS) cargo-deny check bans licenses sources

fmt:
	cargo fmt --all

## Rates and peak memory of every function, on this machine and its real services; fails where one needs more memory than
## the template gives it.
bench: package
	cargo build --locked --profile cli --workspace --examples
	$(TARGET)/cli/examples/parse_rate
	$(TARGET)/cli/examples/generate_rate
	$(TARGET)/cli/examples/load_rate $(PACKED)/lake-loader
	$(TARGET)/cli/examples/load_rate $(PACKED)/lake-loader 1 10 100
	$(TARGET)/cli/examples/functions $(PACKED)

## A zip for each function, as `aws lambda update-function-code` takes it, and its size in bytes. Fails where one would not
## start on Amazon Linux 2023, which has glibc 2.34. One by one: compiled together, some dependencies get other flags (for the
## linker's optimization), and sam-build, which goes one by one, would compile them again.
package:
	for name in $(FUNCTIONS); do $(TOOLS) cargo-lambda build --locked --release --$(subst _,-,$(ARCH)) --output-format zip --bin $$name || exit; done
	@symbols=$$(readelf -W --dyn-syms $(FUNCTIONS:%=$(PACKED)/%)) && ! printf '%s\n' "$$symbols" | grep -E 'GLIBC_2\.(3[5-9]|[4-9][0-9])'
	@wc -c $(FUNCTIONS:%=$(TARGET)/lambda/%/bootstrap.zip)

## template.yaml as `sam deploy` takes it, in .aws-sam/. What `make package` has compiled is not compiled again.
sam-build:
	SAM_CLI_TELEMETRY=0 $(TOOLS) sam build --beta-features --parameter-overrides Architecture=$(ARCH)

## template.yaml onto LocalStack (docker compose up -d localstack sftp), through SAM, for this machine's processors.
deploy-local: ARCH := $(patsubst aarch64,arm64,$(shell uname -m))
deploy-local: sam-build
	ARCH=$(ARCH) localstack/deploy.sh
