# Two targets do all set-up on a fresh Debian machine: make lab, make test.
SHELL := /bin/bash
GO ?= go
BUILD := build
TOOLS := $(CURDIR)/$(BUILD)/tools
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X github.com/midplane-project/midplane/internal/version.String=$(VERSION)
GUESTTOOL := deploy/guest/tools/bin/guest-tools
SOURCES := $(shell git ls-files '*.go' go.mod go.sum 2>/dev/null)

export CGO_ENABLED ?= 0

.PHONY: help lab test check lint unit e2e soak bench build generate setup-lab setup-test clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

lab: setup-lab build ## set up, start the built-in two-blade shelf and take the tour
	$(BUILD)/midplane tour

test: setup-test lint unit e2e ## everything: lint, unit tests under -race, real guests

check: lint ## lint and the tests that need no root, no QEMU and no network
	$(GO) test ./...

build: $(BUILD)/midplane ## build/midplane

$(BUILD)/midplane: $(SOURCES) $(GUESTTOOL)
	@mkdir -p $(BUILD)
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/midplane

$(GUESTTOOL): $(wildcard deploy/guest/tools/*.go)
	$(GO) build -trimpath -ldflags '-s -w' -o $@ ./deploy/guest/tools

setup-lab:
	@GO=$(GO) deploy/setup.sh lab

setup-test:
	@GO=$(GO) deploy/setup.sh test

# --- lint -------------------------------------------------------------------

lint: $(TOOLS)/.done ## gofumpt, vet, staticcheck, buf lint, drift of generated code
	@out=$$($(TOOLS)/gofumpt -l $$(git ls-files '*.go' | grep -v '\.pb\.go$$')); \
	  if [ -n "$$out" ]; then echo "not formatted (gofumpt -w):"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags e2e ./...
	$(TOOLS)/staticcheck -tags e2e ./...
	cd proto && $(TOOLS)/buf lint
	@deploy/drift.sh $(TOOLS)

$(TOOLS)/.done: Makefile
	@echo "midplane: building the pinned lint tools into $(BUILD)/tools"
	@mkdir -p $(TOOLS)
	cd $(TOOLS) && export GOBIN=$(TOOLS) GOFLAGS=-mod=mod && \
	  $(GO) install mvdan.cc/gofumpt@v0.12.0 && \
	  $(GO) install honnef.co/go/tools/cmd/staticcheck@v0.8.2 && \
	  $(GO) install github.com/bufbuild/buf/cmd/buf@v1.70.0 && \
	  $(GO) install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12 && \
	  $(GO) install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
	@touch $@

generate: $(TOOLS)/.done ## generate the protobuf code
	cd proto && PATH=$(TOOLS):$$PATH buf generate

# --- tests ------------------------------------------------------------------

unit: ## unit tests under -race
	CGO_ENABLED=1 $(GO) test -race -timeout 10m ./...

e2e: build ## real QEMU guests, real ipmitool, processes killed for real
	MIDPLANE_BIN=$(CURDIR)/$(BUILD)/midplane $(GO) test -tags e2e -count=1 -p 2 -timeout 24m \
	  -run "$$(deploy/e2e.sh tests)" $$(deploy/e2e.sh packages)

soak: build ## the long runs: 10,000 simulation seeds, nodes killed under load again and again, each transcript at both interfaces
	MIDPLANE_SEEDS=10000 $(GO) test -count=1 -timeout 8h -run 'Simulation|Linearizable' -v ./internal/sim/...
	MIDPLANE_BIN=$(CURDIR)/$(BUILD)/midplane $(GO) test -tags e2e -count=20 -timeout 2h -run 'SIGKILL|TakeOver' -v ./node
	MIDPLANE_EVERYWHERE=1 MIDPLANE_BIN=$(CURDIR)/$(BUILD)/midplane $(GO) test -tags e2e -count=1 -timeout 1h -run 'TestBMC$$' -v ./internal/e2e
	MIDPLANE_LOGINS=60 MIDPLANE_BIN=$(CURDIR)/$(BUILD)/midplane $(GO) test -tags e2e -count=1 -timeout 1h -run 'TestShelfLANLogin$$' -v ./internal/e2e

bench: build setup-test ## speed, side by side with ipmi_sim and a raw echo; writes build/bench.json
	$(GO) run ./internal/bench -bin $(CURDIR)/$(BUILD)/midplane -o $(BUILD)/bench.json

clean: ## remove build/
	rm -rf $(BUILD) $(GUESTTOOL)
