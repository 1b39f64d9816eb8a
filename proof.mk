# make explore    every interleaving of small scenarios of the real core, and planted bugs caught
# make sanitize   the C tests under thread, address, leak and undefined sanitizers
# make sanitize-python  the Python suite, without greenlets, under address and undefined sanitizers
# make faults     system calls and allocations made to fail at the n-th call, for every n
# make fuzz       random sequences of calls against a reference of the rules (hypothesis)
# make fuzz-c     the same on the C API, with libFuzzer for FUZZ_SECONDS (needs clang); planted bugs
# make soak       descriptors, deadlines, forks and signals for SECONDS; everything accounted for
# make prove      all of it, briefly
#
# docs/proof.md has what each of them checks, and how much.

SECONDS ?= 60
FUZZ_SECONDS ?= 60
SANITIZED := -std=c11 -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=undefined -Icsrc

.PHONY: explore sanitize sanitize-python faults fuzz fuzz-c soak prove

prove: EXPLORE_ARGS := --short
prove: explore faults sanitize
	$(MAKE) soak SECONDS=20

explore:
	$(PYTHON) tests/explore/explore.py $(EXPLORE_ARGS)

sanitize:
	@mkdir -p build/sanitize
	@set -e; for kind in thread address,undefined; do for test in $(C_TESTS); do \
	    echo "$$kind: $$test"; \
	    $(CC) $(SANITIZED) -fsanitize=$$kind -o build/sanitize/test $$test $(CORE) -pthread; \
	    RACE_MS=3000 ./build/sanitize/test; \
	done; done

# greenlet copies slices of the C stack, which AddressSanitizer takes for an overflow, so its tests are
# left out; leaks are looked for in the C tests, as the interpreter leaves memory behind on purpose.
ASAN_SUITE := tests/test_[a-f]*.py tests/test_r[e]*.py tests/test_s*.py tests/test_t*.py tests/test_wake.py
sanitize-python: build
	rm -rf build/sanitize/py build/sanitize/lib
	mkdir -p build/sanitize/without
	echo 'raise ImportError' > build/sanitize/without/greenlet.py
	CFLAGS="$(SANITIZED) -fsanitize=address,undefined" LDFLAGS="-fsanitize=address,undefined" \
	    $(PY) setup.py -q build --build-base build/sanitize/py --build-lib build/sanitize/lib
	PYTHONPATH=build/sanitize/without:build/sanitize/lib PYTHONMALLOC=malloc \
	    ASAN_OPTIONS=detect_leaks=0:log_path=build/sanitize/report \
	    LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	    $(PY) -m pytest -q -p no:cacheprovider $(ASAN_SUITE)

faults:
	$(PYTHON) tests/faults/faults.py

fuzz: build
	FUZZ_EXAMPLES=2000 $(PY) -m pytest -q --timeout 1800 tests/fuzz

fuzz-c:
	$(PYTHON) tests/fuzz/fuzz_c.py --seconds $(FUZZ_SECONDS)

soak: build
	$(PY) tests/soak/soak.py --seconds $(SECONDS)
