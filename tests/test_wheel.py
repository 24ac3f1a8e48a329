"""The built wheel, installed away from the checkout, finds its own files: config.yaml, the units, the embedded model.

Only tiffsd itself is installed anew. Its dependencies are those of the environment that runs the tests, made visible by
a .pth file. The .pth files in the folder that it names are not read, so the editable installation stays out of sight.
"""

import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.house import REPOSITORY
from tests.wheel import built_wheel, succeed

PNG = b"\x89PNG\r\n\x1a\n"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that all of these tests are about."""
    return built_wheel(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment that has the wheel."""
    root = tmp_path_factory.mktemp("environment")
    venv.create(root, symlinks=True)
    programs = root / "bin"
    succeed(
        sys.executable,
        "-m",
        "pip",
        "--python",
        programs / "python",
        "install",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=root,
    )
    (site_packages,) = (root / "lib").glob("python*/site-packages")
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site_packages / "dependencies.pth").write_text("\n".join(sorted(dependencies)))
    return programs


def test_the_wheel_carries_what_lies_at_the_top_of_the_repository(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        carried = {name for name in names if name.startswith("daemon/data/")}
        contents = {name.removeprefix("daemon/data/"): archive.read(name) for name in carried}

    top = [REPOSITORY / "config.yaml", *(REPOSITORY / "systemd").iterdir(), *(REPOSITORY / "docs").glob("*.md")]
    assert contents == {str(path.relative_to(REPOSITORY)): path.read_bytes() for path in top}
    assert {"tiffsd/py.typed", "daemon/py.typed", "daemon/models/demo/model_index.json"} <= names
    configs = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "daemon/models/configs").rglob("*") if path.is_file()}
    assert len(configs) > 50
    assert configs <= names
    assert {f"daemon/jobs/page/page.{kind}" for kind in ("html", "css", "js")} <= names
    served = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "daemon/web/static").rglob("*") if path.is_file()}
    assert "daemon/web/static/app.js" in served
    assert served <= names


def test_the_wheel_has_the_two_packages_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"tiffsd", "daemon"}


def test_the_installed_program_says_the_version_of_its_wheel(wheel: Path, installed: Path, tmp_path: Path) -> None:
    programs = ([installed / "tiffsd"], [installed / "python", "-m", "tiffsd"])

    said = {succeed(*program, "--version", cwd=tmp_path) for program in programs}

    assert said == {f"tiffsd {wheel.name.split('-')[1]}\n"}


def test_the_installed_program_finds_its_own_files(installed: Path, tmp_path: Path) -> None:
    names = ("config.yaml", "systemd/tiffsd.service", "models/demo")
    program = (
        "import daemon, tiffsd; from daemon.settings.resources import resource;"
        f"print(daemon.__file__, tiffsd.__file__, *map(resource, {names}))"
    )

    found = succeed(installed / "python", "-c", program, cwd=tmp_path).split()

    assert len(found) == 5
    assert all(Path(path).is_relative_to(installed.parent) for path in found)


def test_the_installed_program_begins_a_spool(installed: Path, tmp_path: Path) -> None:
    succeed(installed / "tiffsd", "init", tmp_path / "here", cwd=tmp_path)

    assert (tmp_path / "here/config.yaml").read_bytes() == (REPOSITORY / "config.yaml").read_bytes()
    assert (tmp_path / "here/spool/inbox/1-text").is_dir()
    assert (tmp_path / "here/spool/pictures").is_dir()


@pytest.mark.thorough
def test_the_installed_program_makes_the_demo_pictures(installed: Path, tmp_path: Path) -> None:
    said = succeed(installed / "tiffsd", "demo", "--out", tmp_path / "pictures", cwd=tmp_path)

    pictures = sorted((tmp_path / "pictures").glob("*.png"))
    assert len(pictures) == 3
    assert all(picture.read_bytes().startswith(PNG) for picture in pictures)
    assert "pictures" in said
