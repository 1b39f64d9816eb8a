# make build-freethreading       the extension for FREE_THREADED, in build/freethreading
# make test-freethreading        the suite on FREE_THREADED, a CPython without the GIL
# make bench-freethreading       threads and hubs on it, beside blocking sockets, the GIL and Go, on two cores
# make sanitize-freethreading    threads and hubs on FREE_THREADED_TSAN, built --with-thread-sanitizer too
#
# The interpreters need cffi, greenlet, setuptools and what else the suite imports; docs/freethreading.md.

FREE_THREADED ?= python3.14t
FREE_THREADED_LIB := build/freethreading/lib

.PHONY: build-freethreading test-freethreading bench-freethreading sanitize-freethreading

build-freethreading:
	@$(FREE_THREADED) -c 'import sysconfig; assert sysconfig.get_config_var("Py_GIL_DISABLED")' 2>/dev/null \
	    || { echo 'FREE_THREADED=... is to be a CPython without the GIL' >&2; exit 1; }
	rm -rf $(FREE_THREADED_LIB)
	$(FREE_THREADED) setup.py -q build --build-base build/freethreading/py --build-lib $(FREE_THREADED_LIB)

bench-freethreading: build-freethreading $(VENV)/.bench
	FREE_THREADED=$(FREE_THREADED) $(PY) -m benchmarks freethreading $(BENCH_ARGS)

# In a forked child the sanitizer does not know the threads that are gone; and a fork takes more locks at once than
# its search for deadlocks can follow.
FREE_THREADED_TSAN ?= python3.14t
FREE_THREADED_TSAN_SUITE := tests/process/test_free_threading.py tests/green/test_green_hub.py tests/green/test_green_kill.py \
    tests/sockets/test_sockets.py $(patsubst %,tests/core/test_%.py,sema tokens second_waiter anywhere)

sanitize-freethreading:
	@$(FREE_THREADED_TSAN) -c 'import sysconfig; get = sysconfig.get_config_var; \
	    assert get("Py_GIL_DISABLED") and "with-thread-sanitizer" in get("CONFIG_ARGS")' 2>/dev/null \
	    || { echo 'FREE_THREADED_TSAN=... is to be a CPython without the GIL, built --with-thread-sanitizer' >&2; exit 1; }
	rm -rf build/freethreading/tsan build/freethreading/report*
	mkdir -p build/freethreading
	cat tests/tsan.supp tests/tsan_freethreading.supp > build/freethreading/tsan.supp
	CFLAGS="$(SANITIZED) -fsanitize=thread" LDFLAGS="-fsanitize=thread" \
	    $(FREE_THREADED_TSAN) setup.py -q build --build-base build/freethreading/tsan-py --build-lib build/freethreading/tsan
	PYTHONPATH="$(CURDIR)/build/freethreading/tsan:$$PYTHONPATH" \
	TSAN_OPTIONS=detect_deadlocks=0:suppressions=$(CURDIR)/build/freethreading/tsan.supp:log_path=$(CURDIR)/build/freethreading/report \
	    setarch -R $(FREE_THREADED_TSAN) -m pytest -q -p no:cacheprovider --timeout 600 -k 'not fork' $(FREE_THREADED_TSAN_SUITE)
	@! cat build/freethreading/report* 2>/dev/null

test-freethreading: build-freethreading
	PYTHONPATH=$(CURDIR)/$(FREE_THREADED_LIB) $(FREE_THREADED) -m pytest $(PYTEST_ARGS)
	PYTHONPATH=$(CURDIR)/$(FREE_THREADED_LIB) NETPOLL_PURE=1 $(FREE_THREADED) -m pytest -m "not any_engine" $(PYTEST_ARGS)
