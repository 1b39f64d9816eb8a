# make example-c           an echo server in C, on PORT until Ctrl-C
# make example-c-threads   threads that wait, in C
# make example-c-semaphores   a thread and a task of a loop at one semaphore, in C
# make example-asyncio     netpoll under asyncio
# make example-uvloop      netpoll under uvloop
# make example-trio        netpoll under trio
# make example-gevent      netpoll in gevent's hub
# make example-selectors   asyncio and socketserver on a netpoll selector
# make example-extension   build the extension module of examples/extension, and run its demo
# make example-cython      the same of examples/cython

EXAMPLES_OF_LOOPS := example-asyncio example-trio example-gevent example-selectors

.PHONY: example-c example-c-threads example-c-semaphores example-cython example-extension example-uvloop $(EXAMPLES_OF_LOOPS)

$(EXAMPLES_OF_LOOPS): build
	$(PY) examples/on_$(@:example-%=%).py

example-uvloop: build
	$(PY) examples/on_asyncio.py --uvloop

PORT ?= 7007

example-c:
	$(MAKE) -C examples/c
	examples/c/echo $(PORT)

example-c-threads example-c-semaphores: example-c-%:
	$(MAKE) -C examples/c $*
	examples/c/$*

example-extension: build
	cd examples/extension && ../../$(PY) setup.py -q build --build-base ../../build/relay build_ext --build-lib ../../build/relay
	PYTHONPATH=build/relay $(PY) examples/extension/demo.py

example-cython: build
	cd examples/cython && ../../$(PY) setup.py -q build --build-base ../../build/counting build_ext --build-lib ../../build/counting
	PYTHONPATH=build/counting $(PY) examples/cython/demo.py
