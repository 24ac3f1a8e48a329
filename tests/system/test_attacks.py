"""What a member of the group may try against the service: links and folders of hers in place of those of the spool.

The sandbox is opened towards what she aims at, and the folders are laid out as 0.1.0 did, so that she may replace them: what holds
is the code alone. `test_mutants.py` shows that the same attacks do harm where it does not.
"""

from collections.abc import Iterator

import pytest

import tiffsd
from tests.conftest import wait_until
from tests.system import attacks
from tests.system.aimed import Aimed, aim
from tests.system.canaries import VICTIM
from tests.system.installed import SPOOL, Installed

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def target(installed: Installed) -> Iterator[Aimed]:
    with aim(installed) as aimed:
        aimed.begin_anew()
        yield aimed


@pytest.fixture
def aimed(target: Aimed) -> Aimed:
    target.canaries.put()
    return target


def test_a_canary_tells_who_opens_it(aimed: Aimed) -> None:
    aimed.box.sh(f"cat {VICTIM}/in/cat.txt", user="tiffsd")
    assert "cat.txt was opened" in "".join(aimed.canaries.harm())


@pytest.mark.parametrize("folder", ["pictures", "done", "inbox/2-diffuse", "previews", "running", "failed/1-text"])
def test_a_link_in_place_of_a_folder_leads_no_file_out_of_the_spool(aimed: Aimed, folder: str) -> None:
    assert attacks.link_in_place_of_a_folder(aimed, folder) == []
    stem = attacks.stem_of(folder)
    aimed.service.found(f"failed/1-text/{stem}.*/{stem}.txt" if "failed" in folder else f"pictures/{stem}.*.png")
    assert aimed.canaries.harm() == []


def test_links_in_the_jobs_of_a_folder_of_hers_make_no_prompt_of_a_secret(aimed: Aimed) -> None:
    assert attacks.links_in_place_of_the_files_of_a_job(aimed) == []
    (held,) = aimed.service.found("hold/2-diffuse/cat.*.tiff")
    assert tiffsd.inspect(held).recipe["prompt"] == "a cat"
    assert aimed.canaries.harm() == []


def test_a_job_is_never_in_a_folder_where_she_could_change_its_words(aimed: Aimed) -> None:
    assert attacks.other_words_in_the_files_of_a_job(aimed) == []


def test_a_link_among_the_jobs_leads_no_recovery_out_of_the_spool(aimed: Aimed) -> None:
    assert attacks.link_among_the_jobs(aimed) == []
    aimed.service.found("failed/1-text/refused.*/refused.t*")
    assert aimed.canaries.harm() == []


def test_a_link_that_comes_while_previews_are_swept_gets_nothing_outside_deleted(aimed: Aimed) -> None:
    assert attacks.link_in_place_of_previews_while_they_are_swept(aimed) == []


def test_a_link_in_place_of_an_embedding_is_not_opened(aimed: Aimed) -> None:
    assert attacks.link_in_place_of_an_embedding(aimed) == []


def test_a_link_that_comes_while_an_inbox_is_read_gets_nothing_outside_opened(aimed: Aimed) -> None:
    assert attacks.link_in_place_of_an_inbox_while_it_is_read(aimed) == []


def test_what_is_mounted_on_a_folder_is_not_swept(aimed: Aimed) -> None:
    assert attacks.mount_in_place_of_previews(aimed) == []


def test_a_sign_that_is_a_link_makes_root_write_nowhere(aimed: Aimed) -> None:
    assert attacks.sign_that_is_a_link(aimed) == []
    wait_until(lambda: not (aimed.spool / "inbox/1-text/PAUSE").is_symlink(), what="the sign is gone")
    assert aimed.box.run("test", "-e", f"{SPOOL}/inbox/1-text/PAUSE", check=False).returncode == 1
