"""What the editors leave, driven once per session, two at a time, while the first tests already look at the first results."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.editors.driving import EDITORS, driven, written
from tests.editors.edits import Editor
from tests.editors.outcomes import Outcome

Outcomes = Callable[[Editor], list[Outcome]]


def need(editor: Editor) -> None:
    """Skip where the editor is not installed; fail where it should be: the quick ones in CI, all of them in make test-editors."""
    if not editor.missing:
        return
    reason = f"{editor.name} lacks {', '.join(editor.missing)} (apt-get install {' '.join(editor.packages)})"
    if os.environ.get("TIFFSD_EDITORS") == "all" or (editor.quick and os.environ.get("TIFFSD_CI") == "1"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    folder = tmp_path_factory.mktemp("editors")
    sources = written(folder)
    with ThreadPoolExecutor(2) as pool:
        running = {e.name: pool.submit(driven, e, sources, folder / e.name) for e in EDITORS if not e.missing}

        def of(editor: Editor) -> list[Outcome]:
            need(editor)
            return running[editor.name].result()

        yield of
        pool.shutdown(cancel_futures=True)
