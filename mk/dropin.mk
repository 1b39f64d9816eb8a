# make test-dropin   all of CPython's own tests of sockets, TLS and their users, on netpoll.socket
#
# `make test` has the most telling ones.

.PHONY: test-dropin

test-dropin: build
	DROPIN=all $(PY) -m pytest tests/dropin $(PARALLEL) $(PYTEST_ARGS)
