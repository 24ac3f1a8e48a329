"""What a member of the group may try against the service: links and folders of hers in place of those of the spool.

The sandbox of the unit is opened towards what she aims at, so that it is not the sandbox that holds.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import wait_until
from tests.system.installed import SPOOL, Installed

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

VICTIM = "/var/lib/victim"
SECRET = "a secret that nobody else may read"
PROMPT = "---\nseed: 5\n---\na yellow balloon by the sea at noon"


@pytest.fixture
def aimed_at(service: Installed) -> Iterator[Installed]:
    """The service, and a folder outside of the spool that belongs to its user alone."""
    service.box.sh(
        f"mkdir -p {VICTIM}/in; printf %s '{SECRET}' | tee {VICTIM}/secret {VICTIM}/in/cat.txt > {VICTIM}/claim.json;"
        f"chown -R tiffsd:tiffsd {VICTIM}; chmod -R go= {VICTIM}"
    )
    with service.drop_in(f"[Service]\nReadWritePaths={VICTIM}\n"):
        yield service
    service.box.sh(f"rm -rf {VICTIM}")


def hear(service: Installed, text: str, *, after: str) -> None:
    """Wait until the journal has a text since a cursor, once or often."""
    wait_until(
        lambda: [True for entry in service.journal(after=after) if text in entry["MESSAGE"]], what=f"{text!r} in the journal"
    )


@contextmanager
def moved_aside(service: Installed, folder: str, instead: str) -> Iterator[None]:
    """What alice did: a folder of the spool has another name, and something of hers has its own."""
    service.box.sh(f"cd {SPOOL}; mv {folder} {folder}-aside; {instead}", user="alice")
    try:
        yield
    finally:
        service.box.sh(f"cd {SPOOL}; rm -r {folder}; mv {folder}-aside {folder}", user="alice")


def victim(service: Installed) -> str:
    return service.box.sh(f"cd {VICTIM}; find . -type f | sort | xargs sha256sum")


@pytest.mark.parametrize("folder", ["pictures", "done", "inbox/2-diffuse", "previews", "running"])
def test_a_link_in_place_of_a_folder_leads_no_file_out_of_the_spool(aimed_at: Installed, folder: str) -> None:
    before, stem = victim(aimed_at), f"link{folder.replace('/', '')}"
    with moved_aside(aimed_at, folder, f"ln -s {VICTIM} {folder}"):
        cursor = aimed_at.cursor()
        aimed_at.drop("inbox/1-text", f"{stem}.txt", PROMPT)
        hear(aimed_at, "Not a directory", after=cursor)
        assert victim(aimed_at) == before
    aimed_at.found(f"pictures/{stem}.*.png")
    assert victim(aimed_at) == before


def test_a_folder_of_hers_in_place_of_the_daemons_own_makes_no_prompt_of_a_secret(aimed_at: Installed) -> None:
    before, cursor = victim(aimed_at), aimed_at.cursor()
    with moved_aside(aimed_at, ".work", f"mkdir -m 2777 .work; ln -s {VICTIM} .work/zzz"):
        aimed_at.drop("inbox/1-text", "hers.txt", PROMPT)
        hear(aimed_at, "somebody else's", after=cursor)
        assert victim(aimed_at) == before
    aimed_at.found("pictures/hers.*.png")
    assert victim(aimed_at) == before
    assert aimed_at.box.sh(f"grep -rla '{SECRET}' {SPOOL} || true") == ""


def test_a_sign_that_is_a_link_makes_root_write_nowhere(aimed_at: Installed) -> None:
    aimed_at.box.sh(f"ln -s /etc/made-by-root {SPOOL}/inbox/1-text/PAUSE", user="alice")
    aimed_at.box.sh("/opt/tiffsd/bin/tiffsd pause text --config /etc/tiffsd/config.yaml")
    assert aimed_at.box.run("test", "-e", "/etc/made-by-root", check=False).returncode == 1
    aimed_at.box.sh("/opt/tiffsd/bin/tiffsd resume text --config /etc/tiffsd/config.yaml")
    assert aimed_at.box.run("test", "-L", f"{SPOOL}/inbox/1-text/PAUSE", check=False).returncode == 1
