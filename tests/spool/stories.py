"""What is dropped, what the jobs make of it, and the ways in which one life of a daemon can go: the same on any disk."""

import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from daemon.beneath import FolderMissing
from daemon.errors import NotThere
from daemon.inbox.grouping import Drop, Member, group_into_drops
from daemon.names import base_of, is_proof, latents_base
from daemon.spool.filesystem import Filesystem
from daemon.spool.spool import Claim, Publication, Spool
from daemon.stages import APPLY_ENDINGS, PROOF_ENDINGS, STAGES
from tests.spool.disk import NOON, ROOT, Disk

FOLDERS = {"text": "1-text", "diffuse": "2-diffuse", "decode": "3-decode", "encode": "encode"}
TODAY = str(NOON.astimezone().date())


@runtime_checkable
class Watched(Protocol):
    """A disk that is told the attempt that a job is in, for who cuts its power."""

    begun: int


@dataclass(frozen=True)
class Task:
    """One job: the files dropped into a stage's inbox, those `held` in its hold folder, and what comes of them: each output's
    content, folder and name."""

    stage: str
    drops: dict[str, bytes]
    outputs: tuple[tuple[bytes, str, str], ...] = ()
    held: frozenset[str] = frozenset()

    @property
    def publications(self) -> list[Publication]:
        return [Publication(f"output{n}", folder, name) for n, (_, folder, name) in enumerate(self.outputs)]

    @property
    def results(self) -> list[bytes]:
        return [content for content, _, _ in self.outputs]

    @property
    def applies(self) -> bool:
        """Whether its latents stay on hold, and only the paint on their proof is taken."""
        return any(name.endswith(APPLY_ENDINGS) for name in self.held)

    def place_of(self, name: str) -> str:
        """The path at which a person drops a file."""
        return f"{'hold' if name in self.held else 'inbox'}/{FOLDERS[self.stage]}/{name}"


@dataclass(frozen=True)
class Story:
    """The tasks, those dropped at first, the files of others, and the ways each life may go; in the `last` way all ends."""

    tasks: tuple[Task, ...]
    ways: tuple[str, ...] = ("finish",)
    last: str = "finish"
    dropped: int = 1
    others: dict[str, bytes] = field(default_factory=dict)
    max_attempts: int = 3
    entrusts: bool = True

    def world(self) -> Disk:
        """A disk with the spool's folders and the first drops, all durable."""
        disk = Disk()
        Spool(ROOT, FOLDERS, fs=disk).create()
        for task in self.tasks[: self.dropped]:
            for name, content in task.drops.items():
                disk.put(task.place_of(name), content)
        for path, content in self.others.items():
            disk.put(path, content)
        return Disk(disk.contents)

    def task_of(self, content: bytes) -> Task:
        for task in self.tasks:
            if content.startswith(next(iter(task.drops.values()))):
                return task
        raise AssertionError(f"a job reads {content!r}, which nobody wrote")


def output(content: str, folder: str, name: str) -> tuple[bytes, str, str]:
    return (f"output {content}".encode() * 20, folder, name)


PICTURE = output("picture", "pictures", "cat.00000001.tiff")
LATENTS = output("latents", "inbox/3-decode", "cat.00000000.tiff")
KEPT = output("kept", ".keep", "cat.00000000.tiff")
SAVED = output("embedding", "embeddings", "cat.tiff")
HELD = output("held", "hold/3-decode", "cat.00000002.tiff")
APPLIED = output("applied", "hold/2-diffuse", "cat.00000004.tiff")
ESTIMATE = output("estimate", ".keep/proofs", "00000004.estimate.tiff")

SINGLE = {"cat.tiff": b"input latents"}
PAIR = {"cat_latent.tiff": b"input latents", "cat_prompt.tiff": b"input prompt"}
TRIPLE = {**PAIR, "cat.yaml": b"input settings"}
PAINTED = {"cat.3f9a1c2e.tiff": b"input latents", "cat.3f9a1c2e.proof.png": b"input paint"}
SIGNED = {**PAINTED, "cat.3f9a1c2e.apply": b"input sign"}
APPLY = Task("diffuse", SIGNED, (ESTIMATE, KEPT, APPLIED), held=frozenset(SIGNED))
ALONG = Task("diffuse", PAINTED, (KEPT, PICTURE), held=frozenset({"cat.3f9a1c2e.proof.png"}))
DECODE = Task("decode", {LATENTS[2]: LATENTS[0]}, (PICTURE,))
DECODE_HELD = Task("decode", {HELD[2]: HELD[0]}, (PICTURE,))
AGAIN = Task("diffuse", {"cat.tiff": b"another drop"}, (output("of the other", "pictures", "cat.00000001.tiff"),))
DOG = Task("text", {"dog.txt": b"prompt of a dog"}, (output("dog", "hold/2-diffuse", "dog.00000003.tiff"),))

