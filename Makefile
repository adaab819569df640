.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install what the tests need and is missing
	scripts/setup

.PHONY: build
build: ## build bin/sandtrail and the small bin/sandtrail-exec, both static
	scripts/build

.PHONY: format
format: ## format all Go files
	go run mvdan.cc/gofumpt@v0.12.0 -w .

.PHONY: check
check: ## formatting, vet, static analysis
	scripts/check

.PHONY: test
test: ## everything that CI runs: setup, check, build, fuzz, all tests
	scripts/test

.PHONY: quick
quick: ## the tests without race detector and fuzzing
	go test ./...

.PHONY: fuzz
fuzz: ## five minutes of each fuzz target
	scripts/fuzz 5m

.PHONY: torture
torture: ## twenty rounds of faults on each database; ARGS='-for 1h' for more
	go run ./internal/torture -store sqlite $(ARGS)
	go run ./internal/torture -store postgres $(ARGS)

.PHONY: bench
bench: ## all Go benchmarks, without the tests
	go test -run='^$$' -bench=. -benchmem ./...
