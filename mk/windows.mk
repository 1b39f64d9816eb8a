# make test-windows      everything under Wine: the C tests, the wheel of `make wheel-windows`, the suite, a demo
# make test-windows-c    the completion tests in C alone
# make install-windows   the wheel into the Windows Python under build/windows
#
# As root on Debian, what is missing is installed: Wine, mingw-w64.  docs/windows.md tells more.

WINDOWS := build/windows
WINDOWS_PYTHON := tests/windows/python.sh $(WINDOWS)
WINDOWS_CC := x86_64-w64-mingw32-gcc
WINDOWS_TESTS := $(patsubst tests/windows/%.c,$(WINDOWS)/%.exe,$(wildcard tests/windows/test_*.c))
WINDOWS_CORE := $(filter-out csrc/posix/%,$(wildcard csrc/*/*.c))

.PHONY: test-windows test-windows-c install-windows

test-windows: test-windows-c install-windows
	$(WINDOWS_PYTHON) -m netpoll
	$(WINDOWS_PYTHON) examples/demo.py --quick
	tests/windows/ctrl_c.sh $(WINDOWS)
	tests/windows/suite.sh $(WINDOWS) $(PYTEST_ARGS)

test-windows-c: $(WINDOWS_TESTS)
	@set -e; for test in $^; do echo "$$test"; tests/windows/wine.sh $(WINDOWS) $$test; done

$(WINDOWS)/%.exe: tests/windows/%.c $(WINDOWS_CORE) $(C_HEADERS) $(WINDOWS)/.ready
	$(WINDOWS_CC) $(C_STD) $(C_WARN) -D_WIN32_WINNT=0x0602 -O2 -g -DNP_DEBUG -Icsrc -o $@ $< $(WINDOWS_CORE) \
	    -static -lws2_32 -lmswsock

install-windows: wheel-windows $(WINDOWS)/.ready
	rm -rf $(WINDOWS)/python/Lib/site-packages/netpoll*
	$(PY) -m pip install -q --no-deps --no-index --platform win_amd64 --python-version 3.13 \
	    --only-binary=:all: --target $(WINDOWS)/python/Lib/site-packages --upgrade $(WINDOWS)/wheel/*.whl

$(WINDOWS)/.ready: tests/windows/setup.sh tests/windows/bcryptprimitives.c $(DEPS)
	tests/windows/setup.sh $(WINDOWS) $(PY)
	@touch $@
