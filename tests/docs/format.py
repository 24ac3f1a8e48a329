"""The page docs/format.md, which is the docstring of tiffsd/spec.py.

python -m tests.docs.format > docs/format.md
"""

import re
import sys

import tiffsd.spec

PAGE = """# The format

What a TIFFSD file is, to the byte: enough to write another reader, in any language. This page is the docstring of
`tiffsd/spec.py`, with which the program and its readers are compared; `tests/agreement/reader.py` was written from it alone.

{text}
"""


def page() -> str:
    """The whole of docs/format.md: headings of the docstring become those of the page."""
    text = re.sub(r"^(\d+\. .+)\n-+$", r"## \1", str(tiffsd.spec.__doc__), flags=re.MULTILINE)
    return PAGE.format(text=text.strip())


if __name__ == "__main__":
    sys.stdout.write(page())
