"""A spool that an earlier version left, jobs in every state in it, becomes what that version itself made of it."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import tiffsd
from daemon.cli import app
from daemon.jobs.intake.files import InputSources
from daemon.jobs.recipes import read_recipe
from daemon.service.status import read_status, write_status
from daemon.spool.spool import Spool
from daemon.stages import STAGES
from tests.opening import opening, request_for
from tests.spool.disk import NOON
from tests.spool.frozen.deaths import BEFORE_IT_IS_TOLD
from tests.spool.frozen.mortal import Death, Mortal, seconds_from
from tests.spool.frozen.people import WORDS
from tests.spool.frozen.thaw import BOOTS, config_of, recovered, unpacked, worked_off
from tests.spool.frozen.workshop import BOOT, FOLDERS
from tests.spool.real import claim_one, drop, publications

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
ARCHIVES = sorted((Path(__file__).parent / "frozen").glob("*.tar.xz"))
BY_BOOT = pytest.mark.parametrize("when", BOOTS)

INBOXES = {"text": "1-text", "diffuse": "2-diffuse", "decode": "3-decode", "encode": "encode", "invert": "invert"}
TOP = {
    *("inbox", "hold", "failed", "embeddings", "running", "steps", "pictures", "done", "previews"),
    *(".keep", ".work", ".trash", ".lock", "status.json", "status.txt"),
}
OF_A_JOB = {"in", "out", "back.1", "back.2", "claim.json", "attempt.json", "entrusted.json", "commit.json", "fail.json"}
KEYS = {
    "claim.json": {"sha256", "version", "stage", "stem", "id", "names", "fingerprints"},
    "attempt.json": {"sha256", "attempts"},
    "entrusted.json": {"sha256", "attempt", "boot"},
    "commit.json": {"sha256", "day", "publications"},
    "fail.json": {"sha256", "folder", "name", "sentence_name", "text", "facts_name", "facts"},
}
KEYS_OF_A_PUBLICATION = {"source", "folder", "name"}
KEYS_OF_A_REPORT = {"at", "attempts", "sentence", "stage", "stem", "id", "files"}
KEYS_OF_THE_STATUS = {"alive", "at", "stages", "running", "done_today", "pictures", "worker", "complaints", "interrupted"}
KEYS_OF_A_STAGE = {"waiting", "held", "failed", "paused", "gated", "degraded", "waits"}
KEYS_OF_A_RUNNING_JOB = {"name", "stage", "doing", "step", "steps"}
# What is not in the spools of 0.1.0, with the version that was the first to write it; older ones pass over it.
ADDED = {
    "spool": {".alive": "0.2.0", ".owners": "0.2.0", ".recent": "0.2.0"},
    "claim.json": {"owner": "0.2.0", "places": "0.2.0"},
    "status": {"listed": "0.2.0"},
    "running job": {"pace": "0.2.0", "since": "0.2.0", "owner": "0.2.0", "prompt": "0.2.0"},
}
WITH_THE_FIRST_JOB = {".owners", ".recent"}


@pytest.fixture(scope="module", params=ARCHIVES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def archive(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture(scope="module")
def expected(archive: Path) -> dict[str, Any]:
    """What the version that left the spool made of it."""
    noted: dict[str, Any] = json.loads(archive.with_name(archive.name.replace(".tar.xz", ".json")).read_text(encoding="utf-8"))
    return noted


@pytest.fixture(scope="module")
def version(expected: dict[str, Any]) -> str:
    """The version that left the spool."""
    return str(expected["version"])


def added(what: str, version: str | None = None) -> set[str]:
    """What a version writes more of something than 0.1.0 did; without one, this version."""
    return {name for name, since in ADDED.get(what, {}).items() if version is None or _number(since) <= _number(version)}


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@pytest.fixture
def left(archive: Path, worlds: Path) -> Path:
    """The spool as it was left."""
    return unpacked(archive, worlds)


@pytest.fixture(scope="module")
def end(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What this version's daemon makes of the spool, with the real worker."""
    return worked_off(unpacked(archive, tmp_path_factory.mktemp("frozen")))


def test_every_released_version_is_frozen_and_small() -> None:
    released = re.findall(r"^## \[(\d[\d.]*)\]", CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE)
    assert {path.name for path in ARCHIVES} >= {f"spool-{version}.tar.xz" for version in released} != set()
    assert all(path.stat().st_size < 300_000 for path in ARCHIVES)


def test_a_spool_says_of_which_version_it_is(archive: Path, version: str) -> None:
    assert archive.name == f"spool-{version}.tar.xz"


@BY_BOOT
def test_every_job_is_recovered_to_what_its_own_version_made_of_it(when: str, left: Path, expected: dict[str, Any]) -> None:
    assert recovered(left, BOOTS[when]) == expected["recovered"][when]


@BY_BOOT
def test_a_second_recovery_changes_nothing(when: str, left: Path) -> None:
    first = recovered(left, BOOTS[when])
    assert recovered(left, BOOTS[when]) == first


