"""What the sandbox of the unit lets through, which must be all that jobs need, and what it stops."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import wait_until
from tests.system.installed import Installed

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

# A small convolution needs no code made at run time, and would pass where these fail.
CONVOLUTIONS = """
import torch
for channels, pixels in ((64, 128), (320, 64), (512, 32)):
    layer = torch.nn.Conv2d(channels, channels, 3, padding=1)
    print(tuple(layer(torch.randn(1, channels, pixels, pixels)).shape))
"""
ONCE = """[Service]
Type=oneshot
Restart=no
WatchdogSec=0
ExecStart=
ExecStart=/opt/tiffsd/bin/python /opt/probe.py
StandardOutput=truncate:/run/probe.txt
StandardError=append:/run/probe.txt
"""
CAP_LEASE = 28
ATTEMPTS = Path(__file__).with_name("attempts.py")


def probe(service: Installed, code: str, *, changes: str = "") -> tuple[bool, str]:
    """Run Python code in the sandbox of the unit: whether it succeeded, and what it said."""
    box, folder = service.box, "/run/systemd/system/probe.service.d"
    box.path("/opt/probe.py").write_text(code)
    box.sh(f"mkdir -p {folder}; cp /etc/systemd/system/tiffsd.service /run/systemd/system/probe.service")
    box.path(f"{folder}/once.conf").write_text(f"{ONCE}{changes}\n")
    box.run("systemctl", "daemon-reload")
    succeeded = box.run("systemctl", "start", "probe", check=False).returncode == 0
    return succeeded, box.path("/run/probe.txt").read_text()


def test_convolutions_of_real_sizes_work(service: Installed) -> None:
    succeeded, said = probe(service, CONVOLUTIONS)

    assert succeeded, said
    assert said.splitlines() == ["(1, 64, 128, 128)", "(1, 320, 64, 64)", "(1, 512, 32, 32)"]


def test_they_would_show_a_sandbox_that_torch_cannot_bear(service: Installed) -> None:
    succeeded, said = probe(service, CONVOLUTIONS, changes="MemoryDenyWriteExecute=yes")

    assert not succeeded
    assert "could not create a primitive" in said


def test_the_sandbox_allows_what_jobs_need_and_forbids_what_any_user_may_do(service: Installed) -> None:
    service.box.sh("mkdir -p /opt/open /home/open; chmod 777 /opt/open; mknod --mode=666 /dev/open c 10 200")
    outside = service.box.run("/opt/tiffsd/bin/python", "-c", ATTEMPTS.read_text(), user="alice").stdout

    succeeded, inside = probe(service, ATTEMPTS.read_text())

    assert succeeded, inside
    assert [what for what, error in json.loads(outside)["forbidden"].items() if error] == [], outside
    assert [what for what, error in json.loads(inside)["needed"].items() if error] == [], inside
    assert [what for what, error in json.loads(inside)["forbidden"].items() if not error] == [], inside


def facts_of(service: Installed) -> dict[str, str]:
    """What the kernel says of the front."""
    return dict(line.split(":\t", 1) for line in service.box.path(f"/proc/{service.pid()}/status").read_text().splitlines())


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_the_front_stays_on_one_core(service: Installed) -> None:
    wait_until(lambda: facts_of(service)["Cpus_allowed_list"].isdigit(), what="one core")


def test_a_lease_is_the_only_privilege(service: Installed) -> None:
    facts = facts_of(service)

    assert {int(facts[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {1 << CAP_LEASE}
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    assert "0" not in facts["Uid"].split()


def test_a_picture_larger_than_the_model_was_trained_for_comes_out(service: Installed) -> None:
    service.drop("inbox/1-text", "large.txt", "---\nwidth: 256\nheight: 256\n---\na red house in a meadow at sunset")

    (picture,) = service.found("pictures/large.*.png")

    assert np.asarray(Image.open(picture)).std() > 10


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_a_photo_is_decoded(service: Installed, kind: str) -> None:
    photo = io.BytesIO()
    Image.linear_gradient("L").resize((128, 64)).convert("RGB").save(photo, kind)

    service.box.path(f"/var/lib/tiffsd/inbox/encode/photo-{kind}.{kind}").write_bytes(photo.getvalue())

    service.found(f"hold/3-decode/photo-{kind}.*.tiff")[0].unlink()


def test_a_hook_is_called(service: Installed) -> None:
    service.configure(hooks={"review": ["sh", "-c", 'cp "$TIFFSD_FILE" "$HOME/hooked.tiff"; mkdir "$HOME/hooked"']})
    service.control("reload")

    service.drop("inbox/1-text", "hook.txt", "---\nhold: diffuse\n---\na red house")

    (held,) = service.found("hold/2-diffuse/hook.*.tiff")
    cache = service.box.path("/var/cache/tiffsd")
    wait_until((cache / "hooked").exists, what="the hook is called")
    assert (cache / "hooked.tiff").read_bytes() == held.read_bytes()
    held.unlink()


def test_the_models_of_a_home_directory_are_seen_as_the_unit_says(service: Installed) -> None:
    service.box.sh("mkdir -p /home/alice/models; echo here > /home/alice/models/word; echo secret > /home/alice/word")
    look = "import os; print(sorted(os.listdir('/home/alice')), open('/home/alice/models/word').read())"

    _, hidden = probe(service, look)
    succeeded, seen = probe(service, look, changes="ProtectHome=tmpfs\nBindReadOnlyPaths=/home/alice/models")

    assert "PermissionError" in hidden
    assert succeeded, seen
    assert seen == "['models'] here\n\n"
