"""A service as 0.1.0 was set up, with jobs in every state, and then this version: the folders are the daemon's, the jobs go on."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import tiffsd
from daemon.layout import ALIVE, ALIVE_MODE, LOCK, LOCK_MODE, PRIVATE, folders
from daemon.stages import STAGES
from tests.conftest import wait_until
from tests.spool.test_frozen import ARCHIVES
from tests.system.box import CHECKOUT
from tests.system.installed import SPOOL, Installed
from tests.system.test_people import EDIT, HELD, held

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

FOLDERS = folders(stage.folder for stage in STAGES.values())
INSIDE = {folder: SPOOL if folder.path == "." else f"{SPOOL}/{folder.path}" for folder in FOLDERS}
# The lines of 0.1.0: each folder that members may look into was theirs to change, the root too.
OLD_MODES = {inside: "0700" if folder.path in PRIVATE else "2770" for folder, inside in INSIDE.items()}
OLD_LINES = [
    *(f"d {inside} {mode} tiffsd tiffsd -" for inside, mode in OLD_MODES.items()),
    *(f"a+ {SPOOL}{below} - - - - default:user::rwx,default:group::rwx,default:other::---" for below in ("", "/*", "/*/*")),
]
ARCHIVE = next(path for path in ARCHIVES if "0.1.0" in path.name)
LEFT_BY_IT = json.loads(ARCHIVE.with_name(ARCHIVE.name.replace(".tar.xz", ".json")).read_text())["worked off"]["files"]
WARNING = "alice can replace folders of the daemon's by folders of their own; run `chmod g-w"


@pytest.fixture(scope="module")
def upgraded(installed: Installed) -> Iterator[Installed]:
    """The service after its upgrade and two restarts; the spool of the other tests comes back at the end."""
    installed.configure()
    installed.control("reset-failed")  # so many starts in a row would else be the last
    installed.control("stop")
    installed.box.sh(f"mv {SPOOL} {SPOOL}-of-today")
    _lay_out_as_before(installed)
    cursor = installed.cursor()
    installed.control("start")
    installed.said(WARNING, after=cursor)
    installed.box.sh("systemd-tmpfiles --create")
    for _ in range(2):
        installed.control("restart")
    yield installed
    installed.control("stop")
    installed.box.sh(f"rm -r {SPOOL}; mv {SPOOL}-of-today {SPOOL}")


def _lay_out_as_before(service: Installed) -> None:
    """The folders, the jobs and the modes as they were; signs are gone, so that all goes on."""
    service.box.path("/run/old.conf").write_text("\n".join(OLD_LINES) + "\n")
    service.box.sh(
        f"systemd-tmpfiles --create /run/old.conf; cd {SPOOL};"
        f"tar -xJf /opt/source/{ARCHIVE.relative_to(CHECKOUT)} --strip-components=1 --no-overwrite-dir;"
        f"find . '(' -name 'PAUSE*' -o -name 'HOLD*' ')' -delete; chown -R tiffsd:tiffsd .;"
        f"chmod g+rwX inbox/* hold/* failed/* done/*; chmod 0644 {LOCK}"
    )


def mode(service: Installed, path: str) -> str:
    return service.box.sh(f"stat --format='%a %U %G' {path}").strip()


def test_every_folder_has_the_mode_of_the_table(upgraded: Installed) -> None:
    found = {folder.path: mode(upgraded, inside) for folder, inside in INSIDE.items()}
    assert found == {folder.path: f"{folder.writers.value:o} tiffsd tiffsd" for folder in FOLDERS}


def test_the_lock_and_the_sign_of_life_have_theirs(upgraded: Installed) -> None:
    assert mode(upgraded, f"{SPOOL}/{LOCK}") == f"{LOCK_MODE:o} tiffsd tiffsd"
    assert mode(upgraded, f"{SPOOL}/{ALIVE}") == f"{ALIVE_MODE:o} tiffsd tiffsd"
    assert "daemon: running" in upgraded.box.sh("/opt/tiffsd/bin/tiffsd status --config /etc/tiffsd/config.yaml", user="alice")


def test_nothing_is_left_to_complain_of(upgraded: Installed) -> None:
    status = json.loads((upgraded.spool / "status.json").read_text())
    assert status["complaints"] == []


def test_every_job_that_it_left_comes_to_an_end(upgraded: Installed) -> None:
    stems = {Path(name).name.split(".")[0] for name in LEFT_BY_IT if name.startswith(("done/", "failed/", "hold/"))} - {"HOLD"}
    ended = ("done", "failed", "hold")

    def missing() -> set[str]:
        there = {path.name.split(".")[0] for folder in ended for path in (upgraded.spool / folder).rglob("*")}
        return stems - there

    # A job between two stages is in no folder of `.work`, and a walk can miss what moves meanwhile: so both, and again.
    wait_until(lambda: not list((upgraded.spool / ".work").iterdir()) and not missing(), seconds=120, what="every job has ended")


@pytest.mark.parametrize("folder", [".work", "pictures", "done", "inbox/2-diffuse", "failed/1-text", LOCK])
def test_a_member_cannot_put_a_folder_of_hers_in_place_of_the_daemons(upgraded: Installed, folder: str) -> None:
    tried = upgraded.box.run("sh", "-c", f"mv {SPOOL}/{folder} {SPOOL}/{folder}-aside", user="alice", check=False)
    assert "Permission denied" in tried.stderr


def test_a_member_drops_edits_and_approves_as_before(upgraded: Installed) -> None:
    path = held(upgraded, "moved-on")
    new = f"{path.parent}/.new"
    upgraded.box.run("/opt/tiffsd/bin/python", "-c", EDIT, path, new, user="alice")
    upgraded.box.sh(f"mv {new} {path}; mv {path} {SPOOL}/inbox/2-diffuse/", user="alice")
    (picture,) = upgraded.found("pictures/moved-on.*.tiff")
    notes = [note for entry in tiffsd.inspect(picture).history for note in entry.get("notes", [])]
    assert any("16 of 1024 values" in note for note in notes)
    upgraded.box.sh(f"mv {SPOOL}/pictures/{picture.name} ~", user="alice")


def test_a_member_approves_by_the_command_as_before(upgraded: Installed) -> None:
    path = held(upgraded, "released")
    upgraded.box.sh(f"/opt/tiffsd/bin/tiffsd release {path.name} --config /etc/tiffsd/config.yaml", user="alice")
    upgraded.found("pictures/released.*.png")


def test_a_member_cancels_and_retries_as_before(upgraded: Installed) -> None:
    upgraded.drop("inbox/1-text", "again.txt", HELD.replace("hold: diffuse", "steps: 1000"))
    running = upgraded.running("again")
    upgraded.box.sh(f"rm {SPOOL}/running/{running.name}", user="alice")
    (failed,) = upgraded.found("failed/*/again.*/error.txt")
    name = failed.parent.name
    upgraded.box.sh(f"/opt/tiffsd/bin/tiffsd retry {name} --config /etc/tiffsd/config.yaml", user="alice")
    again = upgraded.running("again")
    upgraded.box.sh(f"/opt/tiffsd/bin/tiffsd cancel {again.stem} --config /etc/tiffsd/config.yaml", user="alice")
    (failed,) = upgraded.found("failed/*/again.*/error.txt")
    upgraded.box.sh(f"rm -r {SPOOL}/failed/{failed.parent.parent.name}/{failed.parent.name}", user="alice")


def test_what_the_daemon_makes_later_is_open_to_members_too(upgraded: Installed) -> None:
    held(upgraded, "of-today")
    (day,) = [path for path in (upgraded.spool / "done").iterdir() if list(path.glob("of-today*"))]
    upgraded.box.sh(f"mv {SPOOL}/done/{day.name}/of-today.txt ~; rm {SPOOL}/hold/2-diffuse/of-today.*", user="alice")
