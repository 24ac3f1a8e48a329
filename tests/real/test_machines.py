"""A real daemon whose worker is on another machine: the same bits, the same control, and no job is lost with a cable or a machine.

Two network namespaces, a cable between them and a real sshd; the embedded model. `python -m benchmarks machines` is the long form.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import wait_until
from tests.real.far_daemon import FarDaemon, Pictures, made_once, pictures_of, tensors_of
from tests.real.hosts import ADDRESS, Hosts
from tests.running_daemon import RunningDaemon

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CALM = [f"calm{seed}" for seed in range(4)]
LONG = "---\nseed: 1\nsteps: 40\nscheduler: ddim\n---\na red house"
ENDLESS = LONG.replace("40", "900")
STOPPED = "---\nseed: 5\nsteps: 6\nscheduler: ddim\nstop_at: 3\nhold: decode\n---\na blue tree in the snow"
NOTICED = 30.0  # seconds, with room for a slow machine; the promise is 15
PATIENT = 300.0  # seconds that nothing here takes, on any machine


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with Hosts() as hosts:
        yield hosts


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon that computes on this machine."""
    daemon = RunningDaemon(tmp_path_factory.mktemp("here"))
    daemon.start()
    yield daemon
    daemon.close()


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory, hosts: Hosts) -> Iterator[FarDaemon]:
    """A daemon that computes on the far machine alone."""
    daemon = FarDaemon(tmp_path_factory.mktemp("there"), hosts)
    daemon.start()
    yield daemon
    daemon.close()


def seeded(stem: str) -> str:
    return f"---\nseed: {stem[-1]}\n---\na red house in a meadow"


def made(daemon: RunningDaemon, stem: str) -> np.ndarray:
    """The picture of a stem, when it is there."""
    (path,) = daemon.found(f"pictures/{stem}.*.png", seconds=PATIENT)
    with Image.open(path) as image:
        return np.asarray(image)


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


def stopped_and_painted(daemon: RunningDaemon) -> np.ndarray:
    """The picture of a prompt that stops at a step, is painted on there, and waits once more before it is decoded."""
    daemon.drop("inbox/1-text", "painted.txt", STOPPED)
    (proof,) = daemon.found("hold/2-diffuse/painted.*.proof.png", seconds=PATIENT)
    with Image.open(proof) as image:
        levels = np.asarray(image.convert("RGB")).copy()
    levels[40:88, 40:88] = (40, 90, 230)
    Image.fromarray(levels).save(proof)
    daemon.command("release", "painted")
    daemon.found("hold/3-decode/painted.*.proof.png", seconds=PATIENT)
    daemon.command("release", "painted")
    return made(daemon, "painted")


def test_a_stop_at_a_step_and_paint_on_what_waits_there_give_the_same_picture(here: RunningDaemon, there: FarDaemon) -> None:
    np.testing.assert_array_equal(stopped_and_painted(there), stopped_and_painted(here))


def test_a_job_there_is_cancelled_and_the_next_one_runs(there: FarDaemon) -> None:
    there.drop("inbox/1-text", "endless.txt", ENDLESS)
    wait_until(lambda: there.step("endless") > 0, seconds=PATIENT, what="the loop runs there, and says how far it is")
    (running,) = there.spool.glob("running/endless.*.txt")
    running.unlink()
    (error,) = there.found("failed/2-diffuse/endless.*/error.txt", seconds=PATIENT)
    assert "cancelled" in error.read_text()
    there.command("delete", error.parent.name, check=False)
    there.drop("inbox/1-text", "next1.txt", seeded("next1"))
    made(there, "next1")


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
