# make demo    set everything up in .venv and watch an echo server with deadlines at work
# make test    set everything up and run the whole suite: C tests, then pytest on both engines
# make check   formatting, lint, types, C warnings as errors
# make build   only the set-up: .venv and the extension in place
# make clean   remove what the build made (.venv too)
#
# Needed beforehand: make, a C compiler, Python 3.10 or later with its headers and the venv module
# (Debian: python3-dev and python3-venv).  PYTHON=... chooses another interpreter for .venv.

PYTHON ?= python3
PYTEST_ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
BUILT := $(VENV)/.built
DEPS := $(VENV)/.deps

# What belongs to another platform is compiled there: see python/netpoll_build.py.
FOREIGN := csrc/backend_iocp.c $(wildcard csrc/*_win32.c)
ifneq ($(NETPOLL_KQUEUE),1)
FOREIGN += csrc/backend_kqueue.c
endif
CORE := $(filter-out $(FOREIGN),$(wildcard csrc/*.c))
EXT := $(wildcard python/ext/*.c)
C_TESTS := $(wildcard tests/c/test_*.c)
# Twice: threads park by the kernel, and as on macOS.
C_TEST_BINS := $(patsubst tests/c/%.c,build/c/%,$(C_TESTS)) $(patsubst tests/c/%.c,build/c/cond/%,$(C_TESTS))
C_HEADERS := $(wildcard csrc/*.h python/ext/*.h tests/c/*.h)
C_ALL := $(filter-out %_made.h,$(wildcard csrc/*.[ch] python/ext/*.[ch] tests/c/*.[ch] tests/capi/*.c \
    tests/fuzz/c/*.[ch] tests/faults/*.[ch] benchmarks/c/*.[ch] examples/c/*.c examples/extension/*.c))
PY_ALL := setup.py python $(wildcard tests benchmarks examples wheels docs/conf.py docs/_ext)

C_STD := -std=c11
C_WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Werror

.PHONY: demo test test-c test-python check check-python check-c build clean format

# The first target is what a bare `make` does.
demo: build
	$(PY) examples/demo.py

test: test-c test-python

test-c: $(C_TEST_BINS)
	@set -e; for t in $^; do echo "$$t"; ./$$t; done

# The engine is chosen once per process: first the types written in C, then the plain cffi calls,
# for all that depends on them.
test-python: build
	$(PY) -m pytest $(PYTEST_ARGS)
	NETPOLL_PURE=1 $(PY) -m pytest -m "not any_engine" $(PYTEST_ARGS)

check: check-python check-c

check-python: build
	$(PY) -m ruff check $(PY_ALL)
	$(PY) -m ruff format --check $(PY_ALL)
	$(PY) -m mypy

# -O2, since some warnings come out of the optimizer's analysis only.
check-c: build
	$(VENV)/bin/clang-format --dry-run -Werror $(C_ALL)
	@set -e; include=$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("include"))'); \
	for cc in $(CC) $$(command -v clang || true); do \
	    for file in $(CORE) $(EXT); do \
	        echo "$$cc $$file"; \
	        $$cc $(C_STD) $(C_WARN) -O2 -fPIC -Icsrc -isystem $$include -DPy_LIMITED_API=0x030a0000 \
	            $(CFLAGS) -c -o /dev/null $$file; \
	    done; \
	done

format: build
	$(PY) -m ruff format $(PY_ALL)
	$(VENV)/bin/clang-format -i $(C_ALL)

build: $(BUILT)

# The docstrings of _pure.py become those of the types in C.
$(BUILT): $(DEPS) pyproject.toml setup.py python/netpoll_build.py python/netpoll/_pure.py python/netpoll/_pure_socket.py \
          $(CORE) $(EXT) $(C_HEADERS)
	$(PY) -m pip install -q --no-build-isolation --no-deps -e .
	@touch $@

$(DEPS): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	    || { echo 'netpoll needs Python 3.10 or later (make PYTHON=python3.x)' >&2; exit 1; }
	@$(PYTHON) -c 'import os, sysconfig; open(os.path.join(sysconfig.get_path("include"), "Python.h"))' 2>/dev/null \
	    || { echo 'Python.h is missing: install the headers (Debian: python3-dev)' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	    || { echo 'the venv module is missing: install it (Debian: python3-venv)' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q -r requirements-dev.txt
	@touch $@

define compile_c_test
	@mkdir -p $(@D)
	$(CC) $(C_STD) $(C_WARN) $(1) -O2 -g $(CFLAGS) -Icsrc -o $@ $< $(CORE) $(LDFLAGS) -pthread
endef

build/c/%: tests/c/%.c $(CORE) $(C_HEADERS)
	$(call compile_c_test)

build/c/cond/%: tests/c/%.c $(CORE) $(C_HEADERS)
	$(call compile_c_test,-DNP_PARK_COND)

clean:
	rm -rf $(VENV) build dist python/*.egg-info python/netpoll/_core.c python/netpoll/_core*.so \
	    python/ext/*_made.h python/netpoll/include

# Whole groups of targets have files of their own.
include $(wildcard *.mk)
