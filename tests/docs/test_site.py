"""The site of docs/ is built by mkdocs without a complaint and without a network, and nothing in it is asked for elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES
from tests.house import REPOSITORY

pytest.importorskip("material", reason="the site needs the extra docs")

from tests.docs.site import for_the_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=REPOSITORY, env=quiet, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_every_page_is_there(site: Path) -> None:
    assert {path.stem for path in site.glob("*.html")} == {"404", *(page.stem for page in PAGES[1:])}


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = re.compile(
        r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?(https?:|//)|<link[^>]*\shref=["']?(https?:|//)|url\(["']?https?:"""
    )
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        assert not fetched.search(path.read_text(encoding="utf-8")), path.name


def test_every_picture_of_a_page_is_taken_along(site: Path) -> None:
    for path in site.glob("*.html"):
        for source in re.findall(r'<img[^>]*\ssrc="([^"]+)"', path.read_text(encoding="utf-8")):
            assert (site / source).exists(), (path.name, source)


def test_links_out_of_the_documents_become_their_words_and_pictures_are_taken_along() -> None:
    assert for_the_site("see [the tests](../tests/README.md), [Settings](settings.md)") == "see the tests, [Settings](settings.md)"
    assert for_the_site("![a tree](../.github/pictures/edit.png)") == "![a tree](pictures/edit.png)"
    assert for_the_site("```ini smb.conf\nx\n```") == '``` { .ini title="smb.conf" }\nx\n```'
