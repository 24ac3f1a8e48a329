"""The folder failed/INBOX/STEM.ID/: the words of error.txt, the facts of error.json, and the way back."""

import json
import shlex
import stat
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from daemon import names
from daemon.errors import Kind, NotThere
from daemon.inbox.telling_names import is_housekeeping
from daemon.layout import FAILED, INBOX, TRASH
from daemon.spool.filesystem import Filesystem
from daemon.spool.records import ClaimRecord, Failure, is_waiting_place
from daemon.spool.transitions import THROWN, Transitions

UNCLEAR = "unclear"  # failed/unclear/: for files whose stage is not known any more
RESULTS = "results"  # the outputs of a job that may have published some of them
ASIDE = ".aside"  # ends the name of a folder in .trash/ of which is still to be seen whether it is emptied

ELSEWHERE = "To go on: "  # begins the line of error.txt on what another place takes

_REPORTS = ("error.txt", "error.json")
_OTHER_REPORTS = ("error-report.txt", "error-report.json")  # for drops that are named like a report themselves


def failure_of(record: ClaimRecord, inbox: str, sentence: str, facts: Mapping[str, Any], *, original: str | None = None) -> Failure:
    """What is told about a job whose files are known; `original` is the name of the one that is kept of them."""
    folder = names.output_name(names.portable(record.stem), record.id)
    files = ", ".join(map(names.shown, record.names.values()))
    sentence = names.shown(sentence)
    place, elsewhere = record.places.get("principal", f"{INBOX}/{inbox}"), str(facts.get("elsewhere") or "")
    text = f"{sentence}\n\nDropped: {files}\n"
    if elsewhere and f"{INBOX}/{inbox}" not in elsewhere:
        # Here it would fail once more, so no way back is offered.
        text += f"{ELSEWHERE}move {'them' if len(record.names) > 1 else 'it'} from here to {names.shown(elsewhere)}\n"
    else:
        text += f"To try again: put it right, then move it back to {names.shown(place)}\n"
        text += f"or run: tiffsd retry {shlex.quote(names.shown(folder))}\n"
        text += _way_to_original(original, inbox) if original else ""
    text += _more(facts.get("kind"))
    reports = _OTHER_REPORTS if set(_REPORTS) & set(record.names.values()) else _REPORTS
    known = {"sentence": sentence, "stage": record.stage, "stem": record.stem, "id": record.id, "files": record.names}
    known |= {"places": record.places} if record.places else {}
    return Failure(f"{FAILED}/{inbox}", folder, reports[0], text, reports[1], {**facts, **known})


def _way_to_original(original: str, inbox: str) -> str:
    way = f"To have its original back in hold/: put an empty file {names.shown(original)}.restore into {INBOX}/{inbox}\n"
    return f"{way}or run: tiffsd restore {shlex.quote(names.shown(original))}\n"


def failure_of_unknown(job: str, sentence: str) -> Failure:
    """What is told about a job whose own records are lost."""
    sentence = names.shown(sentence)
    text = f"{sentence}\n\nTo try again: move the files to the inbox they were dropped into.\n{_more(Kind.DAMAGED)}"
    return Failure(f"{FAILED}/{UNCLEAR}", job, _OTHER_REPORTS[0], text, _OTHER_REPORTS[1], {"sentence": sentence, "job": job})


def _more(kind: object) -> str:
    """The line that names the section of the documents."""
    return f"More: docs/troubleshooting.md#{kind}, or run: tiffsd help {kind}\n" if kind in set(Kind) else ""


def retry(transitions: Transitions, fs: Filesystem, failed: Path) -> list[Path]:
    """Move the files of a failed job back to where they waited and remove its reports; the new paths. Raises NotThere."""
    inbox = transitions.root / INBOX / failed.parent.name
    if failed.parent.parent != transitions.root / FAILED or not transitions.exists(inbox):
        raise NotThere(f"{failed} is not a failed job of this spool; name a folder such as failed/1-text/cat.3f9a1c2e.")
    if not transitions.exists(failed):
        raise NotThere(f"{failed} is not there; `tiffsd status` names the jobs that failed.")
    if _is_emptied(fs, failed):
        raise NotThere(f"{failed} holds no file any more, so there is nothing to try again: it was moved on by hand, or deleted.")
    files = [name for name in _files(fs, failed) if not is_housekeeping(name)]
    reports = _OTHER_REPORTS if set(_OTHER_REPORTS) <= set(files) else _REPORTS
    stem, order = _dropped_as(fs, failed / reports[1])
    files = sorted(set(files) - set(reports), key=lambda name: order.index(name) if name in order else -1)
    places = _waited(transitions, fs, failed / reports[1])
    homes = {name: places.get(name, inbox) for name in files}
    for folder in {*homes.values()} - {inbox}:
        transitions.ensure(folder)
    number = transitions.free_number((folder / name for name, folder in homes.items()), stem)
    moved = [transitions.move(failed / name, folder, name, number=number, stem=stem) for name, folder in homes.items()]
    for folder in dict.fromkeys(homes.values()):
        fs.fsync_folder(folder, "retry: the members in their inbox")
    _clear(fs, failed, reports)
    return [path for path in moved if path is not None]