STORIES = {
    "one output": Story((Task("diffuse", SINGLE, (PICTURE,)),)),
    "two outputs": Story((Task("diffuse", SINGLE, (KEPT, PICTURE)),)),
    "three outputs": Story((Task("diffuse", SINGLE, (KEPT, SAVED, PICTURE)),)),
    "no output": Story((Task("diffuse", SINGLE),)),
    "pair": Story((Task("diffuse", PAIR, (PICTURE,)),)),
    "pair and settings": Story((Task("diffuse", TRIPLE, (KEPT, PICTURE)),)),
    "two stages": Story((Task("diffuse", SINGLE, (LATENTS,)), DECODE)),
    "two jobs": Story((Task("diffuse", SINGLE, (PICTURE,)), DOG), dropped=2),
    "hold": Story((Task("diffuse", SINGLE, (KEPT, HELD)), DECODE_HELD), ways=("finish", "release"), last="release"),
    "failing": Story((Task("diffuse", TRIPLE, (PICTURE,)),), ways=("fail",), last="fail"),
    "failing, named like a report": Story((Task("text", {"error.txt": b"a prompt"}),), ways=("fail",), last="fail"),
    "given back": Story((Task("diffuse", TRIPLE, (PICTURE,)),), ways=("finish", "give back")),
    "failed and retried": Story((Task("diffuse", PAIR, (PICTURE,)),), ways=("fail", "retry"), last="retry"),
    "out of attempts": Story((Task("diffuse", PAIR, (PICTURE,)),), max_attempts=1, entrusts=False),
    "applied": Story((APPLY,)),
    "applied, given back": Story((APPLY,), ways=("finish", "give back")),
    "not to be applied": Story((APPLY,), ways=("fail",), last="fail"),
    "applied when it is retried": Story((APPLY,), ways=("fail", "retry"), last="retry"),
    "a proof goes along": Story((ALONG,), ways=("finish", "give back")),
    "every name taken": Story(
        (Task("diffuse", PAIR, (SAVED, PICTURE)),),
        ways=("finish", "fail", "give back"),
        others={
            "pictures/cat.00000001.tiff": b"others' picture",
            "embeddings/cat.tiff": b"others' embedding",
            f"done/{TODAY}/cat_prompt.tiff": b"others' prompt",
            "failed/2-diffuse/cat.a0000001/cat_prompt.tiff": b"others' failure",
        },
    ),
}


def drops_in(fs: Filesystem, inbox: Path, stage: str) -> Iterator[Drop]:
    """What lies in an inbox, by the inbox's own rules for what belongs together and what is a file that the stage takes."""
    groups, _alone = group_into_drops(STAGES[stage], sorted(fs.list(inbox)))
    for found in groups:
        if not found.missing and found.principal.endswith(STAGES[stage].extensions):
            looks = [(role, fs.lstat(inbox / name), inbox / name) for role, name in found.roles.items()]
            if all(stat.S_ISREG(st.st_mode) for _, st, _ in looks):
                yield Drop(tuple(Member(role, path, (1, st.st_ino, st.st_size, 0, 0)) for role, st, path in looks), found.stem)


def live(story: Story, fs: Filesystem, root: Path = ROOT, *, way: str, begun: int = 0) -> None:
    """One life of a daemon: recover, run again what is to be run, and work off the inboxes until nothing comes any more.

    `begun` is the attempt that a power cut interrupted: its job must remember it.
    """
    go_on(story, Spool(root, FOLDERS, fs=fs, max_attempts=story.max_attempts), fs, way=way, begun=begun)


def go_on(story: Story, spool: Spool, fs: Filesystem, *, way: str, begun: int = 0) -> None:
    """What `live` does, with a spool that may have met errors before."""
    claims = spool.recover().claims
    assert not begun or story.max_attempts == 1 or begun in [claim.attempts for claim in claims], "an attempt was forgotten"
    if way == "retry":
        _retry_all(spool, fs)
    if way == "release":
        _release_all(spool, fs)
    for claim in claims:
        run(story, spool, fs, claim, way=way)
    while claims := [*_applied(story, spool, fs), *_claims(story, spool, fs)]:
        for claim in claims:
            run(story, spool, fs, claim, way=way)
        if way == "give back":
            return


