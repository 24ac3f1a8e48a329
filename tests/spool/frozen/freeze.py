"""Freeze a spool of the version that runs this: `python -m tests.spool.frozen.freeze`.

The archive holds jobs in every state of every record, and whatever else people and the daemon leave in a spool; the JSON beside it
what this version makes of that. All of it comes from the code as it is, the embedded model, and daemons that are killed at a call.
Twice frozen by the same version, all of it is the same but the profiles in PNGs, which hold the time, and the inodes and times by
which `.owners` and `.recent` know files; on another machine the bits of latents may differ too.
"""

import json
import logging
import lzma
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.spool.disk import NOON
from tests.spool.frozen.deaths import leave_jobs
from tests.spool.frozen.people import furnish, leave_behind
from tests.spool.frozen.thaw import BOOTS, recovered, unpacked, worked_off
from tests.spool.frozen.workshop import Workshop, same_each_time

HERE = Path(__file__).parent


def main() -> None:
    """Make the spool, pack it, and note what becomes of it."""
    name = f"spool-{version('tiffsd')}"
    archive = HERE / f"{name}.tar.xz"
    if archive.exists():
        sys.exit(f"{archive} is frozen already, and must stay as that version left it; raise the version first.")
    logging.disable()  # jobs fail here on purpose
    with TemporaryDirectory(prefix="tiffsd-") as folder:
        pack(made(Path(folder) / "spool"), archive)
    expected = {"version": version("tiffsd"), "recovered": recoveries(archive), "worked off": end(archive)}
    (HERE / f"{name}.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
    sys.stdout.write(f"{archive}: {archive.stat().st_size / 1000:.0f} kB\n")


def made(root: Path) -> Path:
    """The spool that is frozen."""
    with same_each_time():
        workshop = Workshop(root)
        try:
            furnish(workshop)
            leave_jobs(workshop)
            leave_behind(workshop)
        finally:
            workshop.close()
    return root


def pack(root: Path, archive: Path) -> None:
    """Put a spool into an archive that tells nothing of this machine."""
    with lzma.open(archive, "w", preset=9 | lzma.PRESET_EXTREME) as file, tarfile.open(fileobj=file, mode="w") as tar:
        for path in [root, *sorted(root.rglob("*"))]:
            tar.add(path, str(path.relative_to(root.parent)), recursive=False, filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    mode = 0o755 if member.isdir() else 0o644
    return member.replace(mtime=int(NOON.timestamp()), mode=mode, uid=0, gid=0, uname="", gname="", deep=False)


def recoveries(archive: Path) -> dict[str, Any]:
    """What `recover` makes of it, for each answer to the question whether the machine ran on."""
    found = {}
    for when, boot in BOOTS.items():
        with TemporaryDirectory(prefix="tiffsd-") as folder:
            found[when] = recovered(unpacked(archive, Path(folder)), boot)
    return found


def end(archive: Path) -> dict[str, Any]:
    """What the daemon makes of it."""
    with TemporaryDirectory(prefix="tiffsd-") as folder:
        return worked_off(unpacked(archive, Path(folder)))


if __name__ == "__main__":
    main()
