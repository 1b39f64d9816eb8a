# make bench      all rivals in one run, interleaved; writes docs/benchmarks.md.  BENCH_ARGS: groups or tables,
#                 --quick, --rounds N, --only ROWS; `make bench BENCH_ARGS=--help`
# make profile    where the time goes of what misses a bound, by perf and strace (Debian: linux-perf, strace)

BENCH_ARGS ?=

.PHONY: bench profile

bench: $(VENV)/.bench
	$(PY) -m benchmarks $(BENCH_ARGS)

profile: build
	$(PY) -m benchmarks.profile

$(VENV)/.bench: $(BUILT) benchmarks/requirements.txt
	$(PY) -m pip install -q -r benchmarks/requirements.txt
	@touch $@
