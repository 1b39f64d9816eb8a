# make test-libraries   libraries, unchanged, in patched programs, against servers on loopback: docs/libraries.md
# make test-suites      the test suites of urllib3, requests and redis-py, on netpoll: each outcome is as without it
# make libraries        install them, and the servers that are missing: as root, on Debian

.PHONY: test-libraries test-suites libraries

# On both engines.
test-libraries: libraries
	LIBRARIES=1 $(PY) -m pytest $(PYTEST_ARGS) tests/libraries tests/servers
	LIBRARIES=1 NETPOLL_PURE=1 $(PY) -m pytest $(PYTEST_ARGS) tests/libraries tests/servers

# Without their dependencies, which are there or not needed: one wants an old greenlet.
SUITES := build/suites

test-suites: build servers $(SUITES)/.installed
	$(PY) tests/libraries/suites/run.py $(SUITES) $(SUITE)

$(SUITES)/.installed: tests/libraries/suites/requirements.txt | build
	rm -rf $(SUITES)
	$(PY) -m pip install -q --no-deps --target $(SUITES) -r $<
	@touch $@

libraries: build servers
	$(PY) -m pip install -q -r tests/libraries/requirements.txt
	@missing=; PATH="$$PATH:/usr/sbin"; \
	command -v mariadbd >/dev/null || missing="$$missing mariadb-server"; \
	command -v memcached >/dev/null || missing="$$missing memcached"; \
	test -z "$$missing" && exit 0; \
	test "$$(id -u)" = 0 && command -v apt-get >/dev/null || { echo "not installed, and not tested with:$$missing" >&2; exit 0; }; \
	echo "installing$$missing"; export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
	apt-get update -qq && apt-get install -y -qq -o DPkg::Lock::Timeout=120 --no-install-recommends $$missing
