# `make help` explains. Every target sets up what it needs; settings are words after the target:
#   make up ENGINE=embedded AWS_PORT=5566
SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
STATIONS ?= 10
INTERVAL ?= 5
ARGS ?=
TESTBED := scripts/testbed
INSTALLED := .venv/.installed

export TARGET ENGINE DEPLOYMENT PROJECT ENVIRONMENT AWS_PORT MQTT_PORT METRICS_PORT AIR_GAPPED ENFORCE_IAM PYTHON \
  STATIONS INTERVAL
# As scripts/testbed does, which says why.
unexport PYTHONDONTWRITEBYTECODE

# Make takes any word for a setting; a misspelt one must not be a setting that is ignored.
SETTINGS := TARGET ENGINE DEPLOYMENT PROJECT ENVIRONMENT AIR_GAPPED ENFORCE_IAM PYTHON STATIONS INTERVAL ARGS WHAT LOAD \
  AWS_PORT MQTT_PORT METRICS_PORT AWS_REGION AWS_DEFAULT_REGION AWS_PROFILE AWS_CA_BUNDLE AWS_ENDPOINT_URL \
  AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE \
  LAMBDA_PYTHON LAMBDA_ARCHITECTURE IOT_ENDPOINT TESTBED_HOME UV_CACHE_DIR TF_VAR_%
UNKNOWN := $(filter-out $(SETTINGS),$(foreach name,$(.VARIABLES),$(if $(filter line,$(origin $(name))),$(name))))
$(if $(UNKNOWN),$(error There is no setting $(UNKNOWN). docs/setup-guide.md lists them))

$(INSTALLED): pyproject.toml uv.lock scripts/bootstrap
	@scripts/bootstrap

.PHONY: demo
demo: $(INSTALLED) ## up, ten stations for a minute, then what the API says
	@$(TESTBED) demo $(ARGS)

.PHONY: up
up: $(INSTALLED) ## start the cloud and deploy (TARGET=local|aws)
	@$(TESTBED) up $(ARGS)

.PHONY: down
down: $(INSTALLED) ## stop and remove everything that `up` made
	@$(TESTBED) down $(ARGS)

.PHONY: dev
dev: $(INSTALLED) ## put each save of functions/ and terraform/ live
	@$(TESTBED) dev $(ARGS)

.PHONY: plan
plan: $(INSTALLED) ## what `up TARGET=aws` would change and cost
	@$(TESTBED) plan $(ARGS)

.PHONY: simulate
simulate: $(INSTALLED) ## run a fleet (STATIONS=10 INTERVAL=5)
	@$(TESTBED) simulate $(ARGS)

.PHONY: audit
audit: $(INSTALLED) ## was anything lost that a station was promised?
	@$(TESTBED) audit $(ARGS)

.PHONY: dashboard
dashboard: $(INSTALLED) ## the stations live in a browser
	@$(TESTBED) dashboard $(ARGS)

# The last line of `make help` names these six, and plots.
.PHONY: status
status: $(INSTALLED)
	@$(TESTBED) status $(ARGS)

.PHONY: logs
logs: $(INSTALLED)
	@$(TESTBED) logs $(ARGS)

.PHONY: cost
cost: $(INSTALLED)
	@$(TESTBED) cost $(ARGS)

.PHONY: firmware
firmware: $(INSTALLED)
	@$(TESTBED) firmware $(ARGS)

.PHONY: fleet-settings
fleet-settings: $(INSTALLED)
	@$(TESTBED) fleet-settings $(ARGS)

.PHONY: clients
clients: $(INSTALLED)
	@$(TESTBED) clients $(ARGS)

##@ Test

.PHONY: test
test: $(INSTALLED) ## lint and every test that needs neither Docker nor AWS
	@scripts/test $(ARGS)

.PHONY: unit
unit: $(INSTALLED) ## the tests that start nothing
	@.venv/bin/pytest tests/unit $(ARGS)

.PHONY: e2e
e2e: $(INSTALLED) ## the whole path on the chosen target and engine
	@.venv/bin/pytest tests/e2e $(ARGS)

.PHONY: lint
lint: $(INSTALLED) ## ruff, mypy, import-linter, actionlint, terraform fmt
	@scripts/check

.PHONY: fmt
fmt: $(INSTALLED) ## format Python and Terraform
	@.venv/bin/ruff check --fix --quiet . && .venv/bin/ruff format --quiet . && terraform fmt -recursive terraform

##@ Measure, break, maintain

.PHONY: bench
bench: $(INSTALLED) ## measure (WHAT=pipeline|growth|fleet|bridge|...)
	@.venv/bin/python -m bench $(or $(WHAT),pipeline) $(ARGS)

.PHONY: drills
drills: $(INSTALLED) ## break what is up (WHAT=faults|parity|iam|...; none: list)
	@scripts/drills $(WHAT) $(ARGS)

.PHONY: rehearse
rehearse: $(INSTALLED) ## all of TARGET=aws, without an account
	@$(TESTBED) rehearse $(ARGS)

.PHONY: docs
docs: $(INSTALLED) ## draw pictures, plots, screenshots; check links
	@scripts/docs $(ARGS)

.PHONY: plots
plots: $(INSTALLED)
	@.venv/bin/python -m bench plots $(ARGS)

.PHONY: lock
lock: $(INSTALLED) ## remake every lock file
	@scripts/lock $(ARGS)

.PHONY: help
help: ## this text
	@awk 'BEGIN {FS = ":.*## "; print "make TARGET [SETTING=value ...] [ARGS=\"--option ...\"]"} \
	  /^##@ / {printf "%s\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo 'Also: status logs cost clients firmware fleet-settings plots; scripts/testbed'
