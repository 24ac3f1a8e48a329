"""`tiffsd help`: the documents, read where somebody works."""

import pytest
from click.testing import CliRunner

from daemon.cli import app
from daemon.errors import InputError, Kind
from tests.docs.pages import PAGES, anchors
from tests.house import REPOSITORY


def said(*words: str) -> str:
    result = CliRunner().invoke(app, ["help", *words], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("kind", Kind)
def test_what_a_job_failed_of_has_a_section_that_is_shown_alone(kind: Kind) -> None:
    text = said(str(kind))
    assert text.startswith("### ")
    assert text.count("\n### ") == 0
    assert text in (REPOSITORY / "docs/troubleshooting.md").read_text(encoding="utf-8")


def test_without_a_topic_the_pages_are_listed() -> None:
    listed = [line.split()[0] for line in said().splitlines()]
    assert listed == [page.stem for page in PAGES if page.parent.name == "docs"]


@pytest.mark.parametrize("topic", ["painting", "painting.md", "docs/painting.md", "Painting"])
def test_a_page_is_shown_as_it_is(topic: str) -> None:
    assert said(topic) == (REPOSITORY / "docs/painting.md").read_text(encoding="utf-8")


def test_each_section_of_each_page_is_found_as_links_name_it() -> None:
    for page in [page for page in PAGES if page.parent.name == "docs"]:
        for anchor in anchors(page) - {""}:
            assert said(f"docs/{page.name}#{anchor}").startswith("#")


def test_a_command_is_shown_as_its_own_help() -> None:
    assert said("retry").startswith("Usage: tiffsd retry ")
    assert said("models").endswith("There is a page of this name too: tiffsd help docs/models.md\n")


@pytest.mark.parametrize(
    ("topic", "meant"), [("refusde", "refused"), ("paintng", "painting"), ("gpu#it-does-not-fitt", "it-does-not-fit")]
)
def test_what_is_not_there_is_answered_with_what_may_be_meant(topic: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"did you mean {meant}"):
        CliRunner().invoke(app, ["help", topic], catch_exceptions=False)
