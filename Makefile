# `make help` explains. Every target sets up what it needs; settings are words after the target:
#   make up ENGINE=embedded AWS_PORT=5566
SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
STATIONS ?= 10
INTERVAL ?= 5
ARGS ?=
ROUTE ?= /stations
TESTBED := scripts/testbed
INSTALLED := .venv/.installed

# As they were written, whatever make and a shell make of dollars and quotes.
export TESTBED_STATION = $(value STATION)
export TESTBED_MESSAGE = $(value MESSAGE)
export TESTBED_ROUTE = $(value ROUTE)

export TARGET ENGINE DEPLOYMENT PROJECT ENVIRONMENT AWS_PORT MQTT_PORT METRICS_PORT AIR_GAPPED ENFORCE_IAM PYTHON \
  STATIONS INTERVAL

$(INSTALLED): pyproject.toml uv.lock scripts/bootstrap
	@scripts/bootstrap

##@ Run

.PHONY: demo
demo: $(INSTALLED) ## up, ten stations for a minute, then what the REST API says of them
	@$(TESTBED) demo $(ARGS)

.PHONY: up
up: $(INSTALLED) ## start the cloud and deploy to it (TARGET=local|aws, ENGINE=embedded|localstack)
	@$(TESTBED) up $(ARGS)

.PHONY: dev
dev: $(INSTALLED) ## follow functions/ and terraform/: what is saved is live on the local cloud a moment later
	@$(TESTBED) dev $(ARGS)

.PHONY: plan
plan: $(INSTALLED) ## what `up TARGET=aws` would change, and what it costs (STATIONS=1000 INTERVAL=5)
	@$(TESTBED) plan $(ARGS)

.PHONY: leftovers
leftovers: $(INSTALLED) ## what of the deployment is in the AWS account (TARGET=aws); fails if there is anything
	@$(TESTBED) leftovers $(ARGS)

.PHONY: simulate
simulate: $(INSTALLED) ## run a fleet (STATIONS=10 INTERVAL=5, more in ARGS="--duration 60 ...")
	@$(TESTBED) simulate --num-stations $(STATIONS) --interval $(INTERVAL) $(ARGS)

.PHONY: load-test
load-test: $(INSTALLED) ## a fleet in shards: Fargate tasks (TARGET=aws) or containers in Compose (ARGS="--shards 4")
	@$(TESTBED) load-test $(ARGS)

.PHONY: dashboard
dashboard: $(INSTALLED) ## the stations live in a browser, on 127.0.0.1 (ARGS="--port 8080")
	@$(TESTBED) dashboard $(ARGS)

.PHONY: screenshots
screenshots: $(INSTALLED) ## pictures of the dashboard into docs/images (needs Chromium)
	@mkdir -p docs/images
	@DASHBOARD_SCREENSHOTS=$(CURDIR)/docs/images .venv/bin/pytest -q tests/e2e/test_dashboard.py -k pictures

.PHONY: status
status: $(INSTALLED) ## what runs, where it answers, what waits in the queues
	@$(TESTBED) status $(ARGS)

.PHONY: logs
logs: $(INSTALLED) ## the logs of the functions and of the testbed's processes
	@$(TESTBED) logs $(ARGS)

.PHONY: audit
audit: $(INSTALLED) ## hold the ledgers of what was acknowledged against archive, table and DLQ
	@$(TESTBED) audit $(ARGS)

.PHONY: query
query: $(INSTALLED) ## ask the archive (NAME=a saved query of queries/; without it, lists them)
	@$(TESTBED) query $(NAME) $(ARGS)

.PHONY: compact
compact: $(INSTALLED) ## make one Parquet object of each past hour's batches (ARGS=--all: of this hour, too)
	@$(TESTBED) compact $(ARGS)

.PHONY: trace
trace: $(INSTALLED) ## follow one message (ID=<message id>)
	@$(TESTBED) trace $(ID)

.PHONY: listen
listen: $(INSTALLED) ## print what stations publish by MQTT (ARGS="--messages 3")
	@$(TESTBED) listen $(ARGS)

.PHONY: publish
publish: $(INSTALLED) ## publish one message as a station, good or bad (STATION=station-01 MESSAGE='{...}')
	@$(TESTBED) publish

.PHONY: api
api: $(INSTALLED) ## GET a route of the REST API with its key (ROUTE=/stations/station-01)
	@$(TESTBED) api

.PHONY: redrive
redrive: $(INSTALLED) ## the dead letters' reasons; sends the repairable ones back
	@$(TESTBED) redrive $(ARGS)

.PHONY: cost
cost: $(INSTALLED) ## what this costs on AWS (STATIONS=1000 INTERVAL=5)
	@$(TESTBED) cost --stations $(STATIONS) --interval $(INTERVAL) $(ARGS)

.PHONY: scale
scale: $(INSTALLED) ## what 10,000 to a million stations need of AWS's quotas, and cost
	@$(TESTBED) scale $(ARGS)

.PHONY: down
down: $(INSTALLED) ## stop and remove everything that `up` made
	@$(TESTBED) down $(ARGS)

.PHONY: package
package: $(INSTALLED) ## build the Lambda packages for AWS (the same bytes every time)
	@$(TESTBED) package

