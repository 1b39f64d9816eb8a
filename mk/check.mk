# make check-python   ruff and mypy
# make check-c        clang-format, and the warnings of every C compiler at hand
# make budget         lines of code a folder against the budgets in docs/design.md
# make format         let ruff and clang-format rewrite the sources

.PHONY: check-python check-c budget format

check-python: build
	$(PY) -m ruff check $(PY_ALL)
	$(PY) -m ruff format --check $(PY_ALL)
	$(PY) -m mypy
	$(PY) -m mypy python/netpoll/socket.py python/netpoll/ssl.py # which have stubs

# -O2, since some warnings come out of the optimizer's analysis only.
check-c: build
	$(VENV)/bin/clang-format --dry-run -Werror $(C_ALL)
	@set -e; include=$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("include"))'); \
	for cc in $(CC) $$(command -v clang || true); do \
	    for file in $(CORE) $(EXT); do \
	        echo "$$cc $$file"; \
	        $$cc $(C_STD) $(C_WARN) -O2 -fPIC -Icsrc -Ipython/ext -isystem $$include -DPy_LIMITED_API=0x030a0000 \
	            $(CFLAGS) -c -o /dev/null $$file; \
	    done; \
	done

budget:
	@$(PYTHON) tests/budget.py

format: build
	$(PY) -m ruff format $(PY_ALL)
	$(VENV)/bin/clang-format -i $(C_ALL)
