"""What becomes of a frozen spool: unpacked, recovered, and worked off by the code that is here; told so that it can be compared."""

import hashlib
import json
import re
import tarfile
from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import tiffsd
from daemon.jobs.recipes import read_recipe
from daemon.layout import OWNERS, PROOFS
from daemon.names import stem_of, without_id
from daemon.service.service import Service
from daemon.settings.config import Config
from daemon.spool.spool import Spool
from tests.opening import opening
from tests.spool.disk import NOON
from tests.spool.frozen.mortal import Mortal, seconds_from
from tests.spool.frozen.workshop import BOOT, FOLDERS
from tests.spool.invariants import is_report

LATER_BOOT = "5e0c1f4a-0000-4000-8000-000000000002"
BOOTS = {"on the same boot": BOOT, "on a later boot": LATER_BOOT}
# What the daemon works on; previews, proofs and the status are only shown, and may be shown in other ways tomorrow.
FOLDERS_OF_FILES = ("inbox", "hold", "failed", "embeddings", "running", "steps", "pictures", "done", ".keep", ".work", ".trash")
# Settle times are short, and nothing is too old to be kept.
KEPT_FOR_EVER = {shelf: {"days": None, "gb": None} for shelf in ("done", "failed", "previews", "steps", "originals")}
WATCH = {"rescan_seconds": 1.0, "settle_seconds": 0.05, "settle_unleased_seconds": 0.2, "empty_grace_seconds": 0.3}
# The section of the documents, which reports name since 0.2.0, and since then with the command that shows it.
SECTION = re.compile(rb"^More: .*\n", re.MULTILINE)
# By which `.owners` knows a file; another one in every spool that is unpacked.
INODE = re.compile(rb'"inode": \d+, ')

Tree = dict[str, str]


def unpacked(archive: Path, folder: Path) -> Path:
    """The spool in the archive, as a restored backup has it: with other inodes than its records tell of."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / "spool"


def tree(root: Path) -> Tree:
    """Every file of a spool with its digest: reports without the line that 0.1.0 did not write, owners without inodes."""
    files = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return {str(path): digest(_comparable(path, (root / path).read_bytes())) for path in files}


def _comparable(path: Path, content: bytes) -> bytes:
    if str(path) == OWNERS:
        return INODE.sub(b"", content)
    return SECTION.sub(b"", content) if is_report(path) else content


def digest(content: bytes) -> str:
    """The first 16 digits of the SHA-256: enough to tell files apart."""
    return hashlib.sha256(content).hexdigest()[:16]


def recovered(root: Path, boot: str) -> dict[str, Any]:
    """What `recover` makes of a spool: the claims to be run again, what is stuck, and every file."""
    recovery = Spool(root, FOLDERS, fs=Mortal(root, seconds_from(NOON + timedelta(days=1)), boot)).recover()
    told = ("job", "stage", "stem", "id", "names", "attempts")
    claims = [{name: getattr(claim, name) for name in told} for claim in recovery.claims]
    return {"claims": claims, "stuck": sorted(recovery.stuck), "tree": tree(root)}


def config_of(root: Path) -> Config:
    settings = {"watch": WATCH, "compute": {"threads": 1}, "retention": KEPT_FOR_EVER, "proofs": {"when": "never"}}
    return Config.model_validate({"folder": root.parent, "spool": root.name, **settings})


def worked_off(root: Path) -> dict[str, Any]:
    """What a whole life of the daemon makes of a spool: each file by folder and stem, with what does not hang on the processor."""
    before = recovered(root, LATER_BOOT)["tree"]
    Service(config_of(root)).run_once()
    return {"files": _files(root, before), "failures": _failures(root)}


def _files(root: Path, before: Tree) -> dict[str, list[str]]:
    """What each file is, by place, stem and extension, since ids are new each time; with the digest of bits that had been there."""
    found: dict[str, list[str]] = defaultdict(list)
    ids = {identity for name in before for identity in re.findall(r"\.([0-9a-f]{8})\b", name)}
    for name, bits in tree(root).items():
        path = Path(name)
        if path.parts[0] in FOLDERS_OF_FILES and not (is_report(path) or path.is_relative_to(PROOFS)):
            facts = [*_facts(root / path, ids), *[bits] * (bits in before.values())]
            found[str(_place(path, before) / f"{stem_of(path.name)}{path.suffix}")].append(", ".join(facts))
    return {place: sorted(facts) for place, facts in sorted(found.items())}


def _place(path: Path, before: Collection[str]) -> Path:
    """The folder of a file, without what is new each time: the day, and the id of a failed job."""
    days = {Path(name).parts[1] for name in before if name.startswith("done/")}
    if path.parts[0] == "done":
        return Path("done", path.parts[1] if path.parts[1] in days else "today")
    return Path(*map(without_id, path.parent.parts))


def _facts(path: Path, ids: Collection[str]) -> list[str]:
    """What a picture or an artifact says of itself, as far as it does not hang on the processor."""
    if path.suffix == ".png":
        return _said(opening(read_recipe, path, path.name, config_of(path.parent)).settings)
    if path.suffix != ".tiff":
        return []
    header = tiffsd.inspect(path)
    state = [header.state.value] if header.state else []
    step = [f"step {header.step} of {header.steps}"] if header.step is not None else []
    parent = [f"of {header.parent if header.parent in ids else 'a new one'}"] if header.parent else []
    history = [" -> ".join(map(_entry, header.history))] if header.history else []
    size = "x".join(map(str, header.size))
    return [header.kind.value, size, *state, *step, *parent, *_said(header.recipe), *history]


def _said(recipe: Mapping[str, Any]) -> list[str]:
    return [f"{key} {recipe[key]}" for key in ("prompt", "seed", "steps") if key in recipe]


def _entry(entry: Mapping[str, Any]) -> str:
    return f"{entry['stage']} ({entry['painted']} painted)" if "painted" in entry else str(entry["stage"])


def _failures(root: Path) -> dict[str, str]:
    """Why jobs failed, by stage and stem, for people to read."""
    reports = sorted(path for path in root.glob("failed/*/*/*.json") if is_report(path.relative_to(root)))
    failed = {report.parent.relative_to(root / "failed"): json.loads(report.read_text()) for report in reports}
    return {f"{folder.parent}/{without_id(folder.name)}": report["sentence"] for folder, report in failed.items()}
