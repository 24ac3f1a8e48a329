"""Real editors: each opens every kind of artifact, edits it, saves it, and what it leaves is read back and judged.

    python -m tests.editors            drives every editor that is installed and writes the table of docs/editors.md

`specimens.py` is what they open, `edits.py` what they do to it, `libraries.py`, `programs.py`, `gimp.py` and `krita.py` how each is
driven, `outcomes.py` what became of the file, `table.py` the lines of docs/editors.md. `mistakes.py` is what people do
by mistake, `paint.py` what they paint on proofs.
"""
