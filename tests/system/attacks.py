"""The attacks of a member of the group, one function each: it plays one to its end, puts all back, and returns what harm was done.

All wait for what the daemon does or says, and none for a time: with a guard taken out the same tries do harm.
"""

import tiffsd
from tests.conftest import wait_until
from tests.system.acts import NAMES
from tests.system.aimed import Aimed
from tests.system.canaries import VICTIM
from tests.system.installed import SPOOL

PROMPT = "---\nseed: 5\n---\na yellow balloon by the sea at noon"
HELD = "---\nhold: diffuse\nseed: 5\n---\na yellow balloon by the sea at noon"
NUMBERED = "---\nseed: {}\n---\na red house in a meadow at sunset"
TRIES = 3000
SWEEPS = 5
ACTS, ACTS_SECONDS, JOBS = 500, 10, 5
NOT_A_FOLDER = "Not a directory"
SOMEBODY_ELSES = "somebody else's"
# The log of a job that cannot end, whichever guard stops it.
STUCK = "a job is stuck in .work/"
# What the log says of a job that comes to a link in place of a folder; one that the job before has left may come there first.
UNPUBLISHED = ("finished, but not yet published", STUCK)
SAID = {
    "running": ("system error; file returned to its inbox",),
    "inbox/2-diffuse": UNPUBLISHED,
    "pictures": UNPUBLISHED,
    "done": UNPUBLISHED,
    "previews": ("no preview of",),
    "failed/1-text": (STUCK,),
}


def link_in_place_of_a_folder(aimed: Aimed, folder: str) -> list[str]:
    """She moves a folder of the spool aside, and puts a link in its place, while a job is to be published, archived, failed."""
    stem = stem_of(folder)
    with aimed.replaced(folder, f"ln -s {VICTIM}/files {folder}"):
        cursor = aimed.service.cursor()
        aimed.service.drop("inbox/1-text", f"{stem}.txt", PROMPT.replace("seed: 5", "seed: x") if "failed" in folder else PROMPT)
        aimed.hear(*SAID[folder], after=cursor)
    return aimed.canaries.harm()


def stem_of(folder: str) -> str:
    return f"link-{folder.replace('/', '-')}"


def links_in_place_of_the_files_of_a_job(aimed: Aimed) -> list[str]:
    """Her `.work`, in which the files of each job become a link to a folder of the daemon's user, again and again."""
    cursor = aimed.service.cursor()
    with aimed.replaced(".work", "mkdir -m 2777 .work"):
        aimed.alice("put_links_into_jobs", SPOOL, f"{VICTIM}/in", TRIES)
        aimed.hear(SOMEBODY_ELSES, NOT_A_FOLDER, after=cursor)
    return aimed.canaries.harm()


def other_words_in_the_files_of_a_job(aimed: Aimed) -> list[str]:
    """Her `.work`, in which the words of a job that is claimed become hers."""
    cursor = aimed.service.cursor()
    aimed.service.drop("inbox/1-text", "PAUSE", "")
    aimed.service.drop("inbox/1-text", "innocent.txt", HELD)
    with aimed.replaced(".work", "mkdir -m 2777 .work"):
        aimed.box.sh(f"rm {SPOOL}/inbox/1-text/PAUSE", user="alice")
        aimed.alice("reword_jobs", SPOOL, HELD.replace("yellow", "purple"), TRIES)
        wait_until(
            lambda: aimed.said(SOMEBODY_ELSES, after=cursor) or list(aimed.spool.glob("hold/2-diffuse/innocent.*")),
            what="the job, or a complaint",
        )
    (held,) = aimed.service.found("hold/2-diffuse/innocent.*.tiff")
    words = str(tiffsd.inspect(held).recipe["prompt"])
    return [*aimed.canaries.harm(), *[f"the words of a job became: {words}"] * ("yellow" not in words)]