def is_of_empty_files(fs: Filesystem, failed: Path, files: Collection[str]) -> bool:
    """Whether in the folder of a failed job lie these files, which are empty, and nothing else but its reports."""
    try:
        there = set(fs.list(failed)) - set(_REPORTS) - set(_OTHER_REPORTS)
        return there == set(files) and not any(fs.lstat(failed / name).st_size for name in there)
    except FileNotFoundError:
        return False


def clear_reports(fs: Filesystem, failed: Path) -> None:
    """Remove the reports of a job that has failed, and its folder where nothing is left in it."""
    with suppress(FileNotFoundError):  # who has finished with the files has cleared it already
        _clear(fs, failed, (*_REPORTS, *_OTHER_REPORTS))


def _dropped_as(fs: Filesystem, facts: Path) -> tuple[str, list[str]]:
    """The stem of the drop and the names of its files, the principal last; nothing where the report does not say."""
    try:
        report = json.loads(fs.read(facts))
        return str(report["stem"]), list(reversed([str(name) for name in report["files"].values()]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "", []  # people may edit or delete the report


def _waited(transitions: Transitions, fs: Filesystem, facts: Path) -> dict[str, Path]:
    """The folders by name in which those files waited that did not lie in the inbox of the stage."""
    try:
        report = json.loads(fs.read(facts))
        found = {str(report["files"][role]): str(place) for role, place in report.get("places", {}).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # people may edit or delete the report
    places = {name: transitions.root / place for name, place in found.items() if is_waiting_place(place)}
    # No report makes a folder but that of its own stage, which the claim may have left empty.
    return {name: place for name, place in places.items() if place.name == facts.parent.parent.name or transitions.exists(place)}


def _clear(fs: Filesystem, failed: Path, reports: tuple[str, ...]) -> None:
    for name in _files(fs, failed):
        if name in reports or is_housekeeping(name):
            fs.unlink(failed / name)
    if not fs.list(failed):
        fs.rmdir(failed)


def _files(fs: Filesystem, folder: Path) -> list[str]:
    return [name for name in fs.list(folder) if not stat.S_ISDIR(fs.lstat(folder / name).st_mode)]


def clear_emptied(transitions: Transitions, fs: Filesystem, record: ClaimRecord) -> None:
    """Remove the folders in failed/ of earlier tries of a drop, in whatever inbox, where somebody has moved its files out by hand.

    What another hand puts there meanwhile stays, with its folder. Raises OSError, also where there is no failed/.
    """
    failed, stem = transitions.root / FAILED, names.portable(record.stem)
    for inbox, is_folder in fs.kinds(failed).items():
        for name in fs.list(failed / inbox) if is_folder and inbox != UNCLEAR else ():
            if name.startswith(stem) and names.without_id(name) == stem and not name.endswith(record.id):
                clear_if_emptied(fs, transitions.root, failed / inbox / name)


def clear_if_emptied(fs: Filesystem, root: Path, failed: Path) -> bool:
    """Remove the folder of a failed job if nothing is left of it but its reports, beside what programs put there for themselves.

    Whether that is so counts where nobody else reaches it any more, since anything may be put back meanwhile.
    """
    if not _is_emptied(fs, failed):
        return False
    aside = root / TRASH / names.fitted(failed.name, ASIDE)
    fs.rename_noreplace(failed, aside)
    if (thrown := _thrown(fs, aside)) is None:
        fs.rename_noreplace(aside, failed)
        return False
    for name in fs.list(thrown):
        fs.unlink(thrown / name)
    fs.rmdir(thrown)
    return True


def throw_emptied(fs: Filesystem, root: Path) -> None:
    """Let go of emptied folders which a crash left halfway: whoever empties the trash next takes them away."""
    for name in fs.list(root / TRASH):
        if name.endswith(ASIDE):
            with suppress(OSError):  # what stays there is named with the rest of the trash
                _thrown(fs, root / TRASH / name)


def _thrown(fs: Filesystem, aside: Path) -> Path | None:
    """Where the folder lies as one to be deleted; None where something of a person's is in it."""
    if not _is_emptied(fs, aside):
        return None
    thrown = aside.with_name(aside.name.removesuffix(ASIDE) + THROWN)
    fs.rename_noreplace(aside, thrown)
    return thrown


def _is_emptied(fs: Filesystem, failed: Path) -> bool:
    found = set(fs.list(failed)) if stat.S_ISDIR(fs.lstat(failed).st_mode) else set[str]()
    left = {name for name in found if not is_housekeeping(name)}
    if len(_files(fs, failed) if left else []) < len(found):
        return False
    reports = _OTHER_REPORTS if set(_OTHER_REPORTS) <= left else _REPORTS
    stem, files = _dropped_as(fs, failed / reports[1])
    # A drop may be named like a report: only the facts tell which is which.
    return bool(stem) and left <= set(reports) and not left & set(files)
