# make test-drivers       the adapters of database drivers and HTTP clients against real servers on loopback
# make servers            install the servers that are missing: as root, on Debian
# make example-psycopg    psycopg 3 in greenlets, with a server for it
# make example-psycopg2   psycopg2 in greenlets, with a server for it
# make example-pool       a pool of database connections for greenlets, with a server for it
# make example-redis      redis-py in greenlets, with a server for it
# make example-http       urllib3 and requests in greenlets, with a server for them
#
# docs/drivers.md tells more.

EXAMPLES_OF_DRIVERS := example-psycopg example-psycopg2 example-pool example-redis example-http

.PHONY: test-drivers servers $(EXAMPLES_OF_DRIVERS)

test-drivers: build servers
	$(PY) -m pytest $(PYTEST_ARGS) tests/drivers

# The programs that are needed, and Debian's packages of them.  An example wants only its own.
SERVERS := postgres:postgresql redis-server:redis-server nginx:nginx-light openssl:openssl
example-psycopg example-psycopg2 example-pool: SERVERS := postgres:postgresql openssl:openssl
example-redis: SERVERS := redis-server:redis-server openssl:openssl
example-http: SERVERS := nginx:nginx-light openssl:openssl
$(EXAMPLES_OF_DRIVERS): WITHOUT := false

$(EXAMPLES_OF_DRIVERS): servers build
	$(PY) tests/drivers/run_example.py $(@:example-%=%)

# The packages' own services are not started: the tests start what they need, and skip what there is not.
servers:
	@missing=; \
	for server in $(SERVERS); do \
	    name=$${server%%:*}; \
	    PATH="$$PATH:/usr/sbin" command -v $$name >/dev/null || ls /usr/lib/postgresql/*/bin/$$name >/dev/null 2>&1 \
	        || missing="$$missing $${server##*:}"; \
	done; \
	test -z "$$missing" && exit 0; \
	test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	    || { echo "not installed:$$missing (Debian: as root, apt-get install$$missing)" >&2; $(or $(WITHOUT),true); exit; }; \
	echo "installing$$missing"; export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
	apt-get update -qq && apt-get install -y -qq -o DPkg::Lock::Timeout=120 --no-install-recommends $$missing
