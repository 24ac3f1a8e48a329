"""Names that tell what a file is before anybody looks into it: a sign, housekeeping, not finished, a copy of a conflict.

The one list of what is nobody's drop: the scan, the counts of `tiffsd status`, retries, retention and `tiffsd check` all ask here.
Names are compared in any case: Windows and macOS do not tell `pause` from `PAUSE`, and people who type one do not either.
"""

import re

from daemon.layout import HOLD, HOLD_SIGN, INBOX, PAUSE_SIGN

README = "README"
# Where the ending is hidden, as Windows does, who types PAUSE.txt makes PAUSE.txt.txt.
_SIGN = re.compile(rf"({PAUSE_SIGN}|{HOLD_SIGN})(?:\.txt)*|({README})(?:\.txt|\.md)?", re.IGNORECASE)

# Where a sign counts; a README counts nowhere.
COUNTS_IN = {PAUSE_SIGN: INBOX, HOLD_SIGN: HOLD}

# Programs that write under one name and rename to another; only the other is a drop.
_TEMPORARY_ENDINGS = (
    *("~", ".part", ".partial", ".crdownload", ".download", ".filepart", ".tacitpart", ".tmp", ".temp", ".swp", ".swo", ".swx"),
    *(".uploading", ".!ut", ".aria2", ".opdownload", ".!sync"),
)
_TEMPORARY_STARTS = (".", "~")
_TEMPORARY_NAMES = frozenset({"4913"})

# What editors, desktops and shares put beside people's files for themselves. Nobody means it to be used, and it may stay for ever.
# Backups and documents of editors, copies that TextEdit saves into, marks of downloads (by NTFS, and as Samba maps their colon),
# streams of a NAS.
_HOUSEKEEPING_ENDINGS = ("~", ".xcf", ".kra", ".xmp", ".pp3", "zone.identifier", "@synoeastream", "@synoresource")
_HOUSEKEEPING_STARTS = ("._", "~$", ".~lock.", ".stfolder.removed-", ".sync_", "._sync_", ".trash-")
_HOUSEKEEPING_NAMES = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "recycler", "system volume information"),
        *("icon\r", ".ds_store", ".localized", ".apdisk", ".appledouble", ".fseventsd", ".spotlight-v100", ".temporaryitems"),
        *(".trashes", ".trash", ".volumeicon.icns", ".documentrevisions-v100", "__macosx"),
        *("@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", ".@__thumb", ".recycle", ".snapshot", ".snapshots"),
        *(".stfolder", ".stignore", ".stversions", ".sync", ".dropbox", ".dropbox.attr", ".dropbox.cache", ".owncloudsync.log"),
        *(".nextcloudsync.log", ".directory", ".hidden", ".nomedia", "lost+found"),
    }
)
_SAVED_INTO = re.compile(r"\.sb-[0-9a-f]{8}-\w+\Z", re.IGNORECASE)

# What sync programs add to the name of one of two versions that they could not bring together: Syncthing; Dropbox and Nextcloud;
# ownCloud; Seafile; Unison; Synology Drive; rclone bisync.
_CONFLICT = re.compile(
    r"\.sync-conflict-\d{8}-\d{6}(?:-[A-Z2-7]{7})?"
    r"| ?\([^()]*conflict(?:ed)? copy[^()]*\)"
    r"|_conflict-\d{8}-\d{6}"
    r"| ?\(SFConflict [^()]*\)"
    r"| ?\(conflict(?: #\d+)? on \d{4}-\d\d-\d\d\)"
    r"|_[A-Z][a-z]{2}-\d\d-\d{6}-\d{4}_conflict"
    r"|\.conflict\d+(?=\.|\Z)",
    re.IGNORECASE,
)


FOLDER_SENTENCE = "is a folder; move the files in it here one by one"


def sign_of(name: str) -> str | None:
    """Which sign of a person's a file is by its name, PAUSE, HOLD or README; None for any other."""
    found = _SIGN.fullmatch(name)
    return (found[1] or found[2]).upper() if found else None


def sign_sentence(sign: str, stage_folder: str) -> str:
    """What is to be said of a sign that lies where it does not count, behind its name."""
    there = f"is the sign {sign}, which counts in {COUNTS_IN[sign]}/{stage_folder}"
    return f"{there}; move it there, or rename it if it is meant to be used"


def is_housekeeping(name: str) -> bool:
    """Whether a name is one that programs give to what they keep for themselves beside people's files, not worth a word."""
    lower = name.lower()
    named = lower in _HOUSEKEEPING_NAMES or lower.startswith(_HOUSEKEEPING_STARTS) or lower.endswith(_HOUSEKEEPING_ENDINGS)
    return named or _SAVED_INTO.search(lower) is not None


def is_temporary(name: str) -> bool:
    """Whether a name is one that programs give to files they have not finished, or to their housekeeping."""
    lower = name.lower()
    return (
        is_housekeeping(name)
        or lower.startswith(_TEMPORARY_STARTS)
        or lower.endswith(_TEMPORARY_ENDINGS)
        or lower in _TEMPORARY_NAMES
        or (lower.startswith("#") and lower.endswith("#"))
    )


def is_nobodys(name: str) -> bool:
    """Whether a name is that of no drop: a sign, a file that is not finished, housekeeping."""
    return sign_of(name) is not None or is_temporary(name)


def conflict_of(name: str) -> str | None:
    """Of which file a sync program made this copy, because it was changed in two places at once; None of any other name."""
    original = _CONFLICT.sub("", name)
    return original if original != name and original else None


def conflict_sentence(original: str) -> str:
    """What is to be said of such a copy, behind its name."""
    return (
        f"is a copy that a sync program made because {original} was changed in two places at once; "
        "compare the two, and rename the copy if it is meant to be used, or delete it"
    )
