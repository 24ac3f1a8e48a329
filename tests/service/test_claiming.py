"""Several drops are claimed at a time, and workers that the machine has no room for are refused."""

import threading
import time
from pathlib import Path

import pytest

from daemon.errors import ConfigError
from daemon.inbox.grouping import Drop
from daemon.service.claiming import Claims
from daemon.service.model_sizes import largest_model
from daemon.service.service import Service
from daemon.spool.spool import Claim, Spool
from tests.conftest import wait_until
from tests.service.test_service import config_of, service_in


def ready(service: Service, *names: str) -> list[tuple[str, Drop]]:
    """Prompts that were dropped and found."""
    for name in names:
        (service.spool.root / f"inbox/1-text/{name}.txt").write_text(f"a {name}")
    inbox = service.inboxes["text"]
    found = wait_until(
        lambda: drops if len(drops := inbox.scan(time.monotonic()).ready) == len(names) else [], what="the prompts are ready"
    )
    return [("text", drop) for drop in found]


def test_claims_wait_for_the_disk_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = service_in(tmp_path)
    service.spool.create()
    together = threading.Barrier(3, timeout=30)
    claim = Spool.claim

    def claim_with_others(self: Spool, stage: str, drop: Drop) -> Claim | None:
        together.wait()
        return claim(self, stage, drop)

    monkeypatch.setattr(Spool, "claim", claim_with_others)
    claims = Claims(service.spool)
    drops = ready(service, "cat", "dog", "owl")
    made = claims.make(drops)
    claims.close()
    assert [one.stem for one in made if isinstance(one, Claim)] == [drop.stem for _, drop in drops], "each in its place"


def test_of_claims_made_together_one_that_fails_and_one_that_is_gone_leave_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_in(tmp_path)
    service.spool.create()
    claim = Spool.claim

    def fail_at_dog(self: Spool, stage: str, drop: Drop) -> Claim | None:
        if drop.stem == "dog":
            raise OSError("no disk")
        return claim(self, stage, drop)

    monkeypatch.setattr(Spool, "claim", fail_at_dog)
    drops = ready(service, "cat", "dog", "owl")
    (service.spool.root / "inbox/1-text/owl.txt").unlink()
    claims = Claims(service.spool)
    made = {drop.stem: one for (_, drop), one in zip(drops, claims.make(drops), strict=True)}
    claims.close()
    assert isinstance(made["cat"], Claim)
    assert str(made["dog"]) == "no disk"
    assert made["owl"] is None


def test_a_daemon_with_more_workers_than_gpus_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa,GPU-bb")
    monkeypatch.setattr("daemon.compute.gpus.NVIDIA_SMI", (str(tmp_path / "nothing"),))
    with pytest.raises(ConfigError, match="workers is 3, and there are 2 GPUs"):
        service_in(tmp_path, compute={"device": "cuda", "workers": 3})
    assert service_in(tmp_path, compute={"device": "cuda", "workers": "auto"})._workers == 2


def test_the_size_of_models_is_that_of_the_largest_and_not_known_where_one_is_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "small/unet").mkdir(parents=True)
    (tmp_path / "small/unet/weights").write_bytes(b"0" * 100)
    (tmp_path / "large.safetensors").write_bytes(b"0" * 1000)
    here = {"small": {"path": str(tmp_path / "small")}, "large": {"path": str(tmp_path / "large.safetensors")}}
    assert largest_model(config_of(tmp_path, models=here)) == 1000
    assert largest_model(config_of(tmp_path, models={**here, "far": {"path": "somebody/model"}})) is None
