# make build    .venv, and the extension in place
# make clean    remove all that was made, .venv too

.PHONY: build clean

build: $(BUILT)

# The docstrings of the engine in Python become those of the types in C.
$(BUILT): $(DEPS) pyproject.toml setup.py python/netpoll_build.py $(wildcard python/netpoll/_cffi/*.py) python/netpoll/_deadlines.py \
          $(CORE) $(EXT) $(C_HEADERS)
	$(PY) -m pip install -q --no-build-isolation --no-deps -e .
	@touch $@

$(DEPS): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	    || { echo 'netpoll needs Python 3.10 or later (make PYTHON=python3.x)' >&2; exit 1; }
	@$(PYTHON) -c 'import os, sysconfig; open(os.path.join(sysconfig.get_path("include"), "Python.h"))' 2>/dev/null \
	    || { echo 'Python.h is missing: install the headers (Debian: python3-dev)' >&2; exit 1; }
	@command -v $(firstword $(CC)) >/dev/null \
	    || { echo 'there is no C compiler, $(CC): install one (Debian: gcc and libc6-dev)' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	    || { echo 'the venv module is missing: install it (Debian: python3-venv)' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) build dist wheelhouse python/*.egg-info python/netpoll/_core.c python/netpoll/_core*.so \
	    python/ext/docs_made.h python/netpoll/include examples/c/echo examples/c/semaphores examples/c/threads \
	    examples/cython/*.c .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
