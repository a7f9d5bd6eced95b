# Everything a person or CI does with Scopebook. `make` lists it.
.DEFAULT_GOAL := help
.PHONY: help run install test test-services test-exports drill drill-annotators fuzz-api check fix audit sbom bench bench-collect bench-labels bench-search bench-load bench-inspect bench-steer bench-scale openapi demo-bundle clean
BIN := .venv/bin
# Images for containers set this: each program would compile anew all that it imports. (To compile
# all that is installed beforehand takes a minute, for 20,000 files of which a fifth is used.)
unexport PYTHONDONTWRITEBYTECODE
FRONTEND := $(shell find frontend -type f -not -path '*/node_modules/*' -not -path '*/.svelte-kit/*' 2>/dev/null)
STATIC := api/scopebook_api/static/index.html

help: ## List what can be made.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.venv/.run: pyproject.toml constraints.txt scripts/install.sh
	@echo "Installing Scopebook into .venv ..."
	@scripts/install.sh run
	@touch $@

.venv/.dev: .venv/.run
	@echo "Installing what checks and tests need ..."
	@scripts/install.sh dev
	@touch $@

$(STATIC): $(FRONTEND) scripts/frontend.sh | .venv/.run
	@echo "Building the web app ..."
	@scripts/frontend.sh npm run --silent build > .venv/frontend.log 2>&1 || { cat .venv/frontend.log; exit 1; }
	@touch $@

run: .venv/.run $(STATIC) ## Set up and start everything on http://localhost:8000.
	@exec $(BIN)/scopebook up $(ARGS)

install: .venv/.run $(STATIC) ## Set up, and start nothing.

test: .venv/.dev $(STATIC) ## Set up and run all tests, a real browser's included.
	@scripts/browser.sh
	@scripts/frontend.sh npm test --silent
	@scripts/tests.sh $(ARGS)

test-services: .venv/.dev $(STATIC) ## Run a team's instance over Debian's Redis and RabbitMQ, and over hosts that are cut off.
	@scripts/test-services.sh $(ARGS)

test-exports: .venv/.dev ## Hold exported presets against the tools they are made for, each in an environment of its own.
	@scripts/test-exports.sh $(ARGS)

drill: .venv/.dev ## Kill parts of long runs 60 times, at random moments; prints the seed.
	@seed=$${DRILL_SEED:-$$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}; echo "DRILL_SEED=$$seed"; \
	DRILL_SEED=$$seed DRILL_KILLS=$${DRILL_KILLS:-60} DRILL_TEXTS=$${DRILL_TEXTS:-3600} \
	DRILL_FEATURES=$${DRILL_FEATURES:-1500} \
	$(BIN)/pytest -q -s tests/drills/test_kills.py tests/drills/test_words.py $(ARGS)

drill-annotators: .venv/.dev ## Let fifty people annotate at once for a minute.
	DRILL_ANNOTATORS_S=$${DRILL_ANNOTATORS_S:-60} $(BIN)/pytest -q -s tests/drills/test_annotators.py $(ARGS)

fuzz-api: .venv/.dev ## Ask every route for 100 valid and 100 invalid things; prints the seed.
	@seed=$${FUZZ_SEED:-$$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}; echo "FUZZ_SEED=$$seed"; \
	FUZZ_SEED=$$seed FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-100} $(BIN)/pytest -q -s tests/api/test_schema.py $(ARGS)

check: .venv/.dev ## Format, lint, types, import contracts, known vulnerabilities.
	@$(MAKE) --no-print-directory -j2 check-python check-web
	@$(MAKE) --no-print-directory audit

check-python:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-web:
	@scripts/frontend.sh npm run --silent check
	@scripts/frontend.sh npm run --silent lint

fix: .venv/.dev ## Format, and mend what can be mended.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	@scripts/frontend.sh npm run --silent format

audit: .venv/.run ## Ask PyPI and npm for known vulnerabilities; says so where they cannot be asked.
	@$(BIN)/python scripts/supply.py audit

sbom: .venv/.run ## List all packages as CycloneDX in build/sbom.
	@$(BIN)/python scripts/supply.py sbom

openapi: .venv/.dev ## Write what is generated: the API's schema, the types of the web app and of the client, the settings.
	$(BIN)/python -m scopebook_api.openapi > build-openapi.json && mv build-openapi.json frontend/openapi.json
	$(BIN)/python -m scopebook.settings > docs/settings.md
	$(BIN)/python -m scopebook.env_example > .env.example
	$(BIN)/python -m scopebook_api.client_types && $(BIN)/ruff format -q dictionary/scopebook/client/types
	@scripts/frontend.sh npm run --silent types

bench-collect: .venv/.dev ## Time a collection against its bare pipeline, and what storing it takes.
	$(BIN)/python benchmarks/collect.py $(ARGS)
	$(BIN)/python benchmarks/storage.py

bench-labels: .venv/.dev ## Measure labelling on planted truth; prints a table, fails when a gate does.
	PYTHONPATH=. $(BIN)/python -m benchmarks.labels $(ARGS)

bench-search: .venv/.dev ## Search a dictionary of 786,432 features: times at 8 users, recall, sizes.
	PYTHONPATH=. $(BIN)/python -m benchmarks.search $(ARGS)

bench-load: .venv/.dev ## Load an instance of 786,432 features with mixed traffic; fails where a request does, or memory grows.
	PYTHONPATH=.:tests $(BIN)/python -m benchmarks.load $(ARGS)

bench-inspect: .venv/.dev ## Time an inspection against the bare model and SAEs; fails above 1.2 times.
	$(BIN)/python benchmarks/inspect_texts.py $(ARGS)

bench-steer: .venv/.dev ## Time steered writing against unsteered; fails above 1.1 times, or 2.5 for eight strengths.
	PYTHONPATH=. $(BIN)/python -m benchmarks.steer $(ARGS)

bench-scale: .venv/.dev ## Spread sleeping shards over 1 to 16 processes; fails below an efficiency of 0.9.
	PYTHONPATH=. $(BIN)/python -m benchmarks.scale $(ARGS)

bench: .venv/.dev ## Time the parts of a first run; prints a table.
	$(BIN)/python benchmarks/first_run.py
	PYTHONPATH=. $(BIN)/python -m benchmarks.labels.speed

demo-bundle: .venv/.dev ## Build the demo bundle anew: corpus, tokenizer, model, SAEs, evaluation.
	$(BIN)/python -m scopebook_demo.build --work build/demo --out demo/scopebook_demo/bundle $(ARGS)

clean: ## Remove what `make` made; instances' data stays.
	rm -rf .venv build frontend/node_modules frontend/.svelte-kit api/scopebook_api/static
