"""What docs/shares.md prints is what the tests run, and the programs take it without a complaint."""

import re
import subprocess
from pathlib import Path

from tests.house import REPOSITORY
from tests.outside import outside
from tests.real.documented import PAGE, PLACES, blocks
from tests.real.programs import needed


def test_every_block_of_the_page_is_run_by_a_test() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "tests/real").glob("*.py")))
    used = set(re.findall(r'(?:printed|person|ignore)\("([\w.-]+)"', sources))
    assert blocks().keys() == used
    assert PAGE.read_text(encoding="utf-8").count("```") == 2 * len(blocks()), "a block without a name is tried by nobody"


def test_every_place_is_one_that_the_page_tells_to_change() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## ")[0]
    assert all(place in text for place in PLACES.values())


def test_samba_knows_every_line_of_its_configuration(tmp_path: Path) -> None:
    needed("testparm")
    config = tmp_path / "smb.conf"
    config.write_text(blocks()["smb.conf"])
    said = subprocess.run(["testparm", "-s", str(config)], env=outside(LC_ALL="C"), capture_output=True, text=True, timeout=60)
    assert said.returncode == 0
    assert not re.search(r"unknown|ignoring|warning|error", said.stderr, re.IGNORECASE), said.stderr
