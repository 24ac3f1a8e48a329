"""People at a Samba share: a real smbd with the configuration of docs/shares.md, and clients that do what Explorer and Finder do.

The daemon is another user than the owners of the files: once it may ask for leases on them (CAP_LEASE), once it may not.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tiffsd
from daemon.names import id_of
from tests.conftest import wait_until
from tests.real.fast_daemon import FastDaemon, came_of, says, stages_of, texts_of
from tests.real.fast_worker import ENDLESS
from tests.real.host import ALICE, BOB, Host
from tests.real.samba import Samba
from tests.real.smb_client import SmbClient


@pytest.fixture(scope="module")
def samba(host: Host) -> Iterator[Samba]:
    with Samba(host) as samba:
        yield samba


@pytest.fixture
def daemon(serving: FastDaemon) -> FastDaemon:
    return serving


@pytest.fixture(scope="module")
def alice(samba: Samba) -> SmbClient:
    return samba.client()


def passes_over(daemon: FastDaemon) -> None:
    """Wait until a file that was dropped later than all others has been used."""
    stem = f"later {len(list(daemon.spool.glob('done/*/*')))}"
    daemon.drop("inbox/1-text", f"{stem}.txt", stem)
    came_of(daemon, stem, stem)


def test_what_is_copied_size_first_is_used_once_and_whole(daemon: FastDaemon, alice: SmbClient) -> None:
    alice.drop("inbox/1-text/size first.txt", "a red house")
    came_of(daemon, "size first", "a red house")
    (used,) = daemon.spool.glob("done/*/size first.txt")
    assert used.stat().st_uid == ALICE


@pytest.mark.parametrize("begins", ["half", "its size, then half", "empty"])
def test_a_client_that_stalls_for_longer_than_is_waited_is_used_whole_in_the_end(
    begins: str, leases: bool, daemon: FastDaemon, samba: Samba
) -> None:
    stem, whole, client = f"stalled {begins}", "a red house that came in two halves", samba.client()
    handle = client.open(f"inbox/1-text/{stem}.txt")
    if begins.startswith("its size"):
        client.truncate(handle, len(whole))
    half = 0 if begins == "empty" else 5
    client.write(handle, whole[:half])
    # A file that was dropped later has stood still for as long, and was used: the client has stalled for longer.
    daemon.drop("inbox/1-text", f"beside {stem}.txt", stem)
    came_of(daemon, f"beside {stem}", stem)
    client.write(handle, whole[half:])
    client.close(handle)
    wait_until(lambda: texts_of(daemon, stem) == [whole], what=f"{stem} is used whole: {texts_of(daemon, stem)}")
    made = [tiffsd.inspect(path).recipe["prompt"] for path in daemon.found(f"hold/2-diffuse/{stem}.*.tiff")]
    assert made.count(whole) == 1
    assert not leases or made == [whole], "whom a lease tells that it is open waits for all of it"
    assert not list(daemon.spool.glob(f"failed/*/{stem}.*"))


def test_streams_of_a_file_change_nothing_of_it(daemon: FastDaemon, alice: SmbClient) -> None:
    alice.drop("inbox/1-text/from afar.txt.part", "a house from afar")
    alice.drop("inbox/1-text/from afar.txt.part:Zone.Identifier", "[ZoneTransfer]\r\nZoneId=3\r\n")
    alice.rename("inbox/1-text/from afar.txt.part", "inbox/1-text/from afar.txt")
    came_of(daemon, "from afar", "a house from afar")
    assert not list(daemon.spool.glob("inbox/1-text/*"))


@pytest.mark.parametrize("words_come", ["in time", "late"])
def test_a_new_text_document_runs_once_and_under_the_name_that_it_is_given(
    daemon: FastDaemon, alice: SmbClient, words_come: str
) -> None:
    stem, text = f"typed {words_come}", f"a house that is typed {words_come}"
    alice.drop("inbox/1-text/New Text Document.txt")  # as Explorer makes it
    alice.rename("inbox/1-text/New Text Document.txt", f"inbox/1-text/{stem}.txt")
    if words_come == "late":
        daemon.found(f"failed/1-text/{stem}.*")
    alice.drop(f"inbox/1-text/{stem}.txt", text)  # an editor opens a file only to save it
    (made,) = daemon.found(f"hold/2-diffuse/{stem}.*.tiff")
    assert tiffsd.read(made).header.recipe["prompt"] == text
    wait_until(lambda: text in texts_of(daemon, stem), what="what was typed lies in done/")
    assert [word for word in texts_of(daemon, stem) if word] == [text]
    assert not list(daemon.spool.glob(f"failed/*/{stem}.*"))
    assert not list(daemon.spool.glob("*/*/New Text Document*"))


def test_a_sign_as_windows_writes_it_lets_a_stage_rest(daemon: FastDaemon, alice: SmbClient) -> None:
    alice.drop("inbox/1-text/Pause.txt")
    says(daemon, "text", "paused", True)
    alice.drop("inbox/1-text/patient.txt", "a patient house")
    says(daemon, "text", "waiting", 1)
    alice.remove("inbox/1-text/Pause.txt")
    came_of(daemon, "patient", "a patient house")


def test_a_sign_as_people_type_it_turns_a_gate_on_and_a_move_approves(daemon: FastDaemon, alice: SmbClient) -> None:
    alice.drop("hold/3-decode/hold.txt")
    alice.drop("inbox/1-text/gated.txt", "a gated house")
    (noise,) = daemon.found("hold/2-diffuse/gated.*.tiff")
    alice.rename(f"hold/2-diffuse/{noise.name}", f"inbox/2-diffuse/{noise.name}")
    (held,) = daemon.found("hold/3-decode/gated.*.tiff")
    says(daemon, "decode", "gated", True)
    alice.remove("hold/3-decode/hold.txt")
    alice.rename(f"hold/3-decode/{held.name}", f"inbox/3-decode/{held.name}")
    daemon.found("pictures/gated.*.png")


def test_what_is_painted_in_place_over_the_share_counts(daemon: FastDaemon, alice: SmbClient, tmp_path: Path) -> None:
    alice.drop("inbox/1-text/painted.txt", "a house to be painted")
    (noise,) = daemon.found("hold/2-diffuse/painted.*.tiff")
    name = f"hold/2-diffuse/{noise.name}"
    here = tmp_path / noise.name
    here.write_bytes(alice.read(name))
    artifact = tiffsd.read(here)
    changed = {**artifact.tensors, "latents": artifact.tensors["latents"] + np.float32(1)}
    tiffsd.write(here, tiffsd.Artifact(artifact.header, changed))
    alice.save(name, here.read_bytes())
    alice.rename(name, f"inbox/2-diffuse/{noise.name}")
    daemon.found("pictures/painted.*.png")
    (picture,) = daemon.found("pictures/painted.*.tiff")
    (used,) = daemon.spool.glob(f"done/*/{noise.name}")
    np.testing.assert_array_equal(tiffsd.read(used).tensors["latents"], changed["latents"])
    assert tiffsd.read(picture).tensors["picture"].mean() == pytest.approx(changed["latents"][:3].mean() / 2, abs=1e-4)


def test_what_failed_is_put_right_and_moved_back_and_nothing_of_it_is_left(daemon: FastDaemon, alice: SmbClient) -> None:
    alice.drop("inbox/1-text/once more.txt", "---\nsteps: many\n---\na house")
    (failed,) = daemon.found("failed/1-text/once more.*")
    says(daemon, "text", "failed", 1)
    place = f"failed/1-text/{failed.name}"
    assert alice.names(place) == ["error.json", "error.txt", "once more.txt"]
    assert b"steps" in alice.read(f"{place}/error.txt")
    alice.save(f"{place}/once more.txt", b"a house")
    alice.rename(f"{place}/once more.txt", "inbox/1-text/once more.txt")
    daemon.found("hold/2-diffuse/once more.*.tiff")
    says(daemon, "text", "failed", 0)
    assert alice.names("failed/1-text") == []


def test_a_job_is_cancelled_by_deleting_its_file(daemon: FastDaemon, alice: SmbClient) -> None:
    alice.drop("inbox/1-text/endless.txt", ENDLESS)
    (running,) = daemon.found("running/endless.*.txt")
    assert alice.names("running") == [running.name]
    alice.remove(f"running/{running.name}")
    (failed,) = daemon.found("failed/1-text/endless.*")
    assert "cancelled" in (failed / "error.txt").read_text()
    alice.remove(f"failed/1-text/{failed.name}/endless.txt")


def test_a_copy_of_a_conflict_waits_and_is_told_of(daemon: FastDaemon, alice: SmbClient) -> None:
    copy = "twice.sync-conflict-20261130-120000-ABCDEF7.txt"
    alice.drop(f"inbox/1-text/{copy}", "a house, changed elsewhere")
    alice.drop("inbox/1-text/twice.txt", "a house")
    came_of(daemon, "twice", "a house")
    wait_until(lambda: any(copy in str(word) for word in stages_of(daemon)["text"]["waits"]), what="it is told of")
    alice.rename(f"inbox/1-text/{copy}", "inbox/1-text/another.txt")
    came_of(daemon, "another", "a house, changed elsewhere")


def test_what_desktops_leave_is_refused_by_the_server_or_counts_for_nothing(daemon: FastDaemon, alice: SmbClient) -> None:
    for folder in ("inbox/1-text", "hold/2-diffuse", "failed/1-text"):
        for name in (".DS_Store", "._cat.txt", "desktop.ini", "Thumbs.db"):
            with pytest.raises(OSError, match="No such file"):
                alice.drop(f"{folder}/{name}", "x")
        for name in ("~$cat.txt", "cat.txt~"):
            alice.drop(f"{folder}/{name}", "x")
        for name in ("@eaDir", ".stfolder"):
            (daemon.spool / folder / name).mkdir()
    passes_over(daemon)
    says(daemon, "diffuse", "held", len(list(daemon.spool.glob("hold/2-diffuse/*.tiff"))))
    reports = {"error.txt", "error.json"}
    jobs = [report.parent for report in daemon.spool.glob("failed/1-text/*/error.txt")]
    says(daemon, "text", "failed", sum(not {path.name for path in job.iterdir()} <= reports for job in jobs))
    says(daemon, "text", "waiting", 0)
    says(daemon, "text", "waits", [])


def test_the_daemons_own_folders_are_not_to_be_seen(daemon: FastDaemon, alice: SmbClient) -> None:
    assert (daemon.spool / ".work").is_dir()
    assert not [name for name in alice.names("") if name in (".work", ".keep", ".trash", ".lock", ".alive", ".owners", ".recent")]
    with pytest.raises(OSError, match="No such file"):
        alice.drop(".work/x.txt", "x")


def test_names_that_windows_does_not_take_give_results_that_it_does(daemon: FastDaemon, alice: SmbClient) -> None:
    for number, name in enumerate(('why? "a":b*c.txt', "back\\slash.txt", "con.txt", "dots. . .txt")):
        daemon.drop("inbox/1-text", name, f"odd name {number}")
    wanted = {"why_ _a__b_c", "back_slash", "con_", "dots"}
    wait_until(lambda: wanted <= {name.split(".")[0] for name in alice.names("hold/2-diffuse")}, what="all are there")
    seen = [name for name in alice.names("hold/2-diffuse") if name.split(".")[0] in wanted]
    assert len(seen) == len(wanted)
    assert all(id_of(name) and name.endswith(".tiff") for name in seen)
    assert all(alice.read(f"hold/2-diffuse/{name}").startswith(b"II") for name in seen)


def test_a_file_of_another_member_is_approved_by_anyone(daemon: FastDaemon, samba: Samba, alice: SmbClient) -> None:
    bob = samba.client("bob")
    bob.drop("inbox/1-text/of bob.txt", "a house of bob's")
    (noise,) = daemon.found("hold/2-diffuse/of bob.*.tiff")
    (used,) = daemon.found("done/*/of bob.txt")
    assert used.stat().st_uid == BOB
    alice.rename(f"hold/2-diffuse/{noise.name}", f"inbox/2-diffuse/{noise.name}")
    daemon.found("pictures/of bob.*.png")


def test_what_a_client_that_died_left_half_written_is_not_drawn(daemon: FastDaemon, samba: Samba) -> None:
    client = samba.client()
    handle = client.open("inbox/1-text/half.txt")
    client.truncate(handle, 1000)
    client.write(handle, "a red ")
    client.die()
    (failed,) = daemon.found("failed/1-text/half.*")
    assert "half.txt" in (failed / "error.txt").read_text()
    assert not list(daemon.spool.glob("hold/2-diffuse/half.*"))


def test_a_file_that_is_opened_again_over_a_long_way_is_there_where_the_inbox_waits_for_that(
    host: Host, leases: bool, daemon: FastDaemon, samba: Samba
) -> None:
    assert daemon.stop() == 0
    patient = host.daemon(leases=leases, name="patient", stages={"diffuse": {"hold": True}, "text": {"settle_seconds": 3.0}})
    far = samba.client(seconds=0.3)
    far.drop("inbox/1-text/opened again.txt", "a house")
    far.save("inbox/1-text/opened again.txt", b"a house that is opened again")
    came_of(patient, "opened again", "a house that is opened again")
    assert patient.stop() == 0
    daemon.start()