def link_among_the_jobs(aimed: Aimed) -> list[str]:
    """Her `.work` with a link in it, and a refusal that cannot be delivered, so that the recovery looks at all jobs."""
    cursor = aimed.service.cursor()
    with (
        aimed.replaced("failed/1-text", "touch failed/1-text"),
        aimed.replaced(".work", f"mkdir -m 2777 .work; ln -s {VICTIM}/files .work/zzz"),
    ):
        aimed.box.sh(f"ln -s nowhere {SPOOL}/inbox/1-text/refused.txt", user="alice")
        aimed.hear(STUCK, after=cursor)
        # The recovery goes through the jobs one by one: that of an earlier name complains before it comes to the link.
        aimed.alice("reword_jobs", SPOOL, HELD, TRIES)
    return aimed.canaries.harm()


def link_in_place_of_previews_while_they_are_swept(aimed: Aimed) -> list[str]:
    """She exchanges `previews` with a link, again and again, while the daemon sweeps there what is over its time."""
    cursor = aimed.service.cursor()

    def swept() -> bool:
        done = aimed.alice("exchange_with_a_link", f"{SPOOL}/previews", f"{VICTIM}/files", TRIES // 2)
        assert done == TRIES // 2, "the system did not let her"
        return aimed.said("past their limit", after=cursor) >= SWEEPS or bool(aimed.canaries.changes())

    wait_until(swept, what="so many sweeps that could delete something")
    return aimed.canaries.harm()


def link_in_place_of_an_embedding(aimed: Aimed) -> list[str]:
    """A saved embedding that is a link to a file of the daemon's user, and a prompt that names it."""
    aimed.box.sh(f"ln -s {VICTIM}/files/secret {SPOOL}/embeddings/linked.tiff", user="alice")
    aimed.service.drop("inbox/1-text", "names.txt", "---\nembedding: linked\n---\na red house")
    aimed.service.found("failed/1-text/names.*/names.txt")
    return aimed.canaries.harm()


def link_in_place_of_an_inbox_while_it_is_read(aimed: Aimed) -> list[str]:
    """She exchanges an inbox with a link to a folder in which the same names lie, again and again, while their heads are read."""
    aimed.service.drop("inbox/encode", "PAUSE", "")
    aimed.alice("exchange_with_a_link", f"{SPOOL}/inbox/encode", f"{VICTIM}/files", TRIES)
    return aimed.canaries.harm()


def mount_in_place_of_previews(aimed: Aimed) -> list[str]:
    """Another disk of the daemon's user on `previews`, from before it was a folder of the spool, while the daemon sweeps."""
    place, cursor = aimed.spool / "previews", aimed.service.cursor()
    aimed.box.sh(f"mount -t tmpfs -o mode=2770,uid=tiffsd,gid=tiffsd tmpfs {SPOOL}/previews")
    try:
        for name in NAMES:
            (place / name).write_text("the only copy")
        wait_until(
            lambda: aimed.said("cannot be looked for", after=cursor) or len(list(place.iterdir())) < len(NAMES),
            what="a complaint of the sweep, or harm",
        )
        return sorted({f"{name} was deleted" for name in NAMES} - {f"{path.name} was deleted" for path in place.iterdir()})
    finally:
        aimed.box.sh(f"umount --lazy {SPOOL}/previews")


def acts_at_random(aimed: Aimed, *, numbers: range = range(JOBS)) -> list[str]:
    """She renames, links and exchanges at random what she reaches, while jobs of hers and of others are to run."""
    for number in numbers:
        for stem in ("hers", "innocent"):
            aimed.service.drop("inbox/1-text", f"{stem}{number}.txt", NUMBERED.format(number))
    done = aimed.alice("meddle", SPOOL, VICTIM, numbers.start, ACTS, ACTS_SECONDS, module="random_acts")
    assert sum(done.values()) == ACTS, "the system did not let her"
    return aimed.canaries.harm()


def sign_that_is_a_link(aimed: Aimed) -> list[str]:
    """A sign that is a link to a file that is not there, and an administrator who pauses the stage and lets it go on."""
    made = aimed.box.path("/etc/made-by-root")
    aimed.box.sh(f"ln -s /etc/made-by-root {SPOOL}/inbox/1-text/PAUSE", user="alice")
    try:
        aimed.box.sh("/opt/tiffsd/bin/tiffsd pause text --config /etc/tiffsd/config.yaml")
        return ["root made a file"] * made.exists()
    finally:
        aimed.box.sh("/opt/tiffsd/bin/tiffsd resume text --config /etc/tiffsd/config.yaml")
        made.unlink(missing_ok=True)
