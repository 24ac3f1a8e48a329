"""`tiffsd check` against the real daemon: of every specimen, in every inbox, what was foretold is what then happens."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

import daemon.cli
from daemon.stages import STAGES, Stage
from tests.running_daemon import RunningDaemon
from tests.whole.specimens import CASES, Files, cases, originals, specimens

pytestmark = [pytest.mark.slow, pytest.mark.thorough, pytest.mark.timeout(1200)]

MARK = "~"  # between the stage into whose inbox a file is dropped and its name, which tells what became of which
HELD = {stage: {"hold": True} for stage in STAGES}
SECONDS = 1000
# Of what is the same for all one file of so many, and of what takes long: an inversion runs the model often.
FEW = (6, 25)
USED, FAILED, WAITS = "used", "failed", "waits"


@dataclass(frozen=True)
class Foretold:
    """What `tiffsd check` says of a file: its exit code, its lines by inbox, and all of it."""

    code: int
    lines: Mapping[str, str]
    output: str

    def verdict(self, folder: str) -> str:
        """What is to become of the file in an inbox; one that is not named does not take it."""
        line = self.lines.get(folder, "refused: ")
        if line.startswith(("waits for", "goes with")):
            return WAITS
        return FAILED if line.startswith("refused: ") else USED


@dataclass
class Became:
    """What the daemon did with a file: by inbox what became of it, and the sentence of a failure."""

    verdicts: dict[str, str] = field(default_factory=dict)
    sentences: dict[str, str] = field(default_factory=dict)


def numbered(all_of_them: Iterator[Files]) -> list[Files]:
    """With names that no two have, and that still begin alike within one drop."""
    return [{f"s{number}-{name}": data for name, data in files.items()} for number, files in enumerate(all_of_them)]


class World:
    """A spool with the specimens in its inboxes, and what was said of each and done with it."""

    def __init__(self, folder: Path, dropped: list[Files]) -> None:
        self.daemon = RunningDaemon(folder, defaults={"steps": 1, "width": 64, "height": 64}, stages=HELD, previews=False)
        self.dropped, self.desk = dropped, folder / "desk"
        for name, data in originals().items():
            self.daemon.drop(".keep", name, data)
        for index, files in enumerate(dropped):
            self._lay_out(index, files)
        with ThreadPoolExecutor(1) as pool:
            once = pool.submit(self._once)
            self.foretold = {next(iter(files)): self._foretell(index, files) for index, files in enumerate(dropped)}
            self.log = re.sub(rf"({'|'.join(STAGES)}){MARK}", "", once.result())
        self.became = self._what_became()

    def _lay_out(self, index: int, files: Files) -> None:
        place = self.desk / str(index)
        place.mkdir(parents=True)
        for name, data in files.items():
            (place / name).write_bytes(data)
            for stage in STAGES.values():
                if index % FEW[stage.name == "invert"] == 0 or self._is_worth_it(stage, next(iter(files))):
                    self.daemon.drop(f"inbox/{stage.folder}", f"{stage.name}{MARK}{name}", data)

    def _is_worth_it(self, stage: Stage, name: str) -> bool:
        """Whether to drop all files of such a name: not where they are inverted, nor where all are refused by their ending."""
        return stage.name != "invert" and name.endswith((*stage.extensions, *stage.companions))

    def _once(self) -> str:
        command = [sys.executable, "-m", "daemon", "once"]
        done = subprocess.run(command, cwd=self.daemon.folder, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode in (0, 1), done.stderr
        return done.stderr

    def _foretell(self, index: int, files: Files) -> Foretold:
        path = self.desk / str(index) / next(iter(files))
        result = CliRunner().invoke(daemon.cli.app, ["check", str(path)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        found = (re.fullmatch(r".*?: inbox/([\w-]+): (.*)", line) for line in result.output.splitlines())
        return Foretold(result.exit_code, {line[1]: line[2] for line in found if line}, result.output)

    def _what_became(self) -> dict[str, Became]:
        found = {name: Became() for files in self.dropped for name in files}
        for report in self.daemon.spool.glob("failed/*/*/error*.json"):
            said = json.loads(report.read_text())
            for name in said["files"].values():
                stage, _, own = name.partition(MARK)
                found[own].verdicts[stage] = FAILED
                found[own].sentences[stage] = said["sentence"].replace(f"{stage}{MARK}", "")
        for folder, verdict in (("done/*", USED), ("inbox/*", WAITS)):
            for path in self.daemon.spool.glob(f"{folder}/*{MARK}*"):
                stage, _, own = path.name.partition(MARK)
                found[own].verdicts.setdefault(stage, verdict)
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("verdicts")
        patch.chdir(folder)  # where `tiffsd check` finds the configuration
        yield World(folder, numbered(specimens()))


@pytest.fixture(scope="module")
def world_of_cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if not CASES.is_dir():
        pytest.skip("the cases lie in a folder beside the repository")
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("verdicts-of-cases")
        patch.chdir(folder)
        yield World(folder, numbered(cases()))


def wrong_verdicts(world: World) -> Iterator[str]:
    """Where the daemon did otherwise than was foretold, in words."""
    for name, foretold in world.foretold.items():
        for stage, verdict in world.became[name].verdicts.items():
            folder, sentence = STAGES[stage].folder, world.became[name].sentences.get(stage, "")
            line, due = foretold.lines.get(folder, ""), foretold.verdict(folder)
            # What waits in an inbox for others, and is not named there, is a companion.
            if verdict not in (due, WAITS if not line else due):
                yield f"{name} in {folder}: {foretold.output!r} was said, and it {verdict}: {sentence}"
            elif line.startswith("refused: ") and line != f"refused: {sentence}":
                yield f"{name} in {folder}: {line!r} was said, and it failed: {sentence}"


def wrong_codes(world: World) -> Iterator[str]:
    """Where the exit code is not 0 for what an inbox, or embeddings/, takes or keeps for its other half, and 1 for all else."""
    for name, foretold in world.foretold.items():
        verdicts = {STAGES[stage].folder: verdict for stage, verdict in world.became[name].verdicts.items()}
        waits = [folder for folder, verdict in verdicts.items() if verdict == WAITS]
        goes_with = "goes with" in foretold.output
        is_taken = USED in verdicts.values() or any(folder in foretold.lines or goes_with for folder in waits)
        if foretold.code != (0 if is_taken or "goes to embeddings/" in foretold.output else 1):
            yield f"{name}: exit code {foretold.code}, and {verdicts}: {foretold.output!r}"


def sentences_of_nobody(world: World) -> Iterator[str]:
    """Where a file is said not to be valid, and no inbox refuses it for that reason."""
    for name, foretold in world.foretold.items():
        for reason in re.findall(r": not valid: (.*)", foretold.output):
            if reason not in world.became[name].sentences.values():
                yield f"{name}: {reason!r} was said, and it failed: {set(world.became[name].sentences.values())}"


def unspoken_notes(world: World) -> Iterator[str]:
    """Where a note on what is used is not what the log says of the job; those that tell of random numbers are left out."""
    for name, foretold in world.foretold.items():
        for stage, verdict in world.became[name].verdicts.items():
            _, *notes = foretold.lines.get(STAGES[stage].folder, "").split("; ")
            said = [note for note in notes if verdict == USED and not re.search(r"\d{6}", note)]
            yield from (f"{name} in {stage}: {note!r}" for note in said if note not in world.log)


FAULTS = (wrong_verdicts, wrong_codes, sentences_of_nobody, unspoken_notes)


@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: faults.__name__)
def test_what_is_foretold_of_a_file_is_what_the_daemon_does(faults: Callable[[World], Iterator[str]], world: World) -> None:
    assert len(world.foretold) > 130
    assert "\n".join(faults(world)) == ""


@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: faults.__name__)
def test_what_is_foretold_of_a_case_is_what_the_daemon_does(
    faults: Callable[[World], Iterator[str]], world_of_cases: World
) -> None:
    assert "\n".join(faults(world_of_cases)) == ""
