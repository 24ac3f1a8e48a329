"""The jobs that killed daemons left in `.work/` of the frozen spool: one in each state that a kill can leave, named after it."""

from pathlib import Path

from tests.spool.frozen.mortal import End
from tests.spool.frozen.people import WORDS, denoised, halve, photo, prompt, proof, through
from tests.spool.frozen.workshop import BOOT, EARLIER_BOOT, Workshop

BEFORE_IT_IS_OPENED = End("mkdir", ".work/*/in")
BEFORE_IT_IS_CLAIMED = End("rename", ".work/*/claim.json")
BEFORE_THE_FIRST_FILE_IS_TAKEN = End("rename", ".work/*/in/*")
BEFORE_THE_SECOND_FILE_IS_TAKEN = End("rename", ".work/*/in/*", time=2)
BEFORE_IT_IS_COUNTED = End("create", ".work/*/.attempt.json.part")
WHILE_IT_IS_READ = End("create", ".work/*/.entrusted.json.part")
WHILE_IT_IS_COMPUTED = End("unlink", ".work/*/entrusted.json")
BEFORE_THE_SECOND_OUTPUT_IS_WHOLE = End("rename_noreplace", ".work/*/out/*", time=2)
BEFORE_IT_IS_COMMITTED = End("create", ".work/*/.commit.json.part")
WHILE_IT_IS_COMMITTED = End("rename", ".work/*/commit.json")
BEFORE_A_PICTURE_IS_PUBLISHED = End("rename_noreplace", "pictures/*")
BEFORE_LATENTS_ARE_PUBLISHED = End("rename_noreplace", "inbox/2-diffuse/*")
BEFORE_THE_FIRST_FILE_IS_ARCHIVED = End("rename_noreplace", "done/*")
BEFORE_THE_SECOND_FILE_IS_ARCHIVED = End("rename_noreplace", "done/*", time=2)
BEFORE_IT_IS_CLEARED_AWAY = End("rename", ".trash/*")
WHILE_IT_IS_DELETED = End("unlink", ".trash/*")
WHILE_IT_IS_FAILED = End("rename", ".work/*/fail.json")
BEFORE_IT_IS_TOLD = End("create", ".work/*/in/.error.txt.part")
BEFORE_IT_IS_DELIVERED = End("rename_noreplace", "failed/*")
BEFORE_A_PROOF_IS_GIVEN_BACK = End("rename_noreplace", "hold/3-decode/*")
BEFORE_THE_SECOND_FILE_IS_GIVEN_BACK = End("rename_noreplace", "inbox/1-text/*", time=2)


def leave_jobs(workshop: Workshop) -> None:
    """Run jobs under daemons that are killed."""
    _while_claiming(workshop)
    _before_the_commit(workshop)
    _after_the_commit(workshop)
    while_failing(workshop)
    _while_giving_back(workshop)
    _damaged(workshop)
    _die(workshop, "deleted", WHILE_IT_IS_DELETED)  # the last one: a recovery empties the trash


def _die(workshop: Workshop, stem: str, end: End, *, boot: str = BOOT, words: str = WORDS, **settings: object) -> None:
    """A prompt whose daemon is killed."""
    workshop.drop(f"inbox/1-text/{stem}.txt", prompt(words, **settings))
    workshop.die("text", stem, end, boot=boot)


def _while_claiming(workshop: Workshop) -> None:
    _die(workshop, "unopened", BEFORE_IT_IS_OPENED)
    _die(workshop, "unwritten", BEFORE_IT_IS_CLAIMED)
    workshop.drop("inbox/1-text/untaken.yaml", "seed: 11\n")
    _die(workshop, "untaken", BEFORE_THE_FIRST_FILE_IS_TAKEN)
    halve(workshop, "half-taken")
    workshop.die("diffuse", "half-taken", BEFORE_THE_SECOND_FILE_IS_TAKEN)


