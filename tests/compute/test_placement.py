"""How many workers there are, and which GPU each of them sees."""

import os
from pathlib import Path
from typing import Any

import pytest

from daemon.compute import placement
from daemon.compute.gpus import VISIBLE
from daemon.compute.local import LocalWorkers
from daemon.compute.placement import placed
from daemon.compute.protocol import EngineOptions
from daemon.errors import ConfigError
from daemon.settings.config import read_config
from tests.compute.test_local import SECONDS
from tests.compute.test_workers import FAST
from tests.conftest import wait_until


def placed_on(found: list[str] | None, environ: dict[str, str] | None = None, **options: Any) -> EngineOptions:
    """The options where the driver tells of these GPUs."""
    return placed(EngineOptions(**options), look=lambda _: found, environ=environ or {})


@pytest.mark.parametrize(
    ("found", "workers", "gpus"),
    [
        (["GPU-aa", "GPU-bb"], None, ("GPU-aa", "GPU-bb")),
        (["3", "1"], 2, ("3", "1")),
        (["0", "1", "2"], 2, ("0", "1")),
        (["GPU-aa"], None, ()),
        (["GPU-aa", "GPU-bb"], 1, ()),
        (None, None, ()),
        (None, 2, ("0", "1")),
    ],
)
def test_each_of_several_workers_has_a_gpu_and_a_single_one_sees_all(
    found: list[str] | None, workers: int | None, gpus: tuple[str, ...]
) -> None:
    options = placed_on(found, device="cuda", workers=workers)
    assert (options.workers, options.gpus) == (max(1, len(gpus)), gpus)


def test_more_workers_than_gpus_are_refused() -> None:
    with pytest.raises(ConfigError, match="workers is 3, and there are 2 GPUs: a worker needs one of its own; write auto, or 2"):
        placed_on(["0", "1"], device="cuda", workers=3)
    with pytest.raises(ConfigError, match="there is 1 GPU that CUDA_VISIBLE_DEVICES=1 lets be used"):
        placed_on(["1"], {VISIBLE: "1"}, device="cuda", workers=2)
    with pytest.raises(
        ConfigError, match="device is cuda, and there are no GPUs that CUDA_VISIBLE_DEVICES= lets be used; write cpu"
    ):
        placed_on([], {VISIBLE: ""}, device="cuda", workers=None)


def test_a_stage_that_names_a_gpu_by_its_number_has_no_place_among_several_workers() -> None:
    stages = frozenset(["cuda:1"])
    assert placed_on(["0", "1"], device="cuda", workers=1, stage_devices=stages).gpus == ()
    with pytest.raises(ConfigError, match="a stage has device cuda:1, and each of 2 workers sees one GPU only; write cuda there"):
        placed_on(["0", "1"], device="cuda", workers=2, stage_devices=stages)


def test_workers_on_the_cpu_take_turns_at_the_gpus_of_a_stage() -> None:
    options = placed_on(["0", "1"], device="cpu", workers=3, stage_devices=frozenset(["cuda"]))
    assert options.gpus == ("0", "1", "0")
    assert placed_on(["0", "1"], device="cpu", workers=3).gpus == ()


@pytest.mark.parametrize(
    ("size", "threads", "device", "workers"),
    [
        (20_000_000, None, "cpu", 8),
        (20_000_000, 4, "cpu", 2),
        (20_000_000, 16, "cpu", 1),
        (4_000_000_000, None, "cpu", 1),
        (None, None, "cpu", 1),
        (20_000_000, None, "mps", 1),
    ],
)
def test_on_the_cpu_a_small_model_has_a_worker_for_each_core_and_a_large_one_all_cores(
    size: int | None, threads: int | None, device: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "number_of_cores", lambda: 8)
    options = placed_on(None, device=device, workers=None, threads=threads, model_bytes=size)
    assert options.workers == workers
    assert options.threads == (threads or 1 if workers > 1 else threads)


