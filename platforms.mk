# make cross         compile and link the core and its C tests for every platform, warnings as errors
# make wheels        the sdist and a wheel for every platform, from this machine, into dist/; each checked,
#                    and this machine's own tried with every CPython at hand
# make test-kqueue   the whole suite on the kqueue backend, on Linux: LIBKQUEUE=the prefix of a libkqueue
#
# docs/platforms.md tells what all this proves.

CROSS := build/cross-venv
CROSS_PY := $(CROSS)/bin/python

.PHONY: cross wheels wheels-identifiers test-kqueue

cross: $(CROSS)/.ready
	$(CROSS_PY) wheels/cross.py

wheels: $(CROSS)/.ready wheels-identifiers
	$(CROSS_PY) wheels/build.py dist
	$(CROSS_PY) wheels/check.py dist
	$(CROSS_PY) wheels/native.py dist

wheels-identifiers: $(CROSS)/.ready
	$(CROSS_PY) wheels/identifiers.py

$(CROSS)/.ready: wheels/requirements.txt
	$(PYTHON) -m venv $(CROSS)
	$(CROSS_PY) -m pip install -q -r $<
	@touch $@

# An environment of its own, as the extension is another one.  The suite runs on kqueue, and the C tests on
# every backend; -DNP_KQUEUE_PIPE is the wake object of systems without user events.
KQUEUE := build/kqueue-venv
KQUEUE_CFLAGS := -DNETPOLL_KQUEUE=1 -isystem $(LIBKQUEUE)/include/kqueue -isystem $(LIBKQUEUE)/include
KQUEUE_LDFLAGS := -L$(LIBKQUEUE)/lib -Wl,-rpath,$(LIBKQUEUE)/lib -Wl,--no-as-needed -lkqueue

test-kqueue:
	@test -n '$(LIBKQUEUE)' || { echo 'make test-kqueue LIBKQUEUE=... : the prefix where libkqueue is installed' >&2; exit 1; }
	$(PYTHON) -m venv $(KQUEUE)
	$(KQUEUE)/bin/python -m pip install -q -r requirements-dev.txt
	for wake in '' -DNP_KQUEUE_PIPE; do \
	    $(MAKE) clean-c test-c NETPOLL_KQUEUE=1 CFLAGS="$(KQUEUE_CFLAGS) $$wake" LDFLAGS='$(KQUEUE_LDFLAGS)' || exit 1; \
	done
	NETPOLL_KQUEUE=1 CFLAGS='$(KQUEUE_CFLAGS)' LDFLAGS='$(KQUEUE_LDFLAGS)' \
	    $(KQUEUE)/bin/python -m pip install -q --no-build-isolation --no-deps .
	NETPOLL_BACKEND=kqueue $(KQUEUE)/bin/python -m pytest -k kqueue $(PYTEST_ARGS)
