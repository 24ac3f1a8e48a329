"""What mkdocs is to do otherwise with the pages of docs/, which are also read as they lie in the repository; a hook of mkdocs.yml.

A link that leads out of docs/ becomes its words, but for one to a picture, which is taken along; and the name behind the language
of a block of code becomes its title.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parents[2]
PICTURES = ".github/pictures"
OF_PICTURES = re.compile(rf"\]\(\.\./{re.escape(PICTURES)}/")
OUTSIDE = re.compile(r"(?<!!)\[([^\[\]]+)\]\(\.\./[^)]+\)")
NAMED_BLOCK = re.compile(r"^```(\w+) ([\w.-]+)$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the pictures of the README along."""
    for path in sorted((REPOSITORY / PICTURES).iterdir()):
        files.append(File.generated(config, f"pictures/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs names them
    """A page as it is to be rendered."""
    return for_the_site(markdown)


def for_the_site(markdown: str) -> str:
    """The text of a page with its links and blocks as the site takes them."""
    found = OF_PICTURES.sub("](pictures/", markdown)
    return NAMED_BLOCK.sub(r'``` { .\1 title="\2" }', OUTSIDE.sub(r"\1", found))
