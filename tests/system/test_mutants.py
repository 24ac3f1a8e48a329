"""With a guard of the daemon's taken out, the attacks of `test_attacks.py` do harm within the same tries: each guard is needed."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.system import attacks, stalls
from tests.system.aimed import Aimed, aim
from tests.system.changes import Change, changed
from tests.system.installed import Installed

pytestmark = [pytest.mark.system, pytest.mark.thorough, pytest.mark.slow, pytest.mark.timeout(300)]

FOLLOWS_FOLDERS = Change("walking.py", "FOLDER | os.O_NOFOLLOW | flags", "FOLDER | flags")
FOLLOWS_FILES = Change("beneath.py", "flags | os.O_NOFOLLOW | os.O_NONBLOCK", "flags | os.O_NONBLOCK")
CROSSES_MOUNTS = Change("walking.py", "if found.st_dev != device:", "if False:")
WAITS = Change("beneath.py", "flags | os.O_NOFOLLOW | os.O_NONBLOCK", "flags | os.O_NOFOLLOW")
TRUSTS_OWNERS = Change("walking.py", "if lease.keeps_owners(found.st_dev):", "if False:")
DELETES_ANYTHING = (
    Change("spool/spool.py", "if not is_job(self._fs.list(job)):", "if False:"),
    Change("spool/transitions.py", "not (whole or is_job(kinds)) or any(", "any("),
)

Attack = Callable[[Aimed], list[str]]
LINK_FOR = {name: partial(attacks.link_in_place_of_a_folder, folder=name) for name in ("pictures", "done", "failed/1-text")}
MUTANTS: dict[str, tuple[tuple[Change, ...], Attack]] = {
    "a link to a folder is followed, pictures": ((FOLLOWS_FOLDERS,), LINK_FOR["pictures"]),
    "a link to a folder is followed, done": ((FOLLOWS_FOLDERS,), LINK_FOR["done"]),
    "a link to a folder is followed, previews": ((FOLLOWS_FOLDERS,), attacks.link_in_place_of_previews_while_they_are_swept),
    "a link to a folder is followed, failed": ((FOLLOWS_FOLDERS,), LINK_FOR["failed/1-text"]),
    "a link to a folder is followed, inbox": ((FOLLOWS_FOLDERS,), attacks.link_in_place_of_an_inbox_while_it_is_read),
    "a link to a folder is followed, at random": ((FOLLOWS_FOLDERS,), attacks.acts_at_random),
    "a link to a file is followed": ((FOLLOWS_FILES,), attacks.link_in_place_of_an_embedding),
    "a mount is entered": ((CROSSES_MOUNTS,), attacks.mount_in_place_of_previews),
    "folders of the daemon's own may be anybody's": ((TRUSTS_OWNERS,), attacks.other_words_in_the_files_of_a_job),
    "what is no file is waited for": ((WAITS,), stalls.fifo_in_place_of_an_embedding),
    # More than one guard holds here, each enough alone.
    "jobs are links": ((FOLLOWS_FOLDERS, TRUSTS_OWNERS, *DELETES_ANYTHING), attacks.link_among_the_jobs),
    "files of jobs are links": ((FOLLOWS_FOLDERS, TRUSTS_OWNERS), attacks.links_in_place_of_the_files_of_a_job),
}


@pytest.fixture(scope="module")
def target(installed: Installed) -> Iterator[Aimed]:
    with aim(installed) as aimed:
        yield aimed


@pytest.mark.parametrize("mutant", MUTANTS)
def test_without_a_guard_the_attack_does_harm(target: Aimed, mutant: str) -> None:
    changes, attack = MUTANTS[mutant]
    with changed(target.box, changes):
        target.begin_anew()
        assert attack(target) != []
