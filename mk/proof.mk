# make prove                     explorer, faults, sanitizers in C, valgrind and soak, briefly
# make torn                      a signal handler that raises, at every place where it can, in every operation
# make explore                   every interleaving of small scenarios of the real core, and planted bugs caught
# make sanitize                  the sanitizers on everything: the next three
# make sanitize-c                the C tests under thread, address, leak and undefined sanitizers
# make sanitize-valgrind         the C tests under valgrind's memcheck, which knows what was never written
# make sanitize-python           the Python suite under sanitizers: the next two
# make sanitize-python-memory    the suite under address and undefined sanitizers
# make sanitize-python-threads   its threads under the thread sanitizer
# make mutants                   mutants of MUTANTS, MUTANTS_ARGS: killed by explorer, C tests or suite, or shown
# make faults                    system calls and allocations that fail at the n-th call, for every n, in C and in Python
# make fuzz                      random sequences of calls against a reference of the rules (hypothesis)
# make fuzz-c                    the same on the C API, with libFuzzer for FUZZ_SECONDS (needs clang); planted bugs
# make soak                      descriptors, deadlines, forks, signals for SECONDS; everything accounted for
#
# docs/proof.md has what each of them checks, and how much.

SECONDS ?= 60
FUZZ_SECONDS ?= 60
SANITIZED := -std=c11 -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=undefined -DNP_DEBUG -Icsrc

.PHONY: torn explore mutants sanitize sanitize-c sanitize-valgrind sanitize-python sanitize-python-memory sanitize-python-threads faults fuzz fuzz-c soak prove

prove: EXPLORE_ARGS := --short
prove: explore torn faults sanitize-c sanitize-valgrind
	$(MAKE) soak SECONDS=20

torn: build
	$(PY) tests/torn/torn.py

MUTANTS ?=
MUTANTS_ARGS ?= --seconds 3600

mutants: build
	$(PY) tests/mutants/mutants.py $(MUTANTS) $(MUTANTS_ARGS)

explore:
	$(PYTHON) tests/explore/explore.py $(EXPLORE_ARGS)

sanitize: sanitize-c sanitize-valgrind sanitize-python

sanitize-c:
	@mkdir -p build/sanitize
	@set -e; for kind in thread address,undefined; do for test in $(C_TESTS); do \
	    echo "$$kind: $$test"; \
	    $(CC) $(SANITIZED) -fsanitize=$$kind -o build/sanitize/test $$test $(CORE) -pthread; \
	    RACE_MS=3000 ./build/sanitize/test; \
	done; done

# It does not know epoll_pwait2, so this is also the core on an older kernel, with epoll_wait.
sanitize-valgrind:
	@command -v valgrind >/dev/null || { echo 'sanitize-valgrind needs valgrind: apt-get install valgrind'; exit 1; }
	@mkdir -p build/sanitize
	@set -e; for test in $(C_TESTS); do \
	    echo "valgrind: $$test"; \
	    $(CC) $(C_STD) -O1 -g -DNP_DEBUG -Icsrc -o build/sanitize/test $$test $(CORE) -pthread; \
	    RACE_MS=1000 valgrind -q --child-silent-after-fork=yes --error-exitcode=1 \
	        --suppressions=tests/valgrind.supp --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=all ./build/sanitize/test; \
	done

# Only our module is instrumented.  greenlet copies slices of the C stack, which AddressSanitizer would
# take for an overflow if it guarded the stack; so here it guards the heap and the globals.  Leaks are looked
# for in the C tests, as the interpreter leaves memory behind on purpose.  Left out: tests of what is not our
# module, and those that measure memory: the sanitizer has a shadow, and keeps what was freed for a while.
SANITIZED_SUITE := tests --ignore tests/drivers --ignore tests/dropin --ignore tests/windows --ignore tests/fuzz/test_c.py --ignore tests/core/test_c_alone.py \
    --ignore tests/tools/test_docs.py --ignore tests/tools/test_packaging.py --ignore tests/tools/test_benchmarks.py
SANITIZED_TESTS := -k 'not memory_to_spare and not memory_does_not_grow'
# ThreadSanitizer cannot follow greenlets, which change the stack under it, nor a fork beside threads.
TSAN_SUITE := $(patsubst %,tests/core/test_%.py,closing deadlines readiness second_waiter tokens wake stale_events many \
    go_close go_fdmutex go_os_timeout go_timeout nesting hostile_peers) tests/sockets/test_sockets.py
TSAN_TESTS := -k 'not greenlet and not fork and not hub and not memory_does_not_grow'

# $(1): address,undefined or thread; $(2): flags; $(3): a folder before ours on Python's path; $(4): libraries;
# $(5): tests.  Without random addresses, where older sanitizers find no room for their shadows.
define sanitized_python
	rm -rf build/sanitize/py build/sanitize/lib build/sanitize/report*
	CFLAGS="$(SANITIZED) -fsanitize=$(1) $(2)" LDFLAGS="-fsanitize=$(1)" \
	    $(PY) setup.py -q build --build-base build/sanitize/py --build-lib build/sanitize/lib
	export PYTHONPATH=$(3)build/sanitize/lib PYTHONMALLOC=malloc LD_PRELOAD="$(4)" \
	    ASAN_OPTIONS=detect_leaks=0:log_path=$(CURDIR)/build/sanitize/report \
	    TSAN_OPTIONS=die_after_fork=0:suppressions=$(CURDIR)/tests/tsan.supp:log_path=$(CURDIR)/build/sanitize/report; \
	$(PY) -c 'from netpoll import _core; assert "sanitize/lib" in _core.__file__' && \
	    setarch -R $(PY) -m pytest -q -p no:cacheprovider $(5)
	@! cat build/sanitize/report* 2>/dev/null
endef
library = $(shell $(CC) -print-file-name=lib$(1).so)

sanitize-python: sanitize-python-memory sanitize-python-threads

sanitize-python-memory: build
	$(call sanitized_python,address$(comma)undefined,--param asan-stack=0,,$(call library,asan) $(call library,ubsan),\
	    $(SANITIZED_SUITE) $(SANITIZED_TESTS))

sanitize-python-threads: build
	mkdir -p build/sanitize/without
	echo 'raise ImportError' > build/sanitize/without/greenlet.py
	$(call sanitized_python,thread,,build/sanitize/without:,$(call library,tsan),$(TSAN_SUITE) $(TSAN_TESTS))
comma := ,

faults: build
	$(PY) tests/faults/faults.py

fuzz: build
	FUZZ_EXAMPLES=2000 $(PY) -m pytest -q --timeout 1800 tests/fuzz

fuzz-c:
	$(PYTHON) tests/fuzz/fuzz_c.py --seconds $(FUZZ_SECONDS)

soak: build
	$(PY) tests/soak/soak.py --seconds $(SECONDS)
