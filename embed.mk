# make example-c          build the echo server in C (examples/c), and serve on PORT until Ctrl-C
# make example-c-threads  threads that wait, in C
# make example-asyncio, example-uvloop, example-trio, example-gevent, example-selectors   other loops
# make example-extension  build the extension module of examples/extension, and let it work
# make example-cython     the same of examples/cython

EXAMPLES_OF_LOOPS := example-asyncio example-trio example-gevent example-selectors

.PHONY: example-c example-c-threads example-cython example-extension example-uvloop $(EXAMPLES_OF_LOOPS)

$(EXAMPLES_OF_LOOPS): build
	$(PY) examples/on_$(@:example-%=%).py

example-uvloop: build
	$(PY) examples/on_asyncio.py --uvloop

PORT ?= 7007

example-c:
	$(MAKE) -C examples/c
	examples/c/echo $(PORT)

example-c-threads:
	$(MAKE) -C examples/c threads
	examples/c/threads

example-extension: build
	cd examples/extension && ../../$(PY) setup.py -q build --build-base ../../build/relay build_ext --build-lib ../../build/relay
	PYTHONPATH=build/relay $(PY) examples/extension/demo.py

example-cython: build
	cd examples/cython && ../../$(PY) setup.py -q build --build-base ../../build/counting build_ext --build-lib ../../build/counting
	PYTHONPATH=build/counting $(PY) examples/cython/demo.py
