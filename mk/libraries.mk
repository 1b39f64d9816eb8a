# make test-libraries   libraries, unchanged, in patched programs, against servers on loopback: docs/libraries.md
# make libraries        install them, and the servers that are missing: as root, on Debian

.PHONY: test-libraries libraries

# On both engines.
test-libraries: libraries
	LIBRARIES=1 $(PY) -m pytest $(PYTEST_ARGS) tests/libraries tests/servers
	LIBRARIES=1 NETPOLL_PURE=1 $(PY) -m pytest $(PYTEST_ARGS) tests/libraries tests/servers

libraries: build servers
	$(PY) -m pip install -q -r tests/libraries/requirements.txt
	@missing=; PATH="$$PATH:/usr/sbin"; \
	command -v mariadbd >/dev/null || missing="$$missing mariadb-server"; \
	command -v memcached >/dev/null || missing="$$missing memcached"; \
	test -z "$$missing" && exit 0; \
	test "$$(id -u)" = 0 && command -v apt-get >/dev/null || { echo "not installed, and not tested with:$$missing" >&2; exit 0; }; \
	echo "installing$$missing"; export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
	apt-get update -qq && apt-get install -y -qq -o DPkg::Lock::Timeout=120 --no-install-recommends $$missing