@pytest.mark.slow
def test_the_daemon_works_it_off_to_the_end_that_its_own_version_came_to(
    end: dict[str, Any], expected: dict[str, Any], version: str
) -> None:
    found, wanted = (DONE_OTHERWISE.get(version, dict)(files) for files in (end["files"], expected["worked off"]["files"]))
    assert [name for name in {*found, *wanted} if found.get(name) != wanted.get(name)] == []


def _as_in_the_first(files: dict[str, list[str]]) -> dict[str, list[str]]:
    """What lies where, without the finished pictures that versions since 0.2.0 keep, to tell what is painted on them, and without
    the numbers that they give to several pictures of one prompt."""
    found: dict[str, list[str]] = {}
    for name, lying in files.items():
        left = [one for one in lying if not (name.startswith(".keep/") and one.startswith("picture, "))]
        found.setdefault(re.sub(r"(?<=f\u00fcchse \u72d0)-[12](?=\.)", "", name), []).extend(left)
    return {name: sorted(left) for name, left in found.items() if left}


# What this version rightly does otherwise than an earlier one, by that one: both ends are compared without it. The line of reports
# that was added and changed is left out in `frozen/thaw.py`.
DONE_OTHERWISE = {"0.1.0": _as_in_the_first}


@pytest.mark.slow
def test_what_fails_fails_with_the_same_sentences(end: dict[str, Any], expected: dict[str, Any]) -> None:
    assert end["failures"] == expected["worked off"]["failures"]


@pytest.mark.parametrize("painted", ["hold/3-decode/ram.*.tiff", "inbox/3-decode/bee.*.tiff"])
def test_a_kept_original_still_repairs_what_a_program_left_of_an_artifact(painted: str, left: Path) -> None:
    (path,) = left.glob(painted)
    kept = tiffsd.read(left / ".keep" / path.name).tensors
    source = request_for("decode", {"principal": path}, InputSources(config_of(left), left / "embeddings", left / ".keep")).source
    assert source is not None
    assert source.painted == np.count_nonzero(source.tensors["latents"] != kept["latents"]) == 16
    assert source.header.recipe["prompt"] == WORDS
    np.testing.assert_array_equal(source.tensors["prompt_embeds"], kept["prompt_embeds"])


def test_every_artifact_is_still_read(left: Path) -> None:
    paths = [path for path in left.rglob("*.tiff") if path.parts[-2] != "out"]
    kinds = [tiffsd.read(path).header.kind for path in paths]
    assert set(kinds) == set(tiffsd.Kind)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_the_recipe_of_a_finished_picture_is_still_read(suffix: str, left: Path) -> None:
    (path,) = left.glob(f"pictures/cat.*{suffix}")
    settings = opening(read_recipe, path, path.name, config_of(left)).settings
    recipe = {"prompt": WORDS, "negative_prompt": WORDS, "model": "demo", "seed": 7, "steps": 2, "width": 64, "height": 64}
    assert {key: settings[key] for key in recipe} == recipe


def test_failed_jobs_are_still_tried_again(left: Path) -> None:
    spool = Spool(left, FOLDERS)
    for stem, inbox, names in (
        ("mute", "1-text", {"mute.txt", "mute.yaml"}),
        ("error", "1-text", {"error.txt"}),
        ("words", "3-decode", {"words.txt"}),
    ):
        (failed,) = left.glob(f"failed/{inbox}/{stem}.*")
        before = {name: (failed / name).read_bytes() for name in names}
        assert {path.name: path.read_bytes() for path in spool.retry(failed)} == before
        assert {name: (left / "inbox" / inbox / name).read_bytes() for name in names} == before
        assert not failed.exists()


def test_what_a_daemon_said_of_itself_is_still_read(left: Path) -> None:
    config = left.parent / "config.yaml"
    config.write_text(f"spool: {left.name}\n")
    spool = Spool(left, FOLDERS)
    spool.acquire()  # only a living daemon's word counts
    try:
        said = json.loads(CliRunner().invoke(app, ["status", "--json", "--config", str(config)], catch_exceptions=False).output)
    finally:
        spool.release()
    assert [{key: job[key] for key in ("name", "stage", "doing", "step", "steps")} for job in said["running"]] == [
        {"name": "entrusted.0badf00d", "stage": "diffuse", "doing": "step 1 of 2", "step": 1, "steps": 2},
    ]
    assert said["stages"]["encode"]["degraded"] == "its inbox cannot be read: [Errno 13] Permission denied"
    assert said["stages"]["diffuse"]["waits"] == ["gnu_latent.tiff: waits for gnu_prompt.tiff"]
    assert said["stages"]["invert"]["paused"]
    assert said["stages"]["decode"]["gated"]
    assert said["worker"]["pid"] == 4712
    assert said["complaints"] == ["the hook done failed: it ended with 1"]


