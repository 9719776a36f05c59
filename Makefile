# Every target is one script of scripts/; each can be run by itself.
.DEFAULT_GOAL := help
.PHONY: help up down logs status test check format demo build bench bench-leak lock clean

help: ## these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## set up what is missing, build, start; with no endpoints/*.conf: on two mock WireGuard peers
	@scripts/up

down: ## stop the stack and take it away; its state stays
	@scripts/compose down --remove-orphans

logs: ## follow the stack's logs
	@scripts/compose logs --follow --tail 100

status: ## what the sidecar says of itself
	@scripts/compose exec vpn sidecar status

demo: ## failover, stickiness, converge, a leak: told on the running stack
	@scripts/demo

test: ## every test there is; what cannot run here is named
	@scripts/test

check: ## ruff, mypy, import-linter
	@scripts/check

format: ## let ruff format the code
	@scripts/ensure-python
	@.venv/bin/ruff format
	@.venv/bin/ruff check --fix

build: ## the images alone
	@scripts/ensure-engine
	@scripts/ensure-base-image
	@scripts/build-image

bench: ## measure failover, switch, cost, throughput, start; numbers, no verdict
	@scripts/bench

bench-leak: ## measure a leak made on purpose: how long, how many frames
	@scripts/bench leak restore

lock: ## compile requirements/*.in to exact versions with hashes
	@scripts/lock

clean: ## the stack with its state, mock keys, leftovers of killed test runs, caches, .venv
	@scripts/clean
