# make test-dropin   all of CPython's own tests of sockets, TLS and their users, on netpoll.socket
#
# `make test` has the most telling ones, `make test-slow` the others.

.PHONY: test-dropin

test-dropin: build
	$(PY) -m pytest tests/dropin $(PARALLEL) $(PYTEST_ARGS)