@pytest.mark.parametrize(("device", "names"), [("cuda", ["cuda:0", "cuda:1"]), ("cpu", ["cpu", "cpu"])])
def test_a_worker_sees_the_one_gpu_that_it_has(device: str, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.compute.local.WORKER", "tests.real.fast_worker")
    monkeypatch.setenv(VISIBLE, "GPU-aa,GPU-bb,GPU-cc")
    local = LocalWorkers(device, workers=2, gpus=["GPU-bb", "GPU-cc"])
    try:
        for _ in range(20):
            calls = [local.submit("text", {}, FAST) for _ in range(20)]
            assert all(call.future.result(SECONDS) for call in calls)
            if all(worker["alive"] for worker in local.describe()["workers"]):
                break
        workers = local.describe()["workers"]
        assert [worker["device"] for worker in workers] == names
        seen = [environment_of(worker["pid"])[VISIBLE] for worker in workers]
        assert seen == ["GPU-bb", "GPU-cc"]
    finally:
        local.close()


def environment_of(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(os.fsdecode(entry).split("=", 1) for entry in entries if entry)


def test_of_idle_workers_the_one_that_computed_the_like_last_has_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.compute.local.WORKER", "tests.real.fast_worker")
    local = LocalWorkers(workers=2)
    one, other = ({**FAST, "model": {"name": name, "device": ""}} for name in ("one", "other"))
    taken: dict[str, set[str]] = {"one": set(), "other": set()}
    try:
        wait_until(lambda: _both_begun(local, one, other), what="each worker has one of the models")
        before = {handle.device + str(index): handle for index, handle in enumerate(local._workers)}
        for settings in [one, other] * 10:
            sent = {name: handle._sent for name, handle in before.items()}
            assert local.submit("text", {}, settings).future.result(SECONDS)
            wait_until(lambda: not local.describe()["queued"] + local.describe()["busy"], what="all are idle")
            taken[settings["model"]["name"]] |= {name for name, handle in before.items() if handle._sent != sent[name]}
        assert len(taken["one"]) == len(taken["other"]) == 1
        assert taken["one"] != taken["other"]
    finally:
        local.close()


def _both_begun(local: LocalWorkers, *settings: dict[str, Any]) -> bool:
    """Whether of two calls at a time each went to a worker of its own, so that each has one model only."""
    for handle in local._workers:
        handle._likes.clear()
    calls = [local.submit("text", {}, one) for one in settings]
    assert all(call.future.result(SECONDS) for call in calls)
    return all(len(handle._likes) == 1 for handle in local._workers)


def test_without_ray_the_engine_of_that_name_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "find_spec", lambda name: None if name == "ray" else name)
    with pytest.raises(ConfigError, match=r"Ray is not installed here; run `\S+/pip install 'ray>="):
        placed(EngineOptions(engine="ray"))


def test_as_many_actors_are_asked_for_as_are_said_whatever_this_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "find_spec", lambda name: name)
    options = placed_on([], engine="ray", device="cuda", workers=16)
    assert (options.workers, options.gpus) == (16, ())


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("workers: auto", "has engine: ray, and no number as workers"),
        ("workers: [local]", "has engine: ray, and no number as workers"),
        ("ray_address: --help", "ray_address"),
        ("ray_address: head", "ray_address"),
    ],
)
def test_what_does_not_go_with_ray_is_refused_in_a_sentence(tmp_path: Path, said: str, sentence: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"compute:\n  engine: ray\n  {said}\n")
    with pytest.raises(ConfigError) as error:
        read_config(path)
    assert sentence in str(error.value)


@pytest.mark.parametrize("address", ["auto", "head:6379", "10.0.0.1:6379", "ray://head.example:10001"])
def test_a_cluster_is_named_by_its_address(tmp_path: Path, address: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"compute:\n  engine: ray\n  workers: 4\n  ray_address: {address}\n")
    assert read_config(path).compute.ray_address == address
