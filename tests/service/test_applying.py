"""Paint that is taken while its latents wait: what errors, crashes and other programs leave of it; a daemon in this process."""

import errno
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from daemon.layout import PROOFS
from daemon.spool.filesystem import Filesystem
from tests.leases import leased
from tests.service.test_proofs import CAT, Desk, paint, pixels

SIGNED = {f"{CAT}.tiff", f"{CAT}.proof.png", f"{CAT}.apply"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.service.stop()


def _signed(desk: Desk) -> None:
    """Latents on hold with paint on their proof, and the sign that asks for it."""
    _, proof = desk.with_proof()
    paint(proof)
    (desk.held / f"{CAT}.apply").touch()


def _on_hold(desk: Desk) -> set[str]:
    return {path.name for path in desk.held.iterdir()}


def _applied(desk: Desk) -> None:
    desk.until(lambda: not _on_hold(desk) & SIGNED, "the old ones are gone")
    assert pixels(desk.found("hold/3-decode/cat.????????.proof.png"))[20:36, 20:36].reshape(-1, 3).mean(axis=0)[0] > 150
    assert {found.name for found in desk.root.glob("done/*/*")} >= SIGNED
    assert not list(desk.inbox.iterdir())
    assert not list((desk.root / "pictures").iterdir())


def test_latents_whose_paint_cannot_be_taken_now_wait_on_hold_and_their_stage_rests(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[float] = []

    def full(self: Filesystem, path: Path) -> BinaryIO:
        if path.name.startswith(".commit.json"):
            tries.append(time.monotonic())
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        return create(self, path)

    create = Filesystem.create
    monkeypatch.setattr(Filesystem, "create", full)
    monkeypatch.setattr("daemon.service.backoff.FIRST_BACKOFF_SECONDS", 300.0)  # however slow the machine is
    _signed(desk)
    desk.until(lambda: tries, "the first try")
    desk.until(lambda: _on_hold(desk) >= SIGNED, "all of it is back on hold")
    assert not list(desk.inbox.iterdir()), "as if somebody had approved them"
    assert "returned to hold/3-decode, will retry" in caplog.text
    desk.until(lambda: desk.service._backoff.is_backing_off("decode", time.monotonic()), "decode rests")
    for _ in range(20):
        desk.service._request_scan()
        desk.service.tick(time.monotonic())
    assert len(tries) == 1, "a full disk is not hammered"
    monkeypatch.undo()
    desk.service._backoff.recovered("decode")
    _applied(desk)


def test_a_claim_that_the_machine_refuses_leaves_all_on_hold_and_is_tried_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[Path] = []

    def refusing(self: Filesystem, source: Path, target: Path) -> None:
        if target.name == f"{CAT}.tiff" and target.parent.name == "in":
            refused.append(source)
            raise OSError(errno.EIO, os.strerror(errno.EIO), source)
        rename(self, source, target)

    rename = Filesystem.rename
    monkeypatch.setattr(Filesystem, "rename", refusing)
    _signed(desk)
    desk.until(lambda: refused, "the first try")
    assert _on_hold(desk) >= SIGNED
    assert not list(desk.inbox.iterdir())
    monkeypatch.undo()
    desk.service._backoff.recovered("decode")
    _applied(desk)


def test_a_crash_while_paint_is_taken_approves_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    _signed(desk)
    (drop,) = desk.service._proofs._folders["decode"].look(time.monotonic()).drops
    claim = desk.service.spool.claim("decode", drop, principal_last=True)
    assert claim is not None
    desk.service.spool.give_back(claim)
    assert _on_hold(desk) >= SIGNED
    assert desk.service.spool.claim("decode", drop, principal_last=True) is not None
    desk.service.stop()  # nobody has the claim: as after a kill
    again = Desk(tmp_path)
    _applied(again)
    again.service.stop()


def test_paint_that_a_crash_left_aside_comes_back_beside_its_latents(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    path, proof = desk.with_proof()
    paint(proof)
    painted = proof.read_bytes()
    desk.service.stop()
    aside = desk.root / PROOFS / "aside" / proof.parent.name
    aside.mkdir(parents=True)
    proof.rename(aside / proof.name)
    again = Desk(tmp_path)
    again.until(proof.exists, "it is back")
    again.idle()
    assert proof.read_bytes() == painted
    assert path.exists()
    again.service.stop()


def test_latents_wait_for_a_proof_that_another_program_holds(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.service.intake.IN_USE_SECONDS", 0.2)
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        path, proof = desk.with_proof()
        paint(proof)
        with leased(proof):
            path.rename(desk.inbox / path.name)
            reason = "waits for its proof, which another program holds"
            desk.until(lambda: reason in str(desk.service._intake.scans["decode"].waiting), "it waits, with a sentence")
            assert (desk.inbox / path.name).exists()
        made = pixels(desk.found("pictures/cat.*.png"))
    finally:
        signal.signal(signal.SIGIO, before)
    assert made[20:36, 20:36].reshape(-1, 3).mean(axis=0)[0] > 150
    assert desk.found(f"done/*/{CAT}.proof.png")
