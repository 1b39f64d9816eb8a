# make test-dropin    netpoll.socket in place of the standard module: CPython's own tests of sockets, TLS and the
#                     clients and servers of its library, all of them (`make test` has the most telling ones)

.PHONY: test-dropin

test-dropin: build
	DROPIN=all $(PY) -m pytest tests/dropin $(PYTEST_ARGS)
