# make test-pythons     the suite on every CPython at hand; as root on Debian, on sid's 3.14 and 3.15 too.  PYTEST_ARGS
# make test-sid         the latter alone
#
# Sid's userland is made once, in SID; docs/platforms.md tells more.

PYTHONS := build/pythons
SID ?= build/sid

.PHONY: test-pythons test-sid

test-pythons:
	@failed=0; $(PYTHON) wheels/pythons.py $(PYTHONS) || failed=1; \
	if test "$$(id -u)" = 0 && test -e /etc/debian_version; then $(MAKE) test-sid || failed=1; \
	else echo 'not run on 3.14 and 3.15 of Debian sid: that takes root, on Debian' >&2; fi; exit $$failed

test-sid:
	wheels/sid.sh $(SID) python3.14 wheels/pythons.py /root/pythons python3.14 python3.15

export PYTEST_ARGS
