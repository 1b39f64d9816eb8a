# make test-drivers   the adapters of database drivers and HTTP clients against real servers on loopback
# make example-psycopg, example-psycopg2, example-pool, example-redis, example-http   an example, and a server for it
# make servers        install the servers that are missing: as root, on Debian
#
# docs/drivers.md tells more.

EXAMPLES_OF_DRIVERS := example-psycopg example-psycopg2 example-pool example-redis example-http

.PHONY: test-drivers servers $(EXAMPLES_OF_DRIVERS)

test-drivers: build servers
	$(PY) -m pytest $(PYTEST_ARGS) tests/drivers

$(EXAMPLES_OF_DRIVERS): build servers
	$(PY) tests/drivers/run_example.py $(@:example-%=%)

# The packages' own services are not started: the tests start what they need.
servers:
	@missing=; \
	for server in postgres:postgresql redis-server:redis-server nginx:nginx-light; do \
	    name=$${server%%:*}; \
	    PATH="$$PATH:/usr/sbin" command -v $$name >/dev/null || ls /usr/lib/postgresql/*/bin/$$name >/dev/null 2>&1 \
	        || missing="$$missing $${server##*:}"; \
	done; \
	test -z "$$missing" && exit 0; \
	test "$$(id -u)" = 0 && command -v apt-get >/dev/null || { echo "not installed, and not tested with:$$missing" >&2; exit 0; }; \
	echo "installing$$missing"; export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
	apt-get update -qq && apt-get install -y -qq -o DPkg::Lock::Timeout=120 --no-install-recommends $$missing
