"""The engine, the FD and the run queue on plain cffi calls: what python/ext is in C."""
