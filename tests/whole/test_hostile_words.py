"""Names and words that try to write the log's lines, or to steer a terminal, through every stage of the real daemon.

What people read of them afterwards is text: each line of the log begins as the daemon's own do, and nothing in it is a control.
"""

import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import tiffsd
from daemon.names import portable
from daemon.stages import STAGES
from tests.artifacts import file_of, latents
from tests.conftest import wait_until
from tests.running_daemon import RunningDaemon, without_times

FINAL = tiffsd.State.FINAL
FORGED = "text cat.txt -> pictures/FORGED.png 0.1 s"
# As it can lie in a prompt, in a name (beside a byte that is no UTF-8), and in JSON.
WORDS = f"a cat\n{FORGED}\x1b[2J\x1b]0;FORGED\x07\x85FORGED\x9b31m\u2028FORGED\u202e\u2066\u200f"
NAME = f"\n{FORGED.replace('/', ' ')}\x1b[2J\r\x7f\x9bFORGED\u2028\u202e" + os.fsdecode(b"\xff")
UNPAIRED = WORDS + "\ud800"
QUOTED = json.dumps(UNPAIRED)  # in YAML too, where it is refused for its lone surrogate
PLAIN = json.dumps(WORDS)
RECIPE = {"prompt": WORDS, "negative_prompt": WORDS, "model": "demo", "seed": 1, UNPAIRED: UNPAIRED, "steps": 2}
# What a line of the log begins with: a stage and the name of a file. None of these words may be a fault of ours, with a traceback.
BEGINNING = re.compile(
    rf"({'|'.join(STAGES)}) [a-z]+\d+(\\n|_)|watching /|worker \d+ on cpu: started$|load(ing|ed) the \w+ of demo"
)
TELL = 'printf "%s\\0" "$TIFFSD_NAME" "$TIFFSD_PLACE" "$TIFFSD_REASON" >> "$1"'


def front(*lines: str, prompt: str = WORDS) -> bytes:
    return "\n".join(["---", *lines, "---", prompt]).encode()


def png(recipe: str, key: str = "parameters") -> bytes:
    file, info = io.BytesIO(), PngInfo()
    info.add_text(key, recipe)
    Image.fromarray(np.full((64, 64, 3), 99, np.uint8)).save(file, format="PNG", pnginfo=info)
    return file.getvalue()


def tiff(prompt: str = WORDS, **changes: object) -> bytes:
    history = [{"stage": UNPAIRED, "what": UNPAIRED, "painted": 1}]
    recipe = {**RECIPE, "prompt": prompt, "width": 64, "height": 64}
    return file_of(latents(height=8, width=8, recipe=recipe, history=history, **changes))


# By inbox: what is made something of, or refused; either way the daemon speaks of it.
DROPS: dict[str, list[tuple[str, bytes]]] = {
    "1-text": [
        (".txt", front()),
        (".txt", front(f"negative_prompt: {PLAIN}", "hold: diffuse")),
        (".txt", front(f"prompt: {QUOTED}")),
        (".txt", front(f"{PLAIN}: 3")),
        (".txt", front(f"{PLAIN}: 3", f"{PLAIN}: 4")),
        (".txt", front(f"model: {PLAIN}")),
        (".txt", front(f"scheduler: {PLAIN}")),
        (".txt", front(f"loras: {{{PLAIN}: 1}}")),
        (".txt", front(prompt="a cat <lora:furr:1>")),
        (".txt", front("loras: {fur: 1}")),
        (".txt", front(f"mask: {PLAIN}")),
        (".txt", front(f"steps: {PLAIN}")),
        (".txt", front(f"a: [{WORDS}")),
        (".txt", front(prompt=f"a cat <lora:{WORDS}:1> <lora:fur\x1b:{WORDS}>")),
        (".txt", f"a cat\nSteps: 2, Sampler: {WORDS}, Seed: 1, Size: 64x64, Model: {WORDS}".encode()),
        (".png", png(f"{WORDS}\nSteps: 2, Sampler: Euler, Seed: 1, Size: 64x64, Model: \x1b{WORDS}")),
        (".png", png(json.dumps({"recipe": RECIPE, "history": [{"stage": UNPAIRED, "painted": 1}]}), "tiffsd")),
        (".png", png(json.dumps({"recipe": {"prompt": UNPAIRED}, "history": []}), "tiffsd")),
        (
            ".png",
            png(json.dumps({"sui_image_params": {"prompt": "a cat", "seed": 1, WORDS: WORDS, "model": WORDS, "sampler": WORDS}})),
        ),
        (
            ".png",
            png(json.dumps({"3": {"class_type": WORDS}, "4": {"class_type": "KSampler", "inputs": {"seed": WORDS}}}), "prompt"),
        ),
        (".png", png(f'a cat\nSteps: 2, Seed: 1, Size: 64x64, Lora hashes: "{WORDS}", TI hashes: {WORDS}\nTemplate: {WORDS}')),
        (".tiff", tiff()),
    ],
    "2-diffuse": [(".tiff", tiff()), (".tiff", tiff()[:-700]), (".tiff", tiff(state=FINAL)), (".tiff", tiff(UNPAIRED))],
    "3-decode": [(".tiff", tiff(state=FINAL)), (".tiff", tiff(UNPAIRED)), (".png", png(WORDS)), (f".{NAME}", b"a cat")],
    "encode": [(".png", png(WORDS)), (".jpg", b"no picture"), (".tiff", tiff())],
    "invert": [(".tiff", tiff(state=FINAL)), (".tiff", tiff()), (".tiff", tiff(UNPAIRED, state=FINAL))],
}