def _claims(story: Story, spool: Spool, fs: Filesystem) -> Iterator[Claim]:
    for stage in FOLDERS:
        for drop in list(drops_in(fs, spool.inbox(stage), stage)):
            claim = spool.claim(stage, _with_proof(story, spool, fs, drop, stage))
            if claim is not None:
                yield claim


def _applied(story: Story, spool: Spool, fs: Filesystem) -> Iterator[Claim]:
    """What `daemon/service/proofs.py` claims of what is on hold."""
    for stage in FOLDERS if any(task.held for task in story.tasks) else ():
        drops: list[Drop] = []
        with suppress(FolderMissing):  # a person has deleted it
            drops += drops_in(fs, spool.hold(stage), stage)
        for drop in drops:
            beside = {member.role for member in drop.members}
            wanted = not beside.isdisjoint(APPLY_ENDINGS) and not beside.isdisjoint(PROOF_ENDINGS)
            claim = spool.claim(stage, drop, principal_last=True) if wanted else None
            if claim is not None:
                yield claim


def _with_proof(story: Story, spool: Spool, fs: Filesystem, drop: Drop, stage: str) -> Drop:
    """A drop with the proof of it that was left on hold, as `daemon/service/proofs.py` finds it."""
    alone = any(task.held for task in story.tasks) and not any(is_proof(member.path.name) for member in drop.members)
    here, latents = spool.hold(stage), base_of(drop.principal.path.name)
    beside: list[str] = []
    with suppress(FolderMissing):
        beside += fs.list(here) if alone else ()
    for name in beside:
        if is_proof(name) and latents_base(name) == latents:
            inode = fs.lstat(here / name).st_ino
            return replace(drop, members=(*drop.members, Member(".proof.png", here / name, (1, inode, 0, 0, 0))))
    return drop


def _retry_all(spool: Spool, fs: Filesystem) -> None:
    for folder in (spool.root / "failed" / name for name in FOLDERS.values()):
        for name in sorted(fs.list(folder)):
            with suppress(NotThere):  # somebody has moved the files on
                spool.retry(folder / name)


def _release_all(spool: Spool, fs: Filesystem) -> None:
    for stage in FOLDERS:
        for name in sorted(fs.list(spool.hold(stage))):
            spool.release_hold(spool.hold(stage) / name)


def run(story: Story, spool: Spool, fs: Filesystem, claim: Claim, *, way: str) -> None:
    """One job as `daemon/jobs/job.py` runs it, with these outputs for its maths."""
    with suppress(OSError):  # the service asks `recover` to go on with it
        try:
            _run(story, spool, fs, claim, way=way)
        except RuntimeError as error:  # a fault of ours, which is told if it can be
            with suppress(RuntimeError):
                spool.fail(claim, f"tiffsd itself failed: {error}", {"kind": "fault"})


def _run(story: Story, spool: Spool, fs: Filesystem, claim: Claim, *, way: str) -> None:
    try:
        made = _make(story, spool, fs, claim, way=way)
    except OSError:
        with suppress(RuntimeError):  # of a job that is decided
            spool.give_back(claim)
        return
    if way == "fail" or not made:
        spool.fail(claim, "cat.tiff is all cat; draw a dog.", {"kind": "test"})
    elif way == "give back":
        spool.give_back(claim)
    else:
        spool.finish(claim)


def _make(story: Story, spool: Spool, fs: Filesystem, claim: Claim, *, way: str) -> bool:
    """Whether the job can be made: what was put in the place of a file since the scan is none."""
    attempt = spool.begin_attempt(claim)
    if way == "give back":
        return True
    if not all(map(stat.S_ISREG, spool.modes(claim).values())):
        return False
    with spool.opened(claim) as members:
        task = story.task_of(members["principal"].read())
    _compute(story, spool, fs, claim, attempt)
    for publication, content in zip(task.publications, task.results, strict=True):
        with spool.create_output(claim, publication.source) as file:
            file.write(content)
    if way != "fail":
        spool.commit(claim, task.publications)
    return True


def _compute(story: Story, spool: Spool, fs: Filesystem, claim: Claim, attempt: int) -> None:
    """The moment in which a job may take the whole machine down with it."""
    if isinstance(fs, Watched):
        fs.begun = attempt
    if story.entrusts:
        spool.mark_dispatched(claim)
        spool.clear_dispatched(claim)
    if isinstance(fs, Watched):
        fs.begun = 0
