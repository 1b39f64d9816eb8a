# make docs   the documentation site, into build/docs/html; warnings are errors

.PHONY: docs

docs: $(VENV)/.docs
	$(PY) -m sphinx -q -W --keep-going -E -b html -d build/docs/doctrees docs build/docs/html
	@echo build/docs/html/index.html

$(VENV)/.docs: $(BUILT) docs/requirements.txt
	$(PY) -m pip install -q -r docs/requirements.txt
	@touch $@
