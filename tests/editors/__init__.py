"""Real editors: each opens every kind of artifact, edits it, saves it, and what it leaves is read back and judged.

    python -m tests.editors            drives every editor that is installed and writes the table in the README anew

`specimens.py` is what they open, `edits.py` what they do to it, `libraries.py`, `programs.py`, `gimp.py` and `krita.py` how each is
driven, `outcomes.py` what became of the file, `table.py` the lines of the README.
"""
