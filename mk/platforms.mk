# make cross                compile and link the core and its C tests for every platform; run those that can run here
# make wheels               the sdist and a wheel for every platform, into dist/, checked and tried
# make wheel-windows        only the wheel for 64-bit Windows, which `make test-windows` runs
# make wheels-identifiers   compare pyproject.toml and the workflow with wheels/platforms.py
# make test-kqueue          the whole suite on the kqueue backend, on Linux: LIBKQUEUE=the prefix of a libkqueue
#
# docs/platforms.md tells what all this proves.

CROSS := build/cross-venv
CROSS_PY := $(CROSS)/bin/python

.PHONY: cross wheels wheel-windows wheels-identifiers test-kqueue

cross: $(CROSS)/.ready
	$(CROSS_PY) wheels/cross.py

wheels: $(CROSS)/.ready wheels-identifiers
	$(CROSS_PY) wheels/build.py dist
	$(CROSS_PY) wheels/check.py dist
	$(CROSS_PY) wheels/native.py dist

wheel-windows: $(CROSS)/.ready
	$(CROSS_PY) wheels/build.py $(WINDOWS)/wheel windows-amd64

wheels-identifiers: $(CROSS)/.ready
	$(CROSS_PY) wheels/identifiers.py

$(CROSS)/.ready: wheels/requirements.txt
	$(PYTHON) -m venv $(CROSS)
	$(CROSS_PY) -m pip install -q -r $<
	@touch $@

# An environment of its own, as the extension is another one.  The C tests run on every backend, and with
# either wake object (NP_KQUEUE_PIPE: that of systems without user events); then the suite, on kqueue.
KQUEUE := build/kqueue
KQUEUE_PY := $(KQUEUE)/venv/bin/python
KQUEUE_CFLAGS = -DNETPOLL_KQUEUE=1 -isystem $(LIBKQUEUE)/include/kqueue -isystem $(LIBKQUEUE)/include
KQUEUE_LDFLAGS = -L$(LIBKQUEUE)/lib -Wl,-rpath,$(LIBKQUEUE)/lib -Wl,--no-as-needed -lkqueue

test-kqueue:
	@test -n '$(LIBKQUEUE)' || \
	    { echo 'make test-kqueue LIBKQUEUE=...: the prefix where libkqueue is installed' >&2; exit 1; }
	@mkdir -p $(KQUEUE)
	$(CC) $(C_STD) -Wall -Wextra -Werror -O2 $(KQUEUE_CFLAGS) -o $(KQUEUE)/limits tests/kqueue/limits.c $(KQUEUE_LDFLAGS)
	$(KQUEUE)/limits
	@set -e; for wake in -UNP_KQUEUE_PIPE -DNP_KQUEUE_PIPE; do for t in $(C_TESTS); do \
	    echo "$$t $$wake"; program=$(KQUEUE)/$$(basename $$t .c); \
	    $(CC) $(C_STD) $(C_WARN) -O2 -g -DNP_DEBUG $(KQUEUE_CFLAGS) $$wake -Icsrc -o $$program $$t $(CORE) \
	        $(KQUEUE_LDFLAGS) -pthread; $$program; \
	done; done
	$(PYTHON) -m venv $(KQUEUE)/venv
	$(KQUEUE_PY) -m pip install -q -r requirements-dev.txt
	NETPOLL_KQUEUE=1 CFLAGS='$(KQUEUE_CFLAGS)' LDFLAGS='$(KQUEUE_LDFLAGS)' \
	    $(KQUEUE_PY) -m pip install -q --no-build-isolation --no-deps --force-reinstall .
	NETPOLL_BACKEND=kqueue $(KQUEUE_PY) -m pytest --backend kqueue --ignore tests/tools/test_packaging.py $(PYTEST_ARGS)
