# From a fresh clone to a net that plays. Needs make and Python 3.11, 3.12 or 3.13 with its venv module.

GAME ?= connect4
MINUTES ?= 20
RUN ?=
MODEL ?= $(if $(RUN),runs/$(RUN))
PYTHON ?=
PIP_OPTIONS ?=
WORKERS ?= 2
ARGS ?=

VENV := .venv
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install train play lint check test test-checked clean

help:
	@echo "make train     train a net: GAME=$(GAME) MINUTES=$(MINUTES) RUN=name"
	@echo "make play      play against the newest net: GAME=$(GAME) RUN=name MODEL=path"
	@echo "make check     ruff, mypy and the quick tests of what the last change touches"
	@echo "make test      ruff, mypy and the test suite: ARGS='-k gtp' WORKERS=$(WORKERS)"
	@echo "make test-checked   search, self-play and arena with bounds checked, and a part without the compiler"
	@echo "make lint      ruff and mypy alone"
	@echo "make install   the environment alone, in $(VENV): PYTHON=python3.12"
	@echo "make clean     remove $(VENV) and the caches; runs/ stays"
	@echo
	@echo "Each makes the environment first where it is missing. On Linux pip's torch brings CUDA along, some gigabytes;"
	@echo "PIP_OPTIONS='--extra-index-url ...' with torch's own index of CPU builds spares a machine without a GPU these."

install: $(STAMP)

# An environment whose Python is gone or of another version (the system was upgraded) is made anew.
$(STAMP): pyproject.toml configs/constraints.txt
	@suits='import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; \
	if ! $(VENV)/bin/python -c "$$suits" 2>/dev/null || ! $(VENV)/bin/python -m pip --version >/dev/null 2>&1; then \
	    found=; \
	    for python in $(if $(PYTHON),'$(PYTHON)',python3.11 python3.12 python3.13 python3 python); do \
	        if "$$python" -c "$$suits" 2>/dev/null; then found=$$python; break; fi; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo "keima: expected Python 3.11, 3.12 or 3.13 with its venv module$(if $(PYTHON), at PYTHON=$(PYTHON),, found none); install it (Debian, Ubuntu: apt install python3 python3-venv) or name it: make install PYTHON=/path/to/python3.11" >&2; \
	        exit 2; \
	    fi; \
	    echo "Making $(VENV) with $$("$$found" --version)"; \
	    "$$found" -m venv --clear $(VENV); \
	fi
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet $(PIP_OPTIONS) -c configs/constraints.txt -e '.[dev]'
	@touch $@

train: install
	@$(VENV)/bin/keima train '$(GAME)' --minutes $(MINUTES) $(if $(RUN),--run '$(RUN)') $(ARGS)

play: install
	@$(VENV)/bin/keima play '$(GAME)' $(if $(MODEL),--model '$(MODEL)') $(ARGS)

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

PYTEST := $(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadfile

check: lint
	$(PYTEST) --touched -m 'not slow' $(ARGS)

test: lint
	$(PYTEST) $(ARGS)

# A wrong index in compiled code reads or writes whatever lies there; checked, it raises. Without the compiler kernels
# are plain Python, as their authors read them: only the smallest game is quick enough for that.
CHECKED := tests/mcts/test_search.py tests/selfplay/actors/test_game_kernels.py tests/selfplay/tournament/test_arena.py
PLAIN := tests/mcts tests/games/test_tictactoe.py tests/selfplay/actors/test_game_kernels.py

test-checked: install
	NUMBA_DISABLE_JIT=1 $(PYTEST) -W ignore::RuntimeWarning --deselect tests/mcts/test_compiled.py $(PLAIN) \
	    -k 'tictactoe or test_random or test_tree or test_cache'
	NUMBA_BOUNDSCHECK=1 $(PYTEST) $(CHECKED) -k 'tictactoe or connect4 or othello or arena'

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './runs/*' -prune -exec rm -rf {} +
