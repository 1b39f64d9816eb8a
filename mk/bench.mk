# make bench     every rival in one run, interleaved; writes docs/benchmarks.md.  BENCH_ARGS=--help: choose
# make bench-gunicorn   our worker and gevent's, alone and beside a thread that computes; BENCH_ARGS too
# make profile   where the time goes of what misses a bound, by perf and strace (Debian: linux-perf, strace)

BENCH_ARGS ?=

.PHONY: bench bench-gunicorn profile

bench: $(VENV)/.bench
	$(PY) -m benchmarks $(BENCH_ARGS)

bench-gunicorn: build
	$(PY) benchmarks/gunicorn_beside.py $(BENCH_ARGS)

profile: build
	$(PY) -m benchmarks.profile

$(VENV)/.bench: $(BUILT) benchmarks/requirements.txt
	$(PY) -m pip install -q -r benchmarks/requirements.txt
	@touch $@
