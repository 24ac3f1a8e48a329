"""What people find in the frozen spool: files that wait, are held, have failed, are done; what was kept, saved, and is shown."""

from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import tifffile
from PIL import Image

import tiffsd
from daemon.jobs.running import RunningFile
from daemon.names import id_of, proof_name
from daemon.pictures.proofs import render_proof
from daemon.service.status import read_status, write_status
from daemon.spool.filesystem import Filesystem
from daemon.spool.proofs import ProofFiles, version_of
from tests.spool.disk import NOON
from tests.spool.frozen.workshop import Workshop

# One prompt for all, and the same words as its negative: embeddings are most of the bytes of an artifact, and the archive holds
# equal ones once.
WORDS = "a red house in a meadow at sunset"
PAINTED = slice(4, 8), slice(4, 8)


def prompt(words: str = WORDS, /, **settings: object) -> str:
    """A prompt for a small picture of two steps."""
    said = {"seed": 7, "steps": 2, "width": 64, "height": 64, "negative_prompt": WORDS, **settings}
    return "---\n" + "".join(f"{key}: {value}\n" for key, value in said.items()) + f"---\n{words}\n"


def furnish(workshop: Workshop) -> None:
    """Fill the folders that people see."""
    _finish(workshop)
    _wait(workshop)
    _hold(workshop)
    _fail(workshop)


def through(workshop: Workshop, stem: str, *stages: str, **settings: object) -> None:
    """Drop a prompt and run its jobs in these stages."""
    workshop.drop(f"inbox/1-text/{stem}.txt", prompt(**settings))
    for stage in stages:
        workshop.run(stage, stem)


def denoised(workshop: Workshop, stem: str) -> Path:
    """Finished latents, held for whoever wants to look at them."""
    through(workshop, stem, "text", "diffuse", hold="decode")
    return only(workshop, f"hold/3-decode/{stem}.*.tiff")


def proof(workshop: Workshop, latents: Path) -> Path:
    """A proof beside latents on hold, as a daemon shows it: all finished latents here are of the same picture."""
    with Image.open(only(workshop, "pictures/cat.*.png")) as image:
        levels = np.array(image.convert("RGB"))
    identity = id_of(latents.name) or ""
    version = version_of(latents.stat().st_size, int(NOON.timestamp()) * 10**9)  # the time that it has in the archive
    png = render_proof(levels.astype(np.float32) / 255, identity)
    assert ProofFiles(workshop.root, Filesystem(workshop.root)).show(latents, identity, version, png)
    return latents.with_name(proof_name(latents.name))


def only(workshop: Workshop, pattern: str) -> Path:
    (path,) = workshop.root.glob(pattern)
    return path


def halve(workshop: Workshop, stem: str) -> None:
    """Latents and embedding of a prompt as two files in the inbox, of people who keep them apart."""
    through(workshop, stem, "text")
    married = only(workshop, f"inbox/2-diffuse/{stem}.*.tiff")
    latents, embedding = tiffsd.edit.split(tiffsd.read(married))
    tiffsd.write(married.with_name(f"{stem}_latent.tiff"), latents)
    tiffsd.write(married.with_name(f"{stem}_prompt.tiff"), embedding)
    married.unlink()


def _finish(workshop: Workshop) -> None:
    through(workshop, "cat", "text", "diffuse", "decode", save_embedding="house", dump_every=1)


def _wait(workshop: Workshop) -> None:
    root = workshop.root
    workshop.drop("inbox/1-text/owl.txt", prompt(seed=8))
    workshop.drop("inbox/1-text/owl_neg.txt", "snow, night\n")
    workshop.drop("inbox/1-text/owl.yaml", "steps: 3\n")
    workshop.drop("inbox/1-text/jay.txt", "---\nseed: 9\nsteps: 2\nwidth: 64\nheight: 64\nembedding: house\n---\n")
    workshop.drop("inbox/1-text/silent.txt", prompt(""))
    workshop.drop("inbox/1-text/füchse 狐.txt", prompt(seed=10, count=2))
    workshop.drop("inbox/1-text/cat again.png", only(workshop, "pictures/cat.*.png").read_bytes())
    through(workshop, "elk", "text")
    workshop.drop("inbox/2-diffuse/elk.yaml", "guidance_scale: 3.0\n")
    through(workshop, "hare", "text", "diffuse", stop_at=1)
    workshop.life().release_hold(only(workshop, "hold/2-diffuse/hare.*.tiff"))
    halve(workshop, "gnu")
    (root / "inbox/2-diffuse/gnu_prompt.tiff").unlink()
    through(workshop, "emu", "text", "diffuse")
    painted_as_integers(workshop, "bee")
    photo(root / "inbox/encode/photo.png")
    workshop.drop("inbox/encode/photo.txt", prompt(strength=0.5))
    latents = denoised(workshop, "cow")
    latents.rename(root / "inbox/invert" / latents.name)
    workshop.drop("inbox/invert/cow.txt", prompt())


def _hold(workshop: Workshop) -> None:
    through(workshop, "fox", "text", "diffuse", stop_at=1)
    proof(workshop, denoised(workshop, "hen"))
    painted_as_floats(workshop, "ram")


def _fail(workshop: Workshop) -> None:
    workshop.drop("inbox/1-text/mute.yaml", "seed: 5\n")
    for stem in ("mute", "error"):
        workshop.drop(f"inbox/1-text/{stem}.txt", prompt(""))
        workshop.run("text", stem)
    workshop.drop("inbox/3-decode/words.txt", "words where latents belong\n")
    workshop.refuse("decode", "words")


def painted_as_floats(workshop: Workshop, stem: str) -> None:
    """Latents on hold, painted and saved by a program that keeps nothing but the pixels: the name alone says whose they are."""
    path = denoised(workshop, stem)
    with Image.open(path) as image:
        canvas = np.array(image)
    canvas[PAINTED] = 0.75
    assert cv2.imwrite(str(path), canvas)


def painted_as_integers(workshop: Workshop, stem: str) -> None:
    """Latents that wait to be decoded, painted and saved with 16 bits, without any tag."""
    path = denoised(workshop, stem)
    with Image.open(path) as image:
        canvas = np.array(image)
    canvas[PAINTED] = 0.25
    levels = (canvas.clip(0, 1) * 65535).round().astype(np.uint16)
    path.unlink()
    tifffile.imwrite(workshop.root / "inbox/3-decode" / path.name, levels, description="", metadata=None)


def photo(path: Path) -> None:
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(path)


def leave_behind(workshop: Workshop) -> None:
    """The signs of people, and what a daemon that is killed leaves beside its jobs."""
    (workshop.root / "inbox/invert/PAUSE").touch()
    (workshop.root / "hold/3-decode/HOLD").touch()
    running = RunningFile(workshop.root, "diffuse", name="entrusted.0badf00d.txt")
    running.start()
    running.update(1, 2)
    with patch("os.getpid", return_value=4711):
        spool = workshop.life()
        spool.acquire()
        spool.release()
    status = read_status(
        workshop.root,
        now=NOON,
        alive=True,
        degraded={"encode": "its inbox cannot be read: [Errno 13] Permission denied"},
        waits={"diffuse": ["gnu_latent.tiff: waits for gnu_prompt.tiff"]},
        worker={
            "device": "cpu",
            "pid": 4712,
            "alive": True,
            "busy": True,
            "stage": "diffuse",
            "since": NOON.timestamp(),
            "queued": 0,
        },
        complaints=["the hook done failed: it ended with 1"],
    )
    write_status(workshop.root, status)
