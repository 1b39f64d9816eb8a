# make example-c          build the echo server in C (examples/c)
# make example-extension  build the extension module of examples/extension, and let it work

.PHONY: example-c example-extension

example-c:
	$(MAKE) -C examples/c
	@echo 'now: examples/c/echo 7007, then: nc 127.0.0.1 7007'

example-extension: build
	cd examples/extension && ../../$(PY) setup.py -q build --build-base ../../build/relay build_ext --build-lib ../../build/relay
	PYTHONPATH=build/relay $(PY) examples/extension/demo.py
