# make help    every target, one line each
# make demo    set everything up in .venv and watch an echo server with deadlines at work
# make test    set everything up and run the tests: those in C, then pytest on both engines
# make check   formatting, lint, types, C warnings as errors, lines a folder
#
# Needed beforehand: make, a C compiler, Python 3.10 or later with its headers and the venv module
# (Debian: python3-dev and python3-venv).  PYTHON=... chooses another interpreter for .venv.

PYTHON ?= python3
PYTEST_ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
BUILT := $(VENV)/.built
DEPS := $(VENV)/.deps

# The core's sources, as csrc/sources.py finds them; the types in C; everything in C, everything in Python.
CORE := $(filter-out csrc/win32/%,$(wildcard csrc/*/*.c))
EXT := $(wildcard python/ext/*.c python/plain/*.c)
C_TESTS := $(wildcard tests/c/test_*.c)
C_HEADERS := $(wildcard csrc/*.h csrc/*/*.h python/ext/*.h python/plain/*.h tests/c/*.h)
C_ALL := $(filter-out %_made.h,$(wildcard csrc/*.[ch] csrc/*/*.[ch] python/ext/*.[ch] python/plain/*.[ch] tests/c/*.[ch] tests/capi/*.c \
    tests/fuzz/c/*.[ch] tests/faults/*.[ch] benchmarks/c/*.[ch] examples/c/*.c examples/extension/*.c))
PY_ALL := setup.py python $(wildcard tests benchmarks examples wheels docs/conf.py docs/_ext)

C_STD := -std=c11
C_WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Werror

.DEFAULT_GOAL := demo
.PHONY: help demo test check

# Each file's head describes its targets: "# make NAME   what it does".
help:
	@awk 'FNR == 1 && NR > 1 { print "" } \
	    /^# make [a-z]/ { name = $$3; sub(/^# make [^ ]+ +/, ""); printf "make %-24s %s\n", name, $$0 }' Makefile mk/*.mk

demo: build
	$(PY) examples/demo.py

test: test-c test-python

check: check-python check-c budget

include $(wildcard mk/*.mk)