##@ Test

.PHONY: test
test: $(INSTALLED) ## lint, types, unit, integration and e2e tests (no Docker, no AWS account)
	@scripts/test $(ARGS)

.PHONY: unit
unit: $(INSTALLED) ## the tests that start nothing
	@.venv/bin/pytest tests/unit $(ARGS)

.PHONY: e2e
e2e: $(INSTALLED) ## the whole path on the chosen target and engine
	@.venv/bin/pytest tests/e2e $(ARGS)

.PHONY: rehearse
rehearse: $(INSTALLED) ## all of TARGET=aws without an account: plan, cost, confirmation, apply, e2e, down, nothing left
	@$(TESTBED) rehearse $(ARGS)

.PHONY: parity-record
parity-record: $(INSTALLED) ## play the parity scenario against what is up, and keep what came of it
	@$(TESTBED) parity-record $(ARGS)

.PHONY: parity
parity: $(INSTALLED) ## hold what is up against another target's record (ENGINE=localstack make parity)
	@$(TESTBED) parity $(ARGS)

.PHONY: faults
faults: $(INSTALLED) ## break everything under load, by a seed, then audit (ARGS="--seconds 1800 --seed 7")
	@$(TESTBED) faults $(ARGS)

.PHONY: protections
protections: $(INSTALLED) ## take each protection out of a copy: its test must fail (half an hour; ARGS=archive for some)
	@.venv/bin/python -m tests.faults.protections $(ARGS)

.PHONY: iam
iam: $(INSTALLED) ## take each action from each policy: something must stop working (embedded)
	@ENGINE=embedded ENFORCE_IAM=1 .venv/bin/pytest tests/e2e/test_least_privilege.py $(ARGS)

.PHONY: bench
bench: $(INSTALLED) ## latency and throughput, beside the emulator's own ceiling
	@.venv/bin/python -m bench pipeline $(ARGS)

.PHONY: bench-enrolment
bench-enrolment: $(INSTALLED) ## enrol a fleet at an emulator of its own, and remove it (STATIONS=10000)
	@.venv/bin/python -m bench enrolment --stations $(STATIONS) $(ARGS)

.PHONY: bench-bridge
bench-bridge: $(INSTALLED) ## broker + bridge beside plain SendMessageBatch (ARGS="--minutes 10" watches memory)
	@.venv/bin/python -m bench bridge $(ARGS)

.PHONY: bridge-faults
bridge-faults: $(INSTALLED) ## kill bridge and broker, freeze the emulator for 30 s, in 2,000 messages each, both brokers
	@BRIDGE_MESSAGES=2000 BRIDGE_AWAY_SECONDS=30 .venv/bin/pytest tests/integration/bridge/test_faults.py \
	  -k "loses or waited" $(ARGS)

.PHONY: bench-fleet
bench-fleet: $(INSTALLED) ## what a publish costs the simulator, beside other load generators (needs mosquitto)
	@.venv/bin/python -m bench fleet $(ARGS)

.PHONY: bench-open-mqtt
bench-open-mqtt: $(INSTALLED) ## Open MQTT Benchmark Suite: 10,000 connections, fan-in, beside others (ARGS="--only gmqtt")
	@.venv/bin/python -m bench open-mqtt $(ARGS)

.PHONY: bench-growth
bench-growth: $(INSTALLED) ## 10 to 10,000 stations: latency, CPU and memory of each part (ARGS="--sizes 10,100")
	@.venv/bin/python -m bench growth $(ARGS)

.PHONY: plots
plots: $(INSTALLED) ## docs' plots and tables from docs/results (ARGS=--keep: first take what results/ has)
	@.venv/bin/python -m bench plots $(ARGS)

.PHONY: lint
lint: $(INSTALLED) ## ruff, mypy, actionlint, terraform fmt
	@scripts/check

.PHONY: bench-audit
bench-audit: $(INSTALLED) ## time and memory of the audit for ten million messages (ARGS="--lines 1000000")
	@.venv/bin/python -m bench audit $(ARGS)

.PHONY: policy
policy: $(INSTALLED) ## checkov over terraform/, workflows and for secrets (waivers: .checkov.yaml)
	@scripts/policy $(ARGS)

.PHONY: tutorial
tutorial: $(INSTALLED) ## run docs/tutorial.md as printed, from nothing, on a deployment of its own
	@TUTORIAL=alone .venv/bin/pytest -s tests/e2e/test_tutorial.py $(ARGS)

.PHONY: terraform-test
terraform-test: $(INSTALLED) ## `terraform test`: the variables' rules, switches, names, tags (Terraform 1.7 or newer)
	@.venv/bin/pytest -s tests/integration/terraform/test_configuration.py $(ARGS)

.PHONY: picture
picture: $(INSTALLED) ## draw docs/architecture.svg from docs/architecture.dot
	@scripts/picture

.PHONY: fmt
fmt: $(INSTALLED) ## format Python and Terraform
	@.venv/bin/ruff check --fix --quiet . && .venv/bin/ruff format --quiet . && terraform fmt -recursive terraform

.PHONY: help
help: ## this text
	@awk 'BEGIN {FS = ":.*## "; print "make TARGET [SETTING=value ...]"} \
	  /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
