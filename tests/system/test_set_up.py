"""`tiffsd service`, as root in a real systemd: again, away, and back, with what people have in it left as it is."""

import json

import pytest

from tests.system.installed import CONFIG, SPOOL, Installed

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

PROGRAM = "/opt/tiffsd/bin/tiffsd"
HAND_MADE = "/etc/systemd/system/tiffsd.service.d/mine.conf"


def test_it_is_taken_back_and_set_up_again_around_what_people_have(service: Installed) -> None:
    box, before = service.box, service.box.path(CONFIG).read_text()
    box.sh(f"mkdir -p {HAND_MADE.rpartition('/')[0]}; printf '[Service]\\nNice=1\\n' > {HAND_MADE}")
    service.drop("inbox/1-text", "stays.txt", "---\nhold: diffuse\n---\na red house")
    (held,) = service.found("hold/2-diffuse/stays.*.tiff")

    said = box.sh(f"{PROGRAM} service uninstall --yes")
    assert {f"stays: {place}" for place in (CONFIG, SPOOL)} <= {*said.splitlines()}
    assert service.show("LoadState") != "loaded"
    assert held.exists()
    assert box.path(CONFIG).read_text() == before
    assert box.path(HAND_MADE).exists()

    box.sh(f"rm {HAND_MADE}; {PROGRAM} service install --yes")
    assert service.show("ActiveState") == "active"
    pid = service.pid()
    again = box.sh(f"{PROGRAM} service install --yes")
    assert "  write " not in again
    assert service.pid() != pid  # it may be another program by now
    assert box.path(CONFIG).read_text() == before
    box.sh(f"rm {SPOOL}/hold/2-diffuse/stays.*")


def test_a_program_in_a_home_is_refused_before_anything_is_written(service: Installed) -> None:
    box = service.box
    box.sh("cp -r /opt/tiffsd /home/alice/tiffsd")
    refused = box.run("/home/alice/tiffsd/bin/python", "-m", "daemon", "service", "install", "--yes", check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    why = "the program needs /home/alice/tiffsd/bin/tiffsd, which the sandbox of the service hides"
    assert refused.stderr.startswith(f"tiffsd: {why}")
    box.sh("rm -r /home/alice/tiffsd")


def test_a_member_of_the_group_is_sent_to_root(service: Installed) -> None:
    refused = service.box.run(PROGRAM, "service", "install", "--yes", user="alice", check=False)
    assert refused.returncode == 2
    assert f"`sudo {PROGRAM} service install`" in refused.stderr


def test_the_doctor_tells_a_member_that_all_is_well_and_a_stranger_how_to_become_one(service: Installed) -> None:
    ask = (PROGRAM, "doctor", "--json", "--config", CONFIG)
    told = {user: service.box.run(*ask, user=user, check=False) for user in ("alice", "bob")}
    found = {user: {finding["about"]: finding for finding in json.loads(done.stdout)} for user, done in told.items()}
    assert {about: finding["said"] for about, finding in found["alice"].items() if finding["state"] == "fault"} == {}
    assert found["alice"]["folders"]["state"] == found["alice"]["service"]["state"] == "ok"
    assert found["alice"]["service"]["said"] == f"it runs {PROGRAM}"
    assert told["alice"].returncode == 0
    assert "`sudo usermod -aG tiffsd bob`" in found["bob"]["folders"]["advice"]