def drop_all(daemon: RunningDaemon) -> None:
    for inbox, files in DROPS.items():
        for number, (ending, data) in enumerate(files):
            daemon.drop(f"inbox/{inbox}", f"{inbox.lstrip('12-3')}{number}{NAME}{ending}", data)


def is_idle(daemon: RunningDaemon) -> bool:
    work = daemon.spool / ".work"
    folders = [work, *daemon.spool.glob("inbox/*"), work]  # twice, for jobs move from the one to the other
    return not any(path for folder in folders for path in folder.iterdir() if not path.name.startswith("."))


def told(daemon: RunningDaemon) -> list[list[str]]:
    """What the hooks were told: names, places and sentences."""
    words = os.fsdecode((daemon.folder / "told").read_bytes()).split("\0")[:-1]
    return [words[at : at + 3] for at in range(0, len(words), 3)]


def reports(daemon: RunningDaemon) -> list[Path]:
    return list(daemon.spool.glob("failed/*/*/error.txt"))


def is_text(said: str) -> bool:
    """Whether nothing in it is a control, a mark of direction, or half a character."""
    return all(line.isprintable() for line in said.split("\n"))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon that has done or refused all of them, and told the hooks."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "loras").mkdir()
    (folder / f"loras/fur{NAME}.safetensors").write_bytes(b"no LoRA")
    hooks = {event: ["/bin/sh", "-c", TELL, "hook", str(folder / "told")] for event in ("done", "failed", "review")}
    adapters = {"loras": str(folder / "loras")}
    running = RunningDaemon(folder, hooks=hooks, adapters=adapters, defaults={"steps": 2, "width": 64, "height": 64})
    running.start()
    try:
        drop_all(running)
        wait_until(lambda: is_idle(running), seconds=100, what="all was done or refused")
        wait_until(lambda: len(told(running)) > len(reports(running)), what="the hooks were told")
        yield running
    finally:
        running.close()


def test_every_line_of_the_log_is_the_daemons_own(daemon: RunningDaemon) -> None:
    log = without_times((daemon.folder / "log.txt").read_bytes().decode())
    assert is_text(log)
    assert log.count("\n") > sum(map(len, DROPS.values()))
    assert [line for line in log.splitlines() if not BEGINNING.match(line)] == []


@pytest.mark.parametrize("command", ["status", "models"])
def test_a_terminal_is_given_text(daemon: RunningDaemon, command: str) -> None:
    result = daemon.command(command, check=False)  # a file that is no LoRA is a fault among the models
    assert "Traceback" not in result.stderr
    assert is_text(result.stdout + result.stderr)
    assert is_text((daemon.spool / "status.txt").read_text(encoding="utf-8"))


def test_every_report_has_the_lines_of_any_other(daemon: RunningDaemon) -> None:
    assert {report.parent.parent.name for report in reports(daemon)} == set(DROPS)
    for report in reports(daemon):
        text = report.read_text(encoding="utf-8")
        assert is_text(text)
        way = ["To go on"] if "To go on: move it" in text else ["To try again", "or run"]
        assert [line.partition(":")[0] for line in text.split("\n")[1:]] == ["", "Dropped", *way, "More", ""]


def test_hooks_get_the_names_as_they_are_and_the_sentence_as_text(daemon: RunningDaemon) -> None:
    for name, place, reason in told(daemon):
        assert NAME in name or portable(NAME) in name
        assert Path(place).is_file()
        assert is_text(reason)


def test_show_tells_what_came_of_them_as_text(daemon: RunningDaemon) -> None:
    made = [*daemon.spool.glob("pictures/*.tiff"), *daemon.spool.glob("hold/*/*.tiff")]
    assert len(made) >= 8
    result = daemon.command("show", *map(str, made))
    assert is_text(result.stdout + result.stderr)
    assert "FORGED" in result.stdout
