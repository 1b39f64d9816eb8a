# make explore    every interleaving of small scenarios of the real core, and planted bugs caught
# make sanitize   C tests and the Python suite under thread, address, leak and undefined sanitizers
# make faults     system calls and allocations made to fail at the n-th call, for every n
# make fuzz       random calls against a reference (hypothesis), random bytes against the C API
# make soak       descriptors, deadlines, forks and signals for SECONDS; everything accounted for

SECONDS ?= 60

.PHONY: explore sanitize faults fuzz soak

explore: ; @$(PYTHON) tests/explore/explore.py $(EXPLORE_ARGS)
