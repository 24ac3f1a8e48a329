"""A real daemon whose worker is on another machine: the same bits, the same control, and no job is lost with a cable or a machine.

Two network namespaces, a cable between them and a real sshd; the embedded model. `python -m benchmarks machines` is the long form.
"""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from daemon.settings.resources import resource
from tests.conftest import wait_until
from tests.real.far_daemon import FarDaemon, Pictures, made_once, pictures_of, tensors_of
from tests.real.hosts import ADDRESS, Hosts
from tests.running_daemon import RunningDaemon

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CALM = [f"calm{seed}" for seed in range(4)]
LONG = "---\nseed: 1\nsteps: 40\nscheduler: ddim\n---\na red house"
ENDLESS = LONG.replace("40", "900")
OWN = "---\nseed: 1\nmodel: own\n---\na red house in a meadow"
STOPPED = "---\nseed: 5\nsteps: 6\nscheduler: ddim\nstop_at: 3\nhold: decode\n---\na blue tree in the snow"
YELLOW = (250, 200, 60)
HALF_WAY, AT_THE_END = slice(40, 88), slice(88, 120)  # of 128 pixels, to the right and down
NOTICED = 30.0  # seconds, with room for a slow machine; the promise is 15
PATIENT = 300.0  # seconds that nothing here takes, on any machine


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with Hosts() as hosts:
        yield hosts


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that no configuration of the far machine names: the embedded one, with another colour in its pictures."""
    folder = tmp_path_factory.mktemp("models") / "own"
    shutil.copytree(resource("models/demo"), folder)
    weights = folder / "vae/diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["decoder.conv_out.bias"] += np.array([0.3, -0.1, 0.0], tensors["decoder.conv_out.bias"].dtype)
    save_file(tensors, weights, metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, own: Path) -> Iterator[RunningDaemon]:
    """A daemon that computes on this machine."""
    daemon = RunningDaemon(tmp_path_factory.mktemp("here"), models=named(own))
    daemon.start()
    yield daemon
    daemon.close()


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory, hosts: Hosts, own: Path) -> Iterator[FarDaemon]:
    """A daemon that computes on the far machine alone."""
    daemon = FarDaemon(tmp_path_factory.mktemp("there"), hosts, models=named(own))
    daemon.start()
    yield daemon
    daemon.close()


def named(own: Path) -> dict[str, object]:
    """What stands under `models`."""
    return {"demo": {"path": "builtin"}, "own": {"path": str(own)}}


def seeded(stem: str) -> str:
    return f"---\nseed: {stem[-1]}\n---\na red house in a meadow"


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def made(daemon: RunningDaemon, stem: str) -> np.ndarray:
    """The picture of a stem, when it is there."""
    (path,) = daemon.found(f"pictures/{stem}.*.png", seconds=PATIENT)
    return pixels(path)


def archived(daemon: RunningDaemon, stem: str) -> dict[str, np.ndarray]:
    """All tensors of the files between the stages of a stem, by the stage that used them."""
    found = {}
    for path in daemon.spool.glob(f"done/*/{stem}.*.tiff"):
        tensors = tensors_of(path)
        found |= {f"{sorted(tensors)} {name}": tensor for name, tensor in tensors.items()}
    return found


def test_what_another_machine_computes_is_equal_to_the_bit(here: RunningDaemon, there: FarDaemon) -> None:
    for daemon in (here, there):
        for stem in CALM:
            daemon.drop("inbox/1-text", f"{stem}.txt", seeded(stem))
    for stem in CALM:
        np.testing.assert_array_equal(made(there, stem), made(here, stem))
    for daemon in (here, there):
        wait_until(lambda: len(list(daemon.spool.glob("done/*/calm*"))) == 3 * len(CALM), what="all is archived")  # noqa: B023
    for stem in CALM:
        ours, theirs = archived(here, stem), archived(there, stem)
        assert len(ours) >= 3
        assert ours.keys() == theirs.keys()
        for name, tensor in ours.items():
            np.testing.assert_array_equal(theirs[name], tensor)
    made_once(there.spool, CALM)
    assert there.workers() == [], "nothing computes on the near machine"


def paint(proof: Path, place: slice) -> np.ndarray:
    """Paint a yellow square on a proof; the pixels of before."""
    before = pixels(proof)
    levels = before.copy()
    levels[place, place] = YELLOW
    Image.fromarray(levels).save(proof)
    return before


def distance(levels: np.ndarray, place: slice) -> float:
    """How far the inside of a place is from the paint, in levels of 255."""
    inside = slice(place.start + 8, place.stop - 8)
    return float(np.abs(levels[inside, inside].astype(float) - YELLOW).mean())


def proof(daemon: RunningDaemon, stage: str) -> Path:
    """The proof of what waits for a stage, when it is there."""
    (path,) = daemon.found(f"hold/{stage}/painted.*.proof.png", seconds=PATIENT)
    return path


def release(daemon: RunningDaemon, stage: str) -> None:
    """Approve what waits there as people do, by moving it."""
    (latents,) = daemon.spool.glob(f"hold/{stage}/painted.????????.tiff")
    latents.rename(daemon.spool / "inbox" / stage / latents.name)


def test_a_stop_at_a_step_and_paint_on_what_waits_there_give_the_same_proofs_and_picture(
    here: RunningDaemon, there: FarDaemon
) -> None:
    both = (here, there)
    for daemon in both:
        daemon.drop("inbox/1-text", "painted.txt", STOPPED)
    half = [paint(proof(daemon, "2-diffuse"), HALF_WAY) for daemon in both]
    for daemon in both:
        release(daemon, "2-diffuse")
    ends = [proof(daemon, "3-decode") for daemon in both]
    whole = [paint(path, AT_THE_END) for path in ends]
    for daemon, painted in zip(both, ends, strict=True):
        daemon.drop("hold/3-decode", painted.name.replace(".proof.png", ".apply"), "")
    for daemon, painted in zip(both, ends, strict=True):
        daemon.found(f"done/*/{painted.name}", seconds=PATIENT)
    applied = [pixels(proof(daemon, "3-decode")) for daemon in both]
    for daemon in both:
        release(daemon, "3-decode")
    pictures = [made(daemon, "painted") for daemon in both]
    for ours, theirs in (half, whole, applied, pictures):
        np.testing.assert_array_equal(theirs, ours)
    np.testing.assert_array_equal(pictures[1], applied[1])
    assert distance(whole[1], HALF_WAY) < distance(half[1], HALF_WAY) - 20, "the first paint went into the loop"
    assert distance(applied[1], AT_THE_END) < distance(whole[1], AT_THE_END) - 20, "the second was applied while they waited"
    assert there.workers() == [], "nothing computes on the near machine"


def test_a_job_there_is_cancelled_and_the_next_one_runs(there: FarDaemon) -> None:
    there.drop("inbox/1-text", "endless.txt", ENDLESS)
    wait_until(lambda: there.step("endless") > 0, seconds=PATIENT, what="the loop runs there, and says how far it is")
    (running,) = there.spool.glob("running/endless.*.txt")
    running.unlink()
    (error,) = there.found("failed/2-diffuse/endless.*/error.txt", seconds=PATIENT)
    assert "cancelled" in error.read_text()
    there.drop("inbox/1-text", "next1.txt", seeded("next1"))
    made(there, "next1")


def test_where_the_machine_takes_no_models_the_job_fails_with_what_it_lacks(there: FarDaemon) -> None:
    there.drop("inbox/1-text", "lacking.txt", OWN)
    (error,) = there.found("failed/1-text/lacking.*/error.txt", seconds=PATIENT)
    assert (
        "no machine that computes has what this needs: gpu-box lacks model own; copy it there, or let it take" in error.read_text()
    )


def test_a_model_that_it_lacks_is_sent_there_once_and_gone_on_with_after_a_cut(
    here: RunningDaemon, there: FarDaemon, hosts: Hosts, own: Path
) -> None:
    model_bytes = sum(path.stat().st_size for path in own.glob("*/*"))
    there.stop()
    hosts.configure(compute={"fetch_gb": 1})
    there.start()
    hosts.slow("5mbit")
    before = hosts.carried()
    for daemon in (here, there):
        daemon.drop("inbox/1-text", "own1.txt", OWN)
    wait_until(lambda: hosts.carried() - before > model_bytes / 2, seconds=PATIENT, what="half of the model is there")
    hosts.kill_program("--receive")
    hosts.hurry()
    np.testing.assert_array_equal(made(there, "own1"), made(here, "own1"))
    assert "gpu-box has a part of model own, and the connection was cut" in there.log()
    # What had come before the cut was not sent again: that would be half of it more.
    assert model_bytes < (once := hosts.carried() - before) < 1.3 * model_bytes
    for daemon in (here, there):
        daemon.drop("inbox/1-text", "own2.txt", OWN.replace("seed: 1", "seed: 2"))
    np.testing.assert_array_equal(made(there, "own2"), made(here, "own2"))
    assert hosts.carried() - before - once < 0.1 * model_bytes
    assert not list(there.spool.glob("failed/*/own*"))
    assert there.workers() == [], "nothing computes on the near machine"


def test_a_cable_that_is_cut_in_the_middle_of_a_job_costs_nothing_but_time(
    here: RunningDaemon, there: FarDaemon, hosts: Hosts
) -> None:
    here.drop("inbox/1-text", "cut.txt", LONG)
    there.drop("inbox/1-text", "cut.txt", LONG)
    wait_until(lambda: there.step("cut") > 2, seconds=PATIENT, what="the loop runs there")
    cut_at = time.time()
    hosts.cut()
    wait_until(lambda: there.node()["state"] == "away", seconds=PATIENT, what="the status says that the machine is away")
    wait_until(lambda: list(there.spool.glob("inbox/2-diffuse/cut.*.tiff")), seconds=PATIENT, what="the job waits in its inbox")
    away = there.node()
    said = (there.spool / "status.txt").read_text()
    assert "gpu-box is away since " in said
    assert away["reason"] in said
    assert 0 < away["lost_since"] - cut_at < NOTICED, "it hears signs of life, and waits for no timeout of the network"
    hosts.mend()
    np.testing.assert_array_equal(made(there, "cut"), made(here, "cut"))
    assert len(list(there.spool.glob("pictures/cut.*.png"))) == 1
    assert not list(there.spool.glob("failed/*/cut.*"))
    assert there.node()["state"] in ("ready", "idle")
    assert there.node()["lost_since"] is None


def test_with_the_daemon_its_worker_there_ends(there: FarDaemon, hosts: Hosts) -> None:
    assert there.stop() == 0
    wait_until(lambda: not any("daemon" in line for line in hosts.programs()), what="nothing computes on the far machine")


@pytest.mark.thorough
def test_when_a_machine_dies_others_go_on_and_it_has_work_again_when_it_is_back(
    here: RunningDaemon, hosts: Hosts, tmp_path: Path
) -> None:
    both = FarDaemon(tmp_path / "both", hosts, places=["local", ADDRESS])
    both.start()
    stems = [f"kill{seed}" for seed in range(4)]
    try:
        for daemon in (here, both):
            for stem in stems:
                daemon.drop("inbox/1-text", f"{stem}.txt", LONG.replace("seed: 1", f"seed: {stem[-1]}"))
        wait_until(lambda: both.node()["stage"] == "diffuse", seconds=PATIENT, what="the far machine computes")
        hosts.kill()
        both.found("pictures/*.png", count=4, seconds=PATIENT)
        here.found("pictures/kill*.png", count=4, seconds=PATIENT)
        wait_until(lambda: len(list(both.spool.glob("done/*/*.txt"))) == 4, what="all is archived")
        made_once(both.spool, stems)
        ours: Pictures = {stem: one for stem, one in pictures_of(here.spool).items() if stem in stems}
        theirs = pictures_of(both.spool)
        for stem in stems:
            np.testing.assert_array_equal(theirs[stem], ours[stem])
        wait_until(lambda: both.node()["state"] == "away", seconds=PATIENT, what="the status says that it is away")
        hosts.boot()
        for number in range(3):  # more than the near machine takes, for as long as it lasts
            both.drop("inbox/1-text", f"back{number}.txt", ENDLESS)
        wait_until(lambda: both.node()["stage"] == "diffuse", seconds=PATIENT, what="it is back, and has work")
        assert both.node()["lost_since"] is None
        assert both.stop() == 0
    finally:
        both.close()
