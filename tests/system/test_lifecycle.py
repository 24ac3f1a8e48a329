"""The life of the service under systemd: start, status, reload, stop, and every violent end."""

import re
import time

import pytest

from tests.conftest import wait_until
from tests.system.installed import Installed

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

# Far more steps than a test waits for.
LONG = "---\nsteps: 1000\n---\na red house in a meadow at sunset"
SHORT = "---\nsteps: 60\n---\na blue tree in the snow at night"


def is_active(service: Installed) -> bool:
    return service.show("ActiveState") == "active"


def test_the_status_shows_the_figures_of_the_queue(service: Installed) -> None:
    assert is_active(service)
    service.drop("inbox/1-text", "PAUSE", "")
    for number in range(3):
        service.drop("inbox/1-text", f"queue{number}.txt", "a red house")

    wait_until(lambda: "0 running, 3 waiting, 0 on hold" in service.show("StatusText"), what="3 waiting in STATUS")

    assert "3 waiting" in service.box.run("systemctl", "status", "tiffsd").stdout
    for path in service.spool.glob("inbox/1-text/*"):
        path.unlink()
    wait_until(lambda: "0 waiting" in service.show("StatusText"), what="none waiting in STATUS")


def test_a_stop_in_mid_job_gives_the_job_back(service: Installed) -> None:
    service.drop("inbox/1-text", "stopped.txt", LONG)
    service.running("stopped")
    started = time.monotonic()

    service.control("stop")

    assert time.monotonic() - started < 30
    assert (service.show("Result"), service.show("ExecMainStatus"), service.show("ActiveState")) == ("success", "0", "inactive")
    assert len(list(service.spool.glob("inbox/2-diffuse/stopped.*.tiff"))) == 1
    assert not list(service.spool.glob(".work/*"))
    service.control("start")
    service.running("stopped").unlink()


def test_a_hung_loop_is_ended_by_the_watchdog_and_its_job_goes_on(service: Installed) -> None:
    with service.drop_in("[Service]\nWatchdogSec=4\n"):
        cursor = service.cursor()
        service.drop("inbox/1-text", "hung.txt", SHORT)
        service.running("hung")
        hung = service.pid()

        service.control("kill", "--signal=STOP", "--kill-who=main")

        service.said("Watchdog timeout", after=cursor)
        service.found("pictures/hung.*.png")
        assert service.pid() not in (0, hung)
        assert not list(service.spool.glob("core*"))


def test_a_killed_daemon_is_started_again_and_its_job_goes_on(service: Installed) -> None:
    service.drop("inbox/1-text", "killed.txt", SHORT)
    service.found("running/killed.*")
    killed = service.pid()

    service.control("kill", "--signal=KILL", "--kill-who=main")

    (picture,) = service.found("pictures/killed.*.png")
    assert picture.stat().st_size > 0
    assert service.pid() not in (0, killed)


def test_a_reload_takes_a_good_configuration_and_leaves_a_broken_one(service: Installed) -> None:
    pid, cursor = service.pid(), service.cursor()
    service.configure(stages={"diffuse": {"hold": True}})
    service.control("reload")
    service.drop("inbox/1-text", "reloaded.txt", "a red house")
    service.found("hold/2-diffuse/reloaded.*.tiff")[0].unlink()

    service.configure(stages={"diffuse": {"hold": "perhaps"}})
    service.control("reload")

    entry = service.said("the old one stays in force", after=cursor)
    assert entry["PRIORITY"] == "3"
    assert re.search(r"config\.yaml.*stages.*hold", entry["MESSAGE"])
    service.drop("inbox/1-text", "unchanged.txt", "a red house")
    service.found("hold/2-diffuse/unchanged.*.tiff")[0].unlink()
    assert (is_active(service), service.pid()) == (True, pid)


def test_a_configuration_that_is_broken_at_the_start_is_said_once_and_not_tried_again(service: Installed) -> None:
    service.control("stop")
    cursor = service.cursor()
    service.configure(nonsense=1)

    assert service.box.run("systemctl", "start", "tiffsd", check=False).returncode != 0

    assert (service.show("ActiveState"), service.show("Result"), service.show("ExecMainStatus")) == ("failed", "exit-code", "2")
    assert service.show("NRestarts") == "0"
    assert service.said("nonsense", after=cursor)["PRIORITY"] == "3"


def test_a_second_daemon_on_the_spool_refuses_with_a_sentence(service: Installed) -> None:
    second = service.box.run("/opt/tiffsd/bin/tiffsd", "run", "--config", "/etc/tiffsd/config.yaml", user="tiffsd", check=False)

    assert second.returncode == 75
    assert "another" in second.stderr
    assert is_active(service)


def test_a_hangup_right_after_the_start_costs_nothing(service: Installed) -> None:
    service.drop("inbox/1-text", "PAUSE", "")
    service.drop("inbox/1-text", "hangup.txt", "a red house")
    service.control("stop")
    service.control("start", "--no-block")
    wait_until(service.pid, what="a process")

    service.control("kill", "--signal=HUP", "--kill-who=main")

    wait_until(lambda: is_active(service), what="the service is ready")
    assert "1 waiting" in service.show("StatusText")
    for path in service.spool.glob("inbox/1-text/*"):
        path.unlink()
