"""The spool: no crash, error or meddling loses an input, doubles an output or shows half of one.

The sweeps stop the world before each call of `Ops` in turn, let a new daemon recover, and look at where everything is. In them
fsync is counted and not run: what the kernel has been told survives a crash of the process.
"""

import errno
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import pytest

from daemon import books
from daemon.errors import SpoolError
from daemon.inbox import Inbox
from daemon.ops import Ops
from daemon.spool import Claim, Publication, Spool
from daemon.stages import STAGES

FOLDERS = {"text": "1-text", "diffuse": "2-diffuse", "decode": "3-decode", "encode": "encode"}
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
OPERATIONS = [name for name in vars(Ops) if not name.startswith("_")]


class Crash(BaseException):
    """The end of the process."""


class Swept(Ops):
    """Counts and records the calls; stops the world before call `crash_at`, or lets call `fail_at` fail."""

    def __init__(self, *, crash_at: int = 0, fail_at: int = 0, code: int = errno.ENOSPC) -> None:
        self.calls: list[str] = []
        self._crash_at = crash_at
        self.fail_at = fail_at
        self._code = code
        self._dead = False

    def step(self, name: str, args: tuple[Any, ...]) -> None:
        if self._dead:
            raise Crash
        self.calls.append(" ".join([name, *(str(arg) for arg in args if isinstance(arg, Path))]))
        torn = name == "write" and len(self.calls) in {self._crash_at, self.fail_at}
        if torn:
            args[0].write(args[1][: len(args[1]) // 2])
            args[0].flush()
        if len(self.calls) == self._crash_at:
            self._dead = True
            raise Crash
        if len(self.calls) == self.fail_at:
            raise OSError(self._code, os.strerror(self._code))

    def now(self) -> datetime:
        return NOON

    def fsync(self, file: BinaryIO) -> None:
        self.step("fsync", (Path(file.name),))
        file.flush()

    def fsync_folder(self, folder: Path) -> None:
        self.step("fsync_folder", (folder,))
        folder.stat()


def _stepping(name: str) -> Callable[..., Any]:
    def call(self: Swept, *args: Any) -> Any:
        self.step(name, args)
        return getattr(Ops, name)(self, *args)

    return call


for _name in set(OPERATIONS) - {"now", "fsync", "fsync_folder"}:
    setattr(Swept, _name, _stepping(_name))


# -- a small world ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def worlds() -> Iterator[Path]:
    """Where sweeps make their many short-lived worlds: in memory, if there is such a place."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(prefix="tiffsd-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@dataclass
class Story:
    """What is dropped into a stage's inbox, what the job makes of it, and how the first life of the daemon ends it."""

    drops: dict[str, bytes]
    outputs: dict[str, bytes]
    publications: list[Publication]
    stage: str = "diffuse"
    ending: str = "finish"
    bystanders: dict[str, bytes] = field(default_factory=dict)
    max_attempts: int = 3
    entrusts: bool = True

    def world(self, root: Path) -> Path:
        Spool(root, FOLDERS).create()
        for name, content in self.drops.items():
            (root / "inbox" / FOLDERS[self.stage] / name).write_bytes(content)
        for name, content in self.bystanders.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        return root


def publications(*names: str) -> list[Publication]:
    folders = ["inbox/3-decode", "pictures", "embeddings"]
    return [Publication(name, folder, f"cat.0000000{i}.tiff") for i, (name, folder) in enumerate(zip(names, folders, strict=False))]


ONE = Story({"cat.tiff": b"input one"}, {"latents.tiff": b"output one" * 50}, publications("latents.tiff"))
TWO = Story(
    {"cat_latent.tiff": b"input latents", "cat_prompt.tiff": b"input prompt", "cat.yaml": b"input settings"},
    {"latents.tiff": b"output one" * 50, "picture.tiff": b"output two" * 50},
    publications("latents.tiff", "picture.tiff"),
)
STORIES = {
    "one": ONE,
    "two": TWO,
    "fail": Story(TWO.drops, TWO.outputs, TWO.publications, ending="fail"),
    "fail_named_like_a_report": Story({"error.txt": b"a prompt"}, {}, [], stage="text", ending="fail"),
    "give_back": Story(TWO.drops, TWO.outputs, TWO.publications, ending="give_back"),
    "collisions": Story(
        TWO.drops,
        TWO.outputs,
        TWO.publications,
        ending="give_back_beside_others",
        bystanders={
            "inbox/3-decode/cat.00000000.tiff": b"made by hand",
            "pictures/cat.00000001.tiff": b"older picture",
            f"done/{NOON.astimezone().date()}/cat_prompt.tiff": b"older prompt",
        },
    ),
    "out_of_attempts": Story(TWO.drops, TWO.outputs, TWO.publications, max_attempts=1, entrusts=False),
}


def inbox_of(root: Path, stage: str) -> Inbox:
    return Inbox(
        STAGES[stage],
        root / "inbox" / FOLDERS[stage],
        settle_seconds=0,
        settle_unleased_seconds=0,
        empty_grace_seconds=0,
    )


def claim_all(spool: Spool, stage: str) -> Iterator[Claim]:
    for drop in inbox_of(spool.root, stage).scan(0.0).ready:
        claim = spool.claim(stage, drop)
        if claim is not None:
            yield claim


def claim_one(spool: Spool, stage: str = "diffuse") -> Claim:
    return next(claim_all(spool, stage))


def complete(spool: Spool, claim: Claim, story: Story) -> list[Path]:
    spool.begin_attempt(claim)
    if story.entrusts:
        spool.entrust(claim)
        spool.take_back(claim)
    for name, content in story.outputs.items():
        with spool.create_output(claim, name) as file:
            file.write(content)
    spool.commit(claim, story.publications)
    return spool.finish(claim)


def end(spool: Spool, claim: Claim, story: Story) -> None:
    if story.ending == "finish":
        complete(spool, claim, story)
    elif story.ending == "fail":
        spool.begin_attempt(claim)
        for name, content in list(story.outputs.items())[:1]:
            with spool.create_output(claim, name) as file:
                file.write(content)
        spool.fail(claim, "cat.tiff is all cat; draw a dog.", {"kind": "test"})
    else:
        spool.begin_attempt(claim)
        spool.give_back(claim)


def first_life(root: Path, story: Story, ops: Ops) -> None:
    spool = Spool(root, FOLDERS, ops=ops, max_attempts=story.max_attempts)
    for claim in claim_all(spool, story.stage):
        if story.ending == "give_back_beside_others":
            (root / "inbox" / FOLDERS[story.stage] / "cat_latent.tiff").write_bytes(b"dropped later")
        end(spool, claim, story)


def next_life(root: Path, story: Story, ops: Ops) -> None:
    """A new daemon: recover, run again what is to be run, then work off the inbox."""
    spool = Spool(root, FOLDERS, ops=ops, max_attempts=story.max_attempts)
    live(spool, story)


def live(spool: Spool, story: Story) -> None:
    run: Callable[..., object] = end if story.ending == "fail" else complete
    for claim in spool.recover():
        run(spool, claim, story)
    for claim in claim_all(spool, story.stage):
        run(spool, claim, story)


def crashes(life: Callable[[Path, Story, Ops], None], root: Path, story: Story, *, at: int) -> bool:
    try:
        life(root, story, Swept(crash_at=at))
    except Crash:
        return True
    return False


# -- the invariants ---------------------------------------------------------------------------------------------------------------


def contents(root: Path) -> dict[Path, bytes]:
    found = {}
    for folder, _folders, names in os.walk(root):  # not rglob: a sweep looks at thousands of worlds
        for name in names:
            path = Path(folder, name)
            found[path.relative_to(root)] = path.read_bytes()
    return found


def is_visible(path: Path) -> bool:
    return path.parts[0] not in {".work", ".trash"}


def is_report(path: Path) -> bool:
    return path.parts[0] == "failed" and path.name in {"error.txt", "error.json", "error-report.txt", "error-report.json"}


def check_always(root: Path, story: Story) -> None:
    found = contents(root)
    known = {*story.drops.values(), *story.outputs.values(), *story.bystanders.values(), b"dropped later"}
    for path, content in found.items():
        if is_visible(path) and content not in known:
            assert is_report(path), f"{path} holds something else: {content!r}"
            assert content.endswith(b"\n"), f"{path} is torn"
    everything = list(found.values())
    for content in [*story.drops.values(), *story.bystanders.values()]:
        assert everything.count(content) == 1, f"{content!r} is there {everything.count(content)} times"
    shown = [content for path, content in found.items() if is_visible(path)]
    for content in story.outputs.values():
        assert shown.count(content) <= 1, f"{content[:10]!r} is published {shown.count(content)} times"


def check_end(root: Path, story: Story) -> None:
    check_always(root, story)
    found = contents(root)
    assert not [path for path in found if not is_visible(path)]
    assert not list((root / ".work").iterdir())
    assert not list((root / ".trash").iterdir())
    places = {path.parts[0] for path, content in found.items() if content in story.drops.values()}
    shown = list(found.values())
    if places == {"done"}:
        assert all(shown.count(content) == 1 for content in story.outputs.values())
    else:
        assert places == {"failed"}
        assert not [content for content in shown if content in story.outputs.values()]
    if story.ending == "fail":
        assert places == {"failed"}
    elif story.max_attempts > 2:
        assert places == {"done"}


# -- the sweeps -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STORIES)
def test_crash_at_every_call(name: str, worlds: Path) -> None:
    story = STORIES[name]
    crashed = True
    k = 0
    while crashed:
        k += 1
        root = story.world(worlds / str(k))
        crashed = crashes(first_life, root, story, at=k)
        check_always(root, story)
        next_life(root, story, Swept())
        check_end(root, story)
    assert k > 20


def sweep_pairs(worlds: Path, story: Story, *, stride: int) -> int:
    """Crash one life at k and the next at j, for every `stride`th pair; the number of pairs."""
    pairs = 0
    first = True
    k = 0
    while first:
        k += 1
        second = True
        j = k % stride - stride + 1
        while second:
            j += stride
            pairs += 1
            root = story.world(worlds / f"{k}-{j}")
            first = crashes(first_life, root, story, at=k)
            second = crashes(next_life, root, story, at=j)
            check_always(root, story)
            next_life(root, story, Swept())
            check_end(root, story)
            rmtree(root)
    return pairs


@pytest.mark.parametrize("name", ["fail", "give_back", "collisions", "out_of_attempts"])
def test_crash_within_recovery(name: str, worlds: Path) -> None:
    assert sweep_pairs(worlds, STORIES[name], stride=61) > 50


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["two", "collisions"])
def test_crash_within_recovery_at_close_intervals(name: str, worlds: Path) -> None:
    assert sweep_pairs(worlds, STORIES[name], stride=7) > 500


@pytest.mark.parametrize(("name", "code"), [*((name, errno.ENOSPC) for name in STORIES), ("two", errno.EIO)])
def test_error_at_every_call_of_a_living_daemon(name: str, code: int, worlds: Path) -> None:
    story = STORIES[name]
    descriptors = len(os.listdir("/proc/self/fd"))
    for k in range(1, 1000):
        root = story.world(worlds / str(k))
        ops = Swept(fail_at=k, code=code)
        spool = Spool(root, FOLDERS, ops=ops, max_attempts=story.max_attempts)
        try:
            for claim in claim_all(spool, story.stage):
                end(spool, claim, story)
        except OSError as error:
            assert error.errno == code  # noqa: PT017 (most calls fail, some are not reached)
        reached, ops.fail_at = len(ops.calls) >= k, 0
        check_always(root, story)
        live(spool, story)
        check_end(root, story)
        assert len(os.listdir("/proc/self/fd")) == descriptors
        if not reached:
            break
    assert k > 20


def take_published(root: Path) -> None:
    for path in [*(root / "inbox/3-decode").iterdir(), *(root / "pictures").iterdir()]:
        path.rename(root / f"taken {path.name}")


def edit_published(root: Path) -> None:
    for path in [*(root / "inbox/3-decode").iterdir(), *(root / "pictures").iterdir()]:
        path.write_bytes(path.read_bytes() + b" edited")


@pytest.mark.parametrize("meddle", [take_published, edit_published])
def test_meddling_between_crash_and_recovery(meddle: Callable[[Path], None], worlds: Path) -> None:
    for k in range(1, 1000):
        root = TWO.world(worlds / str(k))
        crashed = crashes(first_life, root, TWO, at=k)
        meddle(root)
        next_life(root, TWO, Swept())
        found = [content for path, content in contents(root).items() if is_visible(path)]
        for content in TWO.outputs.values():
            assert len([one for one in found if one.startswith(content)]) == 1
        assert sorted(one for one in found if one.startswith(b"input")) == sorted(TWO.drops.values())
        if not crashed:
            break


def test_same_name_dropped_between_crash_and_recovery(worlds: Path) -> None:
    for k in range(1, 1000):
        root = ONE.world(worlds / str(k))
        crashed = crashes(first_life, root, ONE, at=k)
        if not (root / "inbox/2-diffuse/cat.tiff").exists():
            (root / "inbox/2-diffuse/cat.tiff").write_bytes(b"input again")
            next_life(root, ONE, Swept())
            found = list(contents(root).values())
            assert [found.count(content) for content in (b"input one", b"input again", b"output one" * 50)] == [1, 1, 2]
        if not crashed:
            break


def test_recovery_is_idempotent(tmp_path: Path) -> None:
    root = TWO.world(tmp_path)
    spool = Spool(root, FOLDERS)
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    before = contents(root)
    first, second = Spool(root, FOLDERS).recover(), Spool(root, FOLDERS).recover()
    assert first == second
    assert [again.attempts for again in first] == [1]
    assert contents(root) == before


# -- the order of calls -----------------------------------------------------------------------------------------------------------


def test_calls_come_in_the_order_that_makes_a_job_safe(tmp_path: Path) -> None:
    root = ONE.world(tmp_path)
    ops = Swept()
    spool = Spool(root, FOLDERS, ops=ops)
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    spool.entrust(claim)
    spool.take_back(claim)
    with spool.create_output(claim, "latents.tiff") as file:
        file.write(b"x")
    spool.commit(claim, publications("latents.tiff"))
    spool.finish(claim)
    calls = [call.replace(f"{root}/", "").replace(claim.job, "J") for call in ops.calls]
    changes = [call for call in calls if call.startswith(("mkdir", "rename", "fsync_folder", "rmdir", "unlink .trash"))]
    day = NOON.astimezone().date()
    assert changes[:-6] == [
        # C1, C2: the job and who it is
        "mkdir .work/J",
        "fsync_folder .work",
        "mkdir .work/J/in",
        "rename .work/J/.claim.json.part .work/J/claim.json",
        "fsync_folder .work/J",
        # C3, C4: the claim
        "rename inbox/2-diffuse/cat.tiff .work/J/in/cat.tiff",
        "fsync_folder .work/J/in",
        "fsync_folder inbox/2-diffuse",
        # R1, R2: counted before anything is computed
        "rename .work/J/.attempt.json.part .work/J/attempt.json",
        "fsync_folder .work/J",
        "mkdir .work/J/out",
        # read without harm and given to the worker; come back from it
        "rename .work/J/.attempt.json.part .work/J/attempt.json",
        "fsync_folder .work/J",
        "rename .work/J/.attempt.json.part .work/J/attempt.json",
        "fsync_folder .work/J",
        # S1, S2, S3: outputs, then the commit
        "rename_noreplace .work/J/out/.latents.tiff.part .work/J/out/latents.tiff",
        "fsync_folder .work/J/out",
        "fsync_folder .work/J",
        "rename .work/J/.commit.json.part .work/J/commit.json",
        "fsync_folder .work/J",
        # P1, P2: published
        "rename_noreplace .work/J/out/latents.tiff inbox/3-decode/cat.00000000.tiff",
        "fsync_folder inbox/3-decode",
        "fsync_folder .work/J/out",
        # A1, A2, A3: archived, cleared away
        f"mkdir done/{day}",
        "fsync_folder done",
        f"rename_noreplace .work/J/in/cat.tiff done/{day}/cat.tiff",
        f"fsync_folder done/{day}",
        "fsync_folder .work/J/in",
        "rename .work/J .trash/J",
        "fsync_folder .trash",
        "fsync_folder .work",
    ]
    # A3: the empty folders first, they are the proof that nothing is left
    assert [call.split()[0] for call in changes[-6:]] == ["rmdir", "rmdir", "unlink", "unlink", "unlink", "rmdir"]


def test_content_is_durable_before_its_name(tmp_path: Path) -> None:
    root = TWO.world(tmp_path)
    ops = Swept()
    first_life(root, TWO, ops)
    for call in ops.calls:
        operation, *paths = call.split()
        if operation.startswith("rename") and paths[0].endswith(".part"):
            assert f"fsync {paths[0]}" in ops.calls[: ops.calls.index(call)]


# -- one rule a test --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def _ignored_sigio() -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


@pytest.fixture
def root(worlds: Path) -> Path:
    Spool(worlds, FOLDERS).create()
    return worlds


@pytest.fixture
def spool(root: Path) -> Spool:
    return Spool(root, FOLDERS)


def drop(root: Path, name: str, content: bytes = b"content", *, stage: str = "diffuse") -> Path:
    path = root / "inbox" / FOLDERS[stage] / name
    path.write_bytes(content)
    return path


def test_create_makes_all_folders(root: Path, spool: Spool) -> None:
    assert (root / "hold/2-diffuse").is_dir()
    assert (root / "failed/encode").is_dir()
    assert {path.name for path in root.iterdir()} == {
        *("inbox", "hold", "failed", "embeddings", "running", "steps", "pictures", "done", "previews", ".work", ".keep", ".trash")
    }
    assert (root / ".work").stat().st_mode & 0o777 == 0o700
    spool.check()


def test_claim_takes_the_members(root: Path, spool: Spool) -> None:
    drop(root, "cat.3f9a1c2e.tiff", b"latents")
    drop(root, "cat.yaml", b"steps: 3")
    claim = claim_one(spool)
    assert (claim.stage, claim.stem, claim.attempts) == ("diffuse", "cat", 0)
    assert dict(claim.names) == {"principal": "cat.3f9a1c2e.tiff", ".yaml": "cat.yaml"}
    assert claim.members["principal"].read_bytes() == b"latents"
    assert claim.members[".yaml"].read_bytes() == b"steps: 3"
    assert not list((root / "inbox/2-diffuse").iterdir())
    assert claim.job.endswith(claim.id)


def test_claim_is_won_by_one(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    found = inbox_of(root, "diffuse").scan(0.0).ready[0]
    claims: list[Claim | None] = []
    threads = [threading.Thread(target=lambda: claims.append(spool.claim("diffuse", found))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([claim for claim in claims if claim]) == 1
    assert len(list((root / ".work").iterdir())) == 1


def test_claim_of_a_drop_whose_half_is_gone_takes_nothing(root: Path, spool: Spool) -> None:
    latents = drop(root, "cat_latent.tiff")
    prompt = drop(root, "cat_prompt.tiff")
    found = inbox_of(root, "diffuse").scan(0.0).ready[0]
    prompt.unlink()
    assert spool.claim("diffuse", found) is None
    assert latents.read_bytes() == b"content"
    assert not list((root / ".work").iterdir())


def test_claim_leaves_a_folder_that_took_the_name(root: Path, spool: Spool) -> None:
    path = drop(root, "cat.tiff")
    found = inbox_of(root, "diffuse").scan(0.0).ready[0]
    path.unlink()
    path.mkdir()
    assert spool.claim("diffuse", found) is None
    assert path.is_dir()


def test_attempts_are_counted_across_daemons(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    assert spool.begin_attempt(claim) == 1
    again = Spool(root, FOLDERS).recover()[0]
    assert again.attempts == 1
    assert spool.begin_attempt(again) == 2


def test_job_out_of_attempts_is_failed_with_a_sentence(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    spool.begin_attempt(claim)
    assert Spool(root, FOLDERS).recover() == []
    text = (root / f"failed/2-diffuse/cat.{claim.id}/error.txt").read_text()
    assert text.startswith("cat was started 2 times, and each time the daemon ended before it was done.")


def test_kills_of_the_daemon_do_not_fail_a_job_that_lies_with_a_worker(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    for _ in range(5):
        assert spool.begin_attempt(claim) == 1
        spool.entrust(claim)
        spool = Spool(root, FOLDERS)
        (claim,) = spool.recover()
        assert claim.attempts == 0


def test_a_job_that_came_back_from_its_worker_counts_its_attempt_again(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    spool.entrust(claim)
    spool.take_back(claim)
    assert [again.attempts for again in Spool(root, FOLDERS).recover()] == [1]


def test_an_attempt_counts_when_the_whole_machine_went_down_with_it(root: Path) -> None:
    class OtherBoot(Ops):
        def boot(self) -> str:
            return "the boot before"

    drop(root, "cat.tiff")
    spool = Spool(root, FOLDERS, ops=OtherBoot())
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    spool.entrust(claim)
    assert [again.attempts for again in Spool(root, FOLDERS).recover()] == [1]


def test_begin_attempt_empties_out(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    with spool.create_output(claim, "latents.tiff") as file:
        file.write(b"of the first attempt")
    spool.begin_attempt(claim)
    with spool.create_output(claim, "latents.tiff") as file:
        file.write(b"of the second attempt")
    spool.commit(claim, publications("latents.tiff"))
    assert [path.read_bytes() for path in spool.finish(claim)] == [b"of the second attempt"]


def test_output_that_fails_leaves_nothing(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    with pytest.raises(TypeError), spool.create_output(claim, "latents.tiff") as file:
        file.writelines([b"half", "not bytes"])  # type: ignore[list-item]
    assert not list((root / ".work" / claim.job / "out").iterdir())


def test_output_with_a_long_name_fits(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    name = "x" * 250 + ".tiff"
    with spool.create_output(claim, name) as file:
        file.write(b"whole")
    assert (root / ".work" / claim.job / "out" / name).read_bytes() == b"whole"


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", ""])
def test_output_must_have_a_plain_name(name: str, root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    with pytest.raises(ValueError, match="plain name"), spool.create_output(claim, name):
        pass


@pytest.mark.parametrize(
    ("folder", "name"), [("../outside", "x"), ("/tmp", "x"), ("pictures", "../x"), ("pictures", ""), ("", "x")]
)
def test_publication_stays_inside_the_spool(folder: str, name: str) -> None:
    with pytest.raises(ValueError, match="does not name a file"):
        Publication("x", folder, name)


def test_commit_names_every_output_once(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    with spool.create_output(claim, "latents.tiff") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match="would publish"):
        spool.commit(claim, [])
    with pytest.raises(ValueError, match="would publish"):
        spool.commit(claim, publications("latents.tiff", "picture.tiff"))


def test_after_the_commit_only_forward(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    spool.commit(claim, [])
    for step in (spool.give_back, spool.begin_attempt, lambda claim: spool.fail(claim, "No.", {})):
        with pytest.raises(RuntimeError, match="can only be finished"):
            step(claim)
    spool.finish(claim)
    assert spool.finish(claim) == []
    with pytest.raises(RuntimeError, match="is over"):
        spool.give_back(claim)


def test_finish_never_overwrites(root: Path, spool: Spool) -> None:
    (root / "inbox/3-decode/cat.00000000.tiff").write_bytes(b"made by hand")
    drop(root, "cat.tiff")
    published = complete(spool, claim_one(spool), ONE)
    assert published == [root / "inbox/3-decode/cat-2.00000000.tiff"]
    assert (root / "inbox/3-decode/cat.00000000.tiff").read_bytes() == b"made by hand"


def test_finish_makes_a_folder_that_a_person_deleted(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    (root / "done").rmdir()
    (root / "inbox/3-decode").rmdir()
    assert complete(spool, claim_one(spool), ONE) == [root / "inbox/3-decode/cat.00000000.tiff"]


def test_done_keeps_both_of_one_name(root: Path, spool: Spool) -> None:
    for content in (b"first", b"second"):
        drop(root, "cat.tiff", content)
        complete(spool, claim_one(spool), ONE)
    archived = sorted(path for path in (root / "done").rglob("*") if path.is_file())
    assert [(path.name, path.read_bytes()) for path in archived] == [("cat-2.tiff", b"second"), ("cat.tiff", b"first")]


def test_nobody_claims_an_output_before_all_are_durable(root: Path) -> None:
    drop(root, "cat.tiff")
    published, may_go_on = threading.Event(), threading.Event()

    class Slow(Ops):
        def fsync_folder(self, folder: Path) -> None:
            if folder.name == "3-decode":
                published.set()
                may_go_on.wait(10)
            super().fsync_folder(folder)

    slow = Spool(root, FOLDERS, ops=Slow())
    producer = threading.Thread(target=complete, args=(slow, claim_one(slow), ONE))
    producer.start()
    assert published.wait(10)
    found = inbox_of(root, "decode").scan(0.0).ready[0]
    claims: list[Claim | None] = []
    consumer = threading.Thread(target=lambda: claims.append(slow.claim("decode", found)))
    consumer.start()
    consumer.join(0.05)
    assert found.principal.path.exists()
    may_go_on.set()
    producer.join()
    consumer.join()
    assert claims[0] is not None


def test_failure_tells_people_what_to_do(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff", b"latents")
    drop(root, "cat.yaml", b"settings")
    claim = claim_one(spool)
    failed = spool.fail(claim, "cat.tiff is 8 bit; save it as 32-bit float.", {"kind": "BadValues"})
    assert failed == root / f"failed/2-diffuse/cat.{claim.id}"
    assert {path.name for path in failed.iterdir()} == {"cat.tiff", "cat.yaml", "error.txt", "error.json"}
    assert (failed / "error.txt").read_text() == (
        "cat.tiff is 8 bit; save it as 32-bit float.\n\n"
        "Dropped: cat.tiff, cat.yaml\n"
        "To try again: put it right, then move it back to inbox/2-diffuse\n"
        f"or run: tiffsd retry cat.{claim.id}\n"
    )
    facts = json.loads((failed / "error.json").read_text())
    assert facts["sentence"] == "cat.tiff is 8 bit; save it as 32-bit float."
    assert (facts["stage"], facts["kind"], facts["attempts"]) == ("diffuse", "BadValues", 0)
    assert not list((root / ".work").iterdir())


def test_retry_moves_the_files_back(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff", b"latents")
    drop(root, "cat.yaml", b"settings")
    failed = spool.fail(claim_one(spool), "No.", {})
    moved = spool.retry(failed)
    assert sorted(path.name for path in moved) == ["cat.tiff", "cat.yaml"]
    assert (root / "inbox/2-diffuse/cat.tiff").read_bytes() == b"latents"
    assert not failed.exists()


def test_retry_keeps_halves_together_beside_a_newer_drop(root: Path, spool: Spool) -> None:
    for name in TWO.drops:
        drop(root, name)
    failed = spool.fail(claim_one(spool), "No.", {})
    drop(root, "cat_prompt.tiff", b"newer")
    assert {path.name for path in spool.retry(failed)} == {"cat-2_latent.tiff", "cat-2_prompt.tiff", "cat-2.yaml"}
    assert (root / "inbox/2-diffuse/cat_prompt.tiff").read_bytes() == b"newer"


def test_retry_of_a_drop_named_like_a_report(root: Path, spool: Spool) -> None:
    drop(root, "error.txt", b"a prompt about errors", stage="text")
    failed = spool.fail(claim_one(spool, "text"), "No.", {})
    assert (failed / "error-report.txt").read_text().startswith("No.")
    assert [path.read_bytes() for path in spool.retry(failed)] == [b"a prompt about errors"]
    assert not failed.exists()


def test_retry_of_something_else_is_refused(root: Path, spool: Spool) -> None:
    with pytest.raises(SpoolError, match="not a failed job"):
        spool.retry(root / "done")
    with pytest.raises(SpoolError, match="is not there"):
        spool.retry(root / "failed/1-text/cat.00000000")


def test_release_moves_the_file_and_its_settings(root: Path, spool: Spool) -> None:
    (root / "hold/2-diffuse/cat.3f9a1c2e.tiff").write_bytes(b"painted")
    (root / "hold/2-diffuse/cat.yaml").write_bytes(b"steps: 5")
    assert spool.release_hold(root / "hold/2-diffuse/cat.3f9a1c2e.tiff") == root / "inbox/2-diffuse/cat.3f9a1c2e.tiff"
    assert (root / "inbox/2-diffuse/cat.yaml").read_bytes() == b"steps: 5"
    assert not list((root / "hold/2-diffuse").iterdir())


def test_release_of_something_else_is_refused(root: Path, spool: Spool) -> None:
    with pytest.raises(SpoolError, match="not in a hold folder"):
        spool.release_hold(root / "pictures/cat.png")
    with pytest.raises(SpoolError, match="is not there"):
        spool.release_hold(root / "hold/2-diffuse/cat.tiff")


def test_give_back_restores_names_and_forgets_the_attempt(root: Path, spool: Spool) -> None:
    for name, content in TWO.drops.items():
        drop(root, name, content)
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    spool.give_back(claim)
    assert {path.name: path.read_bytes() for path in (root / "inbox/2-diffuse").iterdir()} == TWO.drops
    assert claim_one(spool).attempts == 0


def test_give_back_keeps_a_newer_drop_of_the_same_name(root: Path, spool: Spool) -> None:
    for name, content in TWO.drops.items():
        drop(root, name, content)
    claim = claim_one(spool)
    drop(root, "cat_latent.tiff", b"newer")
    spool.give_back(claim)
    names = {path.name for path in (root / "inbox/2-diffuse").iterdir()}
    assert names == {"cat_latent.tiff", "cat-2_latent.tiff", "cat-2_prompt.tiff", "cat-2.yaml"}


def test_give_back_works_on_a_full_disk(root: Path) -> None:
    class Full(Ops):
        def create(self, path: Path) -> BinaryIO:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    drop(root, "cat.tiff")
    claim = claim_one(Spool(root, FOLDERS))
    Spool(root, FOLDERS, ops=Full()).give_back(claim)
    assert (root / "inbox/2-diffuse/cat.tiff").exists()


def test_claim_on_a_full_disk_leaves_the_inbox_alone(root: Path) -> None:
    class Full(Ops):
        def fsync(self, file: BinaryIO) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)

    path = drop(root, "cat.tiff")
    with pytest.raises(OSError, match="No space left"):
        claim_one(Spool(root, FOLDERS, ops=Full()))
    assert path.exists()
    assert not list((root / ".work").iterdir())


@pytest.mark.parametrize("book", [books.CLAIM, books.COMMIT, books.FAIL])
@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"names": {"principal": "../../x"}}', b"\xff\xfe"])
def test_damaged_books_quarantine_the_job_and_stop_no_other(book: str, damage: bytes, root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff", b"latents")
    damaged = claim_one(spool)
    spool.begin_attempt(damaged)
    with spool.create_output(damaged, "latents.tiff") as file:
        file.write(b"result")
    (root / ".work" / damaged.job / book).write_bytes(damage)
    drop(root, "dog.tiff")
    other = claim_one(spool)
    assert [claim.job for claim in Spool(root, FOLDERS).recover()] == [other.job]
    (failed,) = [path for path in (root / "failed").glob("*/*") if path.is_dir()]
    assert (failed / "cat.tiff").read_bytes() == b"latents"
    assert (failed / "results/latents.tiff").read_bytes() == b"result"
    report = next(failed.glob("error*.txt")).read_text()
    assert report.startswith("The daemon's notes on this job could not be read")
    assert failed.parent.name == ("unclear" if book == books.CLAIM else "2-diffuse")


def test_job_of_a_stage_that_is_not_configured_any_more_is_kept(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff", b"latents")
    claim = claim_one(spool)
    assert Spool(root, {"text": "1-text"}).recover() == []
    assert (root / "failed/unclear" / claim.job / "cat.tiff").read_bytes() == b"latents"


def test_damaged_count_of_attempts_leaves_one_more(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    (root / ".work" / claim.job / books.ATTEMPT).write_bytes(b"\0\0")
    assert [again.attempts for again in Spool(root, FOLDERS).recover()] == [1]


def test_stray_things_in_the_work_folder_stop_no_job(root: Path, spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    (root / ".work/stray").write_bytes(b"?")
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    assert [again.job for again in Spool(root, FOLDERS).recover()] == [claim.job]
    assert "stray could not be recovered" in caplog.text


def test_recovery_leaves_jobs_in_flight_alone(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    assert spool.recover(in_flight={claim.job}) == []


def test_trash_that_holds_files_is_kept(root: Path, spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    (root / ".trash/J/out").mkdir(parents=True)
    (root / ".trash/J/out/latents.tiff").write_bytes(b"never published")
    spool.recover()
    assert (root / ".trash/J/out/latents.tiff").exists()
    assert "still holds files" in caplog.text


def test_symlinks_and_fifos_move_as_they_are(root: Path, spool: Spool) -> None:
    (root / "secret").write_bytes(b"secret")
    (root / "inbox/2-diffuse/link.tiff").symlink_to(root / "secret")
    os.mkfifo(root / "inbox/2-diffuse/pipe.tiff")
    for refusal in inbox_of(root, "diffuse").scan(0.0).refused:
        claim = spool.claim("diffuse", refusal.drop)
        assert claim is not None
        assert spool.settled(claim)
        spool.fail(claim, refusal.sentence, {})
    kinds = {path.name: (path.is_symlink(), path.is_fifo()) for path in (root / "failed/2-diffuse").glob("*/*.tiff")}
    assert kinds == {"link.tiff": (True, False), "pipe.tiff": (False, True)}
    assert (root / "secret").read_bytes() == b"secret"


@pytest.mark.parametrize(
    "name", [b"line\nbreak.tiff", b"not utf-8 \xff\xfe.tiff", b"-dash %s {}.tiff", "\N{CAT}.tiff".encode(), b"x" * 250 + b".tiff"]
)
def test_any_name_goes_through(name: bytes, root: Path, spool: Spool) -> None:
    text = os.fsdecode(name)
    drop(root, text)
    spool.fail(claim_one(spool), "No.", {"name": text})
    (failed,) = (root / "failed/2-diffuse").iterdir()
    (back,) = spool.retry(failed)
    assert os.fsencode(back.name) == name
    complete(spool, claim_one(spool), ONE)
    assert [path.name for path in (root / "done").rglob("*.tiff")] == [text]


@pytest.mark.usefixtures("_ignored_sigio")
def test_settled_is_false_while_the_writer_goes_on(root: Path, spool: Spool) -> None:
    path = drop(root, "cat.tiff")
    found = inbox_of(root, "diffuse").scan(0.0).ready[0]
    with path.open("ab") as writer:
        claim = spool.claim("diffuse", found)
        assert claim is not None
        assert not spool.settled(claim)
        writer.write(b"more")
    assert not spool.settled(claim)  # it changed since the last look
    assert spool.settled(claim)


def test_second_daemon_is_refused(root: Path, spool: Spool) -> None:
    spool.acquire()
    with pytest.raises(SpoolError, match=f"A daemon already runs on .* \\(process {os.getpid()}\\)"):
        Spool(root, FOLDERS).acquire()
    spool.release()
    other = Spool(root, FOLDERS)
    other.acquire()
    other.release()


def test_check_refuses_a_symlinked_folder(root: Path, spool: Spool) -> None:
    (root / "pictures").rmdir()
    (root / "pictures").symlink_to(root / "done")
    with pytest.raises(SpoolError, match="is a symbolic link"):
        spool.check()


def test_check_refuses_nested_or_shared_inboxes(root: Path) -> None:
    with pytest.raises(SpoolError, match="one plain folder name"):
        Spool(root, {"text": "a/b"}).check()
    with pytest.raises(SpoolError, match="the same folder"):
        Spool(root, {"text": "1-text", "diffuse": "1-text"}).check()


def test_check_refuses_what_is_missing_or_a_file(root: Path, spool: Spool) -> None:
    (root / "steps").rmdir()
    with pytest.raises(SpoolError, match="`tiffsd init`"):
        spool.check()
    (root / "steps").write_bytes(b"")
    with pytest.raises(SpoolError, match="is a file where a folder"):
        spool.check()


def _written(path: Path) -> Path:
    path.write_bytes(b"x")
    return path


def test_rename_without_replace_also_without_the_system_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(source: Path, target: Path) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), source, None, target)

    monkeypatch.setattr("daemon.ops._renameat2", unsupported)
    _written(tmp_path / "a")
    Ops().rename_noreplace(tmp_path / "a", tmp_path / "b")
    _written(tmp_path / "a")
    with pytest.raises(FileExistsError):
        Ops().rename_noreplace(tmp_path / "a", tmp_path / "b")