def test_its_folders_records_and_their_keys_are_these(left: Path, version: str) -> None:
    assert {path.name for path in left.iterdir()} == TOP | added("spool", version)
    for folder in ("inbox", "hold", "failed"):
        assert {path.name for path in (left / folder).iterdir()} == set(INBOXES.values())
    parts = {".claim.json.part", ".commit.json.part", ".fail.json.part"}
    assert {path.name for path in left.glob(".work/*/*")} == OF_A_JOB | parts
    for name, keys in KEYS.items():
        records = [json.loads(path.read_text()) for path in left.glob(f".work/*/{name}")]
        assert records
        assert {frozenset(record) for record in records} == {frozenset(keys | added(name, version))}, name
    published = [entry for path in left.glob(".work/*/commit.json") for entry in json.loads(path.read_text())["publications"]]
    assert {frozenset(entry) for entry in published} == {frozenset(KEYS_OF_A_PUBLICATION)}


def test_a_record_is_signed_with_the_digest_of_its_other_keys(left: Path) -> None:
    records = [json.loads(path.read_text()) for path in left.glob(".work/*/*.json")]
    assert sum(not is_signed(record) for record in records) == 4, "those of the damaged jobs"


def is_signed(record: dict[str, Any]) -> bool:
    return bool(record["sha256"] == signature(rest_of(record)))


def rest_of(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "sha256"}


def signature(rest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def test_this_version_names_its_folders_the_same(root: Path) -> None:
    spool = Spool(root, FOLDERS)
    spool.create()
    spool.acquire()
    spool.release()
    write_status(root, read_status(root, now=NOON))
    assert {path.name for path in root.iterdir()} == TOP | added("spool") - WITH_THE_FIRST_JOB
    assert {name: stage.folder for name, stage in STAGES.items()} == INBOXES


def test_this_version_writes_the_same_records_with_the_same_keys(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    spool.mark_dispatched(claim)
    with spool.create_output(claim, "latents.tiff") as file:
        file.write(b"latents")
    spool.commit(claim, publications("latents.tiff"))
    drop(root, "dog.tiff")
    dying = Spool(root, FOLDERS, fs=Mortal(root, seconds_from(NOON), BOOT, BEFORE_IT_IS_TOLD))
    failing = claim_one(dying)
    with pytest.raises(Death):
        dying.fail(failing, "No.", {})
    written = {path.name: json.loads(path.read_text()) for path in root.glob(".work/*/*.json")}
    assert {name: set(record) for name, record in written.items()} == {name: keys | added(name) for name, keys in KEYS.items()}
    assert all(is_signed(record) for record in written.values())
    assert [set(entry) for entry in written["commit.json"]["publications"]] == [KEYS_OF_A_PUBLICATION]
    assert set(written["fail.json"]["facts"]) == KEYS_OF_A_REPORT
    assert {path.name for path in root.glob(".work/*/*")} <= OF_A_JOB


def test_this_version_says_the_same_of_itself_under_the_same_keys(left: Path, version: str) -> None:
    before = json.loads((left / "status.json").read_text())
    write_status(left, read_status(left, now=NOON, alive=True))
    now = json.loads((left / "status.json").read_text())
    for status, by in ((before, version), (now, None)):
        assert set(status) == KEYS_OF_THE_STATUS | added("status", by)
        assert set(status["stages"]) == set(INBOXES)
        assert {frozenset(stage) for stage in status["stages"].values()} == {frozenset(KEYS_OF_A_STAGE)}
        assert [set(job) for job in status["running"]] == [KEYS_OF_A_RUNNING_JOB | added("running job", by)]


@pytest.mark.parametrize(
    ("record", "key"),
    [
        *(("claim.json", key) for key in ("stage", "stem", "id", "names", "fingerprints")),
        *(("entrusted.json", key) for key in ("attempt", "boot")),
        *(("commit.json", key) for key in ("day", "publications")),
        *(("fail.json", key) for key in ("folder", "name", "sentence_name", "text", "facts_name", "facts")),
        ("attempt.json", "attempts"),
    ],
)
def test_a_key_that_is_renamed_is_noticed(record: str, key: str, left: Path, expected: dict[str, Any]) -> None:
    rename_key(left, record, key)
    assert recovered(left, BOOT) != expected["recovered"]["on the same boot"]


def test_a_key_that_was_added_and_is_renamed_is_noticed(
    archive: Path, worlds: Path, expected: dict[str, Any], version: str
) -> None:
    for key in added("claim.json", version):
        spool = unpacked(archive, worlds / key)
        rename_key(spool, "claim.json", key)
        assert recovered(spool, BOOT) != expected["recovered"]["on the same boot"], key


def rename_key(root: Path, record: str, key: str) -> None:
    for path in root.glob(f".work/*/{record}"):
        written = json.loads(path.read_text())
        if is_signed(written):
            renamed = {f"renamed_{name}" if name == key else name: value for name, value in rest_of(written).items()}
            path.write_text(json.dumps({"sha256": signature(renamed), **renamed}))


@pytest.mark.parametrize("name", sorted(OF_A_JOB))
def test_a_file_or_folder_of_a_job_that_is_renamed_is_noticed(name: str, left: Path, expected: dict[str, Any]) -> None:
    for path in list(left.glob(f".work/*/{name}")):
        path.rename(path.with_name(f"renamed-{name}"))
    assert recovered(left, BOOT) != expected["recovered"]["on the same boot"]
