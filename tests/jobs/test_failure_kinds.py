"""Each failure has a kind, and each kind a section that a person can read."""

import re

import pytest

from daemon import errors
from daemon.errors import Kind
from daemon.jobs.outcome import kind_of
from tests.house import REPOSITORY
from tiffsd import TiffsdError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TiffsdError("of 8 bits"), Kind.UNREADABLE),
        (errors.InputError("no prompt"), Kind.UNUSABLE),
        (errors.ModelMissing("not there"), Kind.MODEL_MISSING),
        (errors.OutOfMemory("too large"), Kind.OUT_OF_MEMORY),
        (errors.WorkerDied("killed"), Kind.WORKER_DIED),
        (errors.DeviceBroken("broken"), Kind.WORKER_DIED),
        (errors.NodeLost("gone"), Kind.MACHINE),
        (errors.ClusterLost("all gone"), Kind.MACHINE),
        (OSError("full"), Kind.MACHINE),
        (errors.TooLong("for hours"), Kind.TOO_LONG),
        (errors.Cancelled("by hand"), Kind.CANCELLED),
        (ZeroDivisionError("ours"), Kind.INTERNAL),
    ],
)
def test_an_error_has_the_kind_that_a_person_looks_up(error: Exception, kind: Kind) -> None:
    assert kind_of(error) is kind


def test_every_kind_has_a_section_and_every_section_a_kind() -> None:
    page = (REPOSITORY / "docs/troubleshooting.md").read_text(encoding="utf-8")
    sections = page.partition("## A job has failed\n")[2].partition("\n## ")[0]
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^### (.+)$", sections, re.MULTILINE)}
    assert anchors == set(Kind)
