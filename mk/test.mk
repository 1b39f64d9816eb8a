# make test-all      the tests that `make test` leaves out, too: CPython's loops, every torn place, the sdist
# make test-slow     those alone
# make test-c        the C tests, on each way of parking threads
# make test-python   pytest on both engines: the types in C, then plain cffi.  PYTEST_ARGS: what pytest takes

.PHONY: test-all test-slow test-c test-python

test-all: TESTS =
test-all: test-c test-python

test-slow: TESTS := slow
test-slow: test-python

# Twice: with assertions, and threads park by the kernel; as released, and threads park as on macOS.
C_TEST_BINS := $(patsubst tests/c/%.c,build/c/%,$(C_TESTS)) $(patsubst tests/c/%.c,build/c/cond/%,$(C_TESTS))

test-c:
	@$(MAKE) --no-print-directory -j$$(getconf _NPROCESSORS_ONLN) $(C_TEST_BINS)
	@set -e; for t in $(C_TEST_BINS); do echo "$$t"; ./$$t; done

C_TEST_CC = $(CC) $(C_STD) $(C_WARN) $(1) -O2 -g $(CFLAGS) -Icsrc -pthread -o $@

define compile_c
	@mkdir -p $(@D)
	$(C_TEST_CC) -c $<
endef

define link_c_test
	@mkdir -p $(@D)
	$(C_TEST_CC) $(filter-out %.h,$^) $(LDFLAGS)
endef

.SECONDARY: $(CORE:%.c=build/c/%.o) $(CORE:%.c=build/c/cond/%.o)

build/c/csrc/%.o: csrc/%.c $(C_HEADERS)
	$(call compile_c,-DNP_DEBUG)

build/c/cond/csrc/%.o: csrc/%.c $(C_HEADERS)
	$(call compile_c,-DNP_FUTEX_COND)

build/c/%: tests/c/%.c $(CORE:%.c=build/c/%.o) $(C_HEADERS)
	$(call link_c_test,-DNP_DEBUG)

build/c/cond/%: tests/c/%.c $(CORE:%.c=build/c/cond/%.o) $(C_HEADERS)
	$(call link_c_test,-DNP_FUTEX_COND)

# The engine is chosen once per process, so what depends on it runs in a second one, whatever the first said.
# Several processes share the tests of a run; PARALLEL= takes one.
TESTS := not slow
PARALLEL ?= -n auto --dist loadgroup

test-python: build
	@failed=0; set -x; \
	$(PY) -m pytest -m "$(TESTS)" $(PARALLEL) $(PYTEST_ARGS) || failed=$$?; \
	NETPOLL_PURE=1 $(PY) -m pytest -m "not any_engine $(if $(TESTS),and $(TESTS))" $(PARALLEL) $(PYTEST_ARGS) || failed=$$?; \
	set +x; exit $$failed
