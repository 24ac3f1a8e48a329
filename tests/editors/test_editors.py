"""Every editor, on every kind, state and layout: what nobody touched comes back, or the refusal says what to do."""

import pytest

from tests.editors.conftest import Outcomes
from tests.editors.driving import EDITORS
from tests.editors.edits import Edit, Editor
from tests.editors.outcomes import Verdict
from tiffsd import Layout

# A hung editor ends after four minutes, and the first test waits for those that were started before it.
pytestmark = pytest.mark.timeout(600)

every_editor = pytest.mark.parametrize("editor", EDITORS, ids=lambda editor: editor.name)

CANVAS = (Layout.MOSAIC, Layout.STRIP)
SENTENCES = {
    Layout.MOSAIC: ("write it in layout pages, which can",),
    Layout.STRIP: ("an embedding cannot be cropped or resized; go back to the original",),
    Layout.PAGES: ("save all pages with all channels, unmerged and not flattened",),
    Layout.RGBA: (
        "save it as 32-bit float, from the original",
        "save without colour conversion",
        "in layout mosaic or pages and edit that",
        "save from another one, uncompressed",
    ),
    Layout.RGB: ("save it again as 32-bit float or 16 bit",),
}


@every_editor
def test_what_was_not_touched_is_what_it_was_and_what_was_painted_is_there(editor: Editor, outcomes: Outcomes) -> None:
    assert not [str(outcome) for outcome in outcomes(editor) if outcome.verdict is Verdict.DAMAGED]


@every_editor
def test_the_canvas_layout_is_exact_in_every_editor_that_computes_in_floats(editor: Editor, outcomes: Outcomes) -> None:
    due = Verdict.EXACT if editor.floats else Verdict.STEPS
    canvas = [o for o in outcomes(editor) if o.job.layout in CANVAS and o.job.edit is not Edit.CROP]
    assert len(canvas) >= 7  # noise, partial and final of 4 and 16 channels, and an embedding
    assert not [str(outcome) for outcome in canvas if outcome.verdict is not due]


@every_editor
def test_a_crop_that_cuts_the_panels_apart_is_refused(editor: Editor, outcomes: Outcomes) -> None:
    crops = [outcome for outcome in outcomes(editor) if outcome.job.layout in CANVAS and outcome.job.edit is Edit.CROP]
    assert {outcome.verdict for outcome in crops} == {Verdict.REFUSED}


@every_editor
def test_a_refusal_says_what_to_do(editor: Editor, outcomes: Outcomes) -> None:
    refused = [outcome for outcome in outcomes(editor) if outcome.verdict is Verdict.REFUSED]
    assert refused
    assert not [str(o) for o in refused if not o.why.endswith(SENTENCES[o.job.layout])]