def _before_the_commit(workshop: Workshop) -> None:
    _move(denoised(workshop, "claimed"), workshop, "invert")
    workshop.drop("inbox/invert/claimed.txt", prompt(guidance_scale=1))
    workshop.die("invert", "claimed", BEFORE_IT_IS_COUNTED)
    photo(workshop.root / "inbox/encode/begun.png")
    workshop.drop("inbox/encode/begun.txt", prompt())
    workshop.die("encode", "begun", WHILE_IT_IS_READ)
    _die(workshop, "begun-twice", WHILE_IT_IS_READ)
    workshop.die_again("begun-twice", WHILE_IT_IS_READ)
    _die(workshop, "entrusted", WHILE_IT_IS_COMPUTED)
    _die(workshop, "entrusted-before", WHILE_IT_IS_COMPUTED, boot=EARLIER_BOOT)
    _die(workshop, "entrusted-at-last", WHILE_IT_IS_READ)
    workshop.die_again("entrusted-at-last", WHILE_IT_IS_COMPUTED)
    _die(workshop, "half-written", BEFORE_THE_SECOND_OUTPUT_IS_WHOLE)
    _die(workshop, "written", BEFORE_IT_IS_COMMITTED)
    through(workshop, "nearly-committed", "text")
    workshop.die("diffuse", "nearly-committed", WHILE_IT_IS_COMMITTED)


def _after_the_commit(workshop: Workshop) -> None:
    _move(denoised(workshop, "committed"), workshop, "3-decode")
    workshop.die("decode", "committed", BEFORE_A_PICTURE_IS_PUBLISHED)
    _die(workshop, "half-published", BEFORE_LATENTS_ARE_PUBLISHED, save_embedding="saved", count=2)
    _die(workshop, "published", BEFORE_THE_FIRST_FILE_IS_ARCHIVED)
    workshop.drop("inbox/1-text/half-archived.yaml", "seed: 12\n")
    workshop.drop("inbox/1-text/half-archived_neg.txt", WORDS)
    _die(workshop, "half-archived", BEFORE_THE_SECOND_FILE_IS_ARCHIVED)
    _die(workshop, "archived", BEFORE_IT_IS_CLEARED_AWAY)


def while_failing(workshop: Workshop) -> None:
    """Jobs that fail before a worker is asked for anything."""
    _die(workshop, "nearly-failed", WHILE_IT_IS_FAILED, words="")
    _die(workshop, "failed", BEFORE_IT_IS_TOLD, words="")
    _die(workshop, "told", BEFORE_IT_IS_DELIVERED, words="")
    _die(workshop, "delivered", BEFORE_IT_IS_CLEARED_AWAY, words="")


def _while_giving_back(workshop: Workshop) -> None:
    for stem in ("half-returned", "returned-beside"):
        workshop.drop(f"inbox/1-text/{stem}.txt", prompt())
        workshop.drop(f"inbox/1-text/{stem}.yaml", "seed: 13\n")
    namesake = ("inbox/1-text/returned-beside.txt", prompt(seed=14))
    workshop.die_stopping("text", "half-returned", BEFORE_THE_SECOND_FILE_IS_GIVEN_BACK)
    workshop.die_stopping("text", "returned-beside", BEFORE_THE_SECOND_FILE_IS_GIVEN_BACK, meanwhile=[namesake])
    latents = denoised(workshop, "returned-to-hold")
    beside = proof(workshop, latents)
    _move(latents, workshop, "3-decode")
    workshop.die_stopping("decode", "returned-to-hold", BEFORE_A_PROOF_IS_GIVEN_BACK, proof=beside)


def _damaged(workshop: Workshop) -> None:
    """Records that are not what was written, as a bad disk gives them back."""
    for stem, end, record in (
        ("damaged-claim", BEFORE_IT_IS_COUNTED, "claim.json"),
        ("damaged-count", WHILE_IT_IS_READ, "attempt.json"),
        ("damaged-commit", BEFORE_LATENTS_ARE_PUBLISHED, "commit.json"),
        ("damaged-failure", BEFORE_IT_IS_TOLD, "fail.json"),
    ):
        _die(workshop, stem, end, words="" if record == "fail.json" else WORDS)
        (path,) = (job / record for job in (workshop.root / ".work").iterdir() if list(job.glob(f"in/{stem}.txt")))
        path.write_text(path.read_text().replace('"sha256": "', '"sha256": "0', 1))


def _move(path: Path, workshop: Workshop, inbox: str) -> None:
    path.rename(workshop.root / "inbox" / inbox / path.name)
