"""What is left of paint on a proof: on finished latents before they are decoded, and on half-done ones before the loop goes on.

    python -m benchmarks.paint                                   # the embedded model, 20 seeds, some minutes
    python -m benchmarks.paint --model NAME --seeds 3            # a model of ./config.yaml, or of --config FILE, by its name there
    python -m benchmarks.paint --sheet sheet.png --seeds 4       # and the pictures, one row for each seed

On each picture an ellipse is painted in one colour, in 8 bits, strong or mild: strong ones are such as the embedded model's
pictures have, whose VAE knows no pure red or blue. The error is the mean difference from that colour, of 0..1, from 8 pixels inside
of the edge on. Beside it stand that of the picture without paint, that of the painted picture encoded and decoded as a whole, and
the least that this VAE reaches where that is made better again and again.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.figures import Figure, run
from daemon.jobs.intake.resolving import resolve_settings
from daemon.jobs.request import Request, stage_settings
from daemon.models.registry import Models, ModelSpec
from daemon.settings.config import Config, read_config
from daemon.settings.vocabulary import Settings
from daemon.stages import apply, decode, diffuse, encode, text
from daemon.stages.loop import BLOCKS, ESTIMATE, PAINTED, SHOWN

ITEM = 18
USUAL_CONFIG = Path("config.yaml")
SEEDS = 20
SOLVERS = ("ddim", "euler", "euler_a", "dpmpp_2m", "dpmpp_2m_karras")
FLOW_SOLVERS = ("flow_euler", "flow_heun")
PROMPTS = ("a red house in a meadow at noon", "a blue boat by the sea at sunset", "a green tree in the snow at dawn")
STRONG = ((0.9, 0.1, 0.1), (0.15, 0.25, 0.8), (0.95, 0.8, 0.1), (0.15, 0.55, 0.2), (0.55, 0.15, 0.65), (1, 1, 1))
MILD = 0.25
"""How far a mild colour goes from that of the picture towards a strong one."""
STEPS, STOP = 20, 8
EDGE, PASSES = 8, 5
LEFT_AT_DECODE, OVER_THE_VAE, LEFT_AT_THE_STOP = 0.3, 0.01, 0.5

Tensors = dict[str, torch.Tensor]
Pixels = NDArray[np.float64]


def quiet(step: int, steps: int, estimate: torch.Tensor | None = None, /) -> None:
    del step, steps, estimate


@dataclass(frozen=True)
class Paint:
    """An ellipse over a picture of `size` (H, W), with its colour."""

    size: tuple[int, int]
    seed: int
    strong: bool

    @property
    def where(self) -> NDArray[np.bool_]:
        """The pixels that are painted."""
        return self._within(0)

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Those from 8 pixels inside of its edge on."""
        return self._within(EDGE)

    def _within(self, off: int) -> NDArray[np.bool_]:
        rng, (height, width) = np.random.default_rng(self.seed), self.size
        down, across = (side * (0.3 + 0.4 * rng.random()) for side in self.size)
        radii = [side * (0.17 + 0.08 * rng.random()) - off for side in self.size]
        y, x = np.mgrid[:height, :width] + 0.5
        inside: NDArray[np.bool_] = ((y - down) / radii[0]) ** 2 + ((x - across) / radii[1]) ** 2 <= 1
        return inside

    def colour_on(self, picture: Pixels) -> Pixels:
        """The colour of the paint, mild ones from that of the picture (H, W, 3) there."""
        colour = np.array(STRONG[self.seed % len(STRONG)], np.float64)
        if self.strong:
            return colour
        there: Pixels = picture[self.where].mean(axis=0)
        return there + MILD * (colour - there)

    def on(self, shown: torch.Tensor, colour: Pixels) -> torch.Tensor:
        """A picture with the paint on it, in 8 bits."""
        painted = shown.clone()
        painted[torch.from_numpy(self.where)] = torch.from_numpy(np.round(colour * 255) / 255).float()
        return painted

    def error(self, picture: torch.Tensor, colour: Pixels) -> float:
        """How far a picture is from the colour, of 0..1."""
        return float(np.abs(np.clip(picture.numpy(), 0, 1)[self.inside] - colour).mean())


@dataclass
class Errors:
    """Of one solver and strength of the colours, an error for each seed."""

    plain: list[float] = field(default_factory=list)
    painted: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    least: list[float] = field(default_factory=list)
    exact_beside: list[bool] = field(default_factory=list)

    @property
    def left(self) -> float:
        """The part of the unpainted run's error that is left, on average over the pictures."""
        return mean(painted / plain for painted, plain in zip(self.painted, self.plain, strict=True))


class Person:
    """Somebody who makes pictures with a model, looks at their proofs, and paints on them."""

    def __init__(self, models: Models, settings: Mapping[str, Any]) -> None:
        self._models, self._settings = models, dict(settings)

    def said(self, **more: Any) -> dict[str, Any]:
        return {**self._settings, **more}

    @property
    def flows(self) -> bool:
        """Whether the model was trained by flow matching."""
        return self._models.family(ModelSpec.of(self._settings)).flow  # type: ignore[arg-type]

    def begun(self, seed: int, prompt: str) -> tuple[Tensors, dict[str, Any]]:
        """Noise and embedding of a prompt, and the settings of its loop."""
        chosen = self.said(prompt=prompt, seed=seed, seeds=[seed], state="noise", step=None)
        made, _ = text.run(self._models, {}, chosen, quiet)
        return {name: value[0] if name in ("latents", "generator_state") else value for name, value in made.items()}, chosen

    def loop(self, tensors: Tensors, chosen: Mapping[str, Any], **more: Any) -> Tensors:
        made, _ = diffuse.run(self._models, tensors, {**chosen, **more}, quiet)
        return made | {name: tensor for name, tensor in tensors.items() if name.endswith("_embeds")}

    def shown(self, latents: torch.Tensor, **paint: torch.Tensor) -> torch.Tensor:
        """The picture of finished latents (C, h, w), as it is looked at."""
        chosen = self.said(state="final", step=None)
        return decode.run(self._models, {"latents": latents, **paint}, chosen, quiet)[0]["picture"]

    def applied(self, tensors: Tensors, chosen: Mapping[str, Any]) -> Tensors:
        return apply.run(self._models, tensors, chosen, quiet)[0]

    def encoded(self, picture: torch.Tensor) -> torch.Tensor:
        """The finished latents of a picture."""
        latents: torch.Tensor = encode.run(self._models, {"picture": picture}, self.said(state=None), quiet)[0]["latents"]
        return latents

    def through_the_vae(self, picture: torch.Tensor, passes: int = 1) -> list[torch.Tensor]:
        """A picture encoded and decoded as a whole, and what comes of it where the latents are corrected by what is missing."""
        wanted = latents = self.encoded(picture)
        made = [self.shown(latents)]
        for _ in range(passes - 1):
            latents = latents + wanted - self.encoded(made[-1].clamp(0, 1))
            made.append(self.shown(latents))
        return made


def proof_of(picture: torch.Tensor) -> torch.Tensor:
    return (picture.clamp(0, 1) * 255).round() / 255


def touched(where: NDArray[np.bool_], latents: torch.Tensor) -> torch.Tensor:
    """The blocks (h, w) with a painted pixel in them."""
    height, width = latents.shape[1:]
    blocks = where.reshape(height, where.shape[0] // height, width, -1).any(axis=(1, 3))
    return torch.from_numpy(blocks)


def paint_on(proof: torch.Tensor, latents: torch.Tensor, paint: Paint, colour: Pixels) -> Tensors:
    return {SHOWN: proof, PAINTED: paint.on(proof, colour), BLOCKS: touched(paint.where, latents)}


@dataclass(frozen=True)
class Picture:
    """One picture of a solver, half-done and finished, with its proofs."""

    half: Tensors
    going_on: Mapping[str, Any]
    finished: torch.Tensor
    plain: torch.Tensor
    early: torch.Tensor


def picture_of(person: Person, solver: str, seed: int, prompt: str) -> Picture:
    begun, chosen = person.begun(seed, prompt)
    chosen |= {"scheduler": solver, "steps": STEPS}
    half = person.loop(begun, chosen, stop_at=STOP)
    going_on = {**chosen, "state": "partial", "step": STOP}
    finished = person.loop(half, going_on)["latents"]
    return Picture(half, going_on, finished, person.shown(finished), proof_of(person.shown(half[ESTIMATE])))


def add_errors(
    person: Person, picture: Picture, seed: int, at_decode: Errors, at_stop: Errors, *, strong: bool
) -> list[torch.Tensor]:
    """Paint on the finished and on the half-done picture, add the errors, and return what there is to see of it."""
    plain, finished, half = picture.plain, picture.finished, picture.half
    paint = Paint((plain.shape[0], plain.shape[1]), seed, strong)
    colour = np.clip(paint.colour_on(plain.double().numpy()), 0, 1)
    late = {"latents": finished, **paint_on(proof_of(plain), finished, paint, colour)}
    on_half = {**half, **paint_on(picture.early, finished, paint, colour)}
    decoded, resumed = person.shown(**late), person.shown(person.loop(on_half, picture.going_on)["latents"])
    whole, *better = person.through_the_vae(late[PAINTED], PASSES)
    outside = ~late[BLOCKS]
    kept = person.applied(late, {**picture.going_on, "state": "final"}), person.applied(on_half, picture.going_on)
    for errors, made, before, after in zip(
        (at_decode, at_stop), (decoded, resumed), (finished, half["latents"]), kept, strict=True
    ):
        errors.plain.append(paint.error(plain, colour))
        errors.painted.append(paint.error(made, colour))
        errors.whole.append(paint.error(whole, colour))
        errors.least.append(min(paint.error(one, colour) for one in (whole, *better)))
        errors.exact_beside.append(torch.equal(before[:, outside], after["latents"][:, outside]))
    return [plain, late[PAINTED], whole, decoded, picture.early, on_half[PAINTED], resumed]


def person_of(models: Models, config: Config, name: str | None = None, *, where: str = "benchmarks.paint") -> Person:
    """Somebody with a model of a configuration, by default the embedded one, and its usual settings."""
    settings = resolve_settings({"prompt": "", "seed": 0, **({"model": name} if name else {})}, where, config)
    said = stage_settings(Request("text", Settings.model_validate(settings.given()), {}), config)
    device = said["model"].get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
    room = {"memory_bytes": 8_000_000_000, "scratch": tempfile.gettempdir()}
    return Person(models, {**said, "model": {**said["model"], "device": device}, "room": room, "preview_every": None})


def rows(solver: str, strong: bool, at_decode: Errors, at_stop: Errors, *, claimed: bool) -> Iterator[Figure]:
    """The figures of a solver; those of the embedded model and of strong colours are `claimed`, on average over the pictures."""
    colours = "strong" if strong else "mild"
    beside = f"unpainted {mean(at_decode.plain):.3f}, all encoded {mean(at_decode.whole):.3f}, least {mean(at_decode.least):.3f}"
    worst = max(at_decode.painted[i] - at_decode.whole[i] for i in range(len(at_decode.painted)))
    most = min(LEFT_AT_DECODE * mean(at_decode.plain), mean(at_decode.whole) + OVER_THE_VAE) if claimed else None
    note = f"{beside}; left {at_decode.left:.2f}, worst {worst:+.3f} over all encoded{_beside(at_decode)}"
    yield Figure(ITEM, f"{solver}, {colours} paint before the decoding: error", mean(at_decode.painted), at_most=most, note=note)
    note = f"error {mean(at_stop.painted):.3f}, unpainted {mean(at_stop.plain):.3f}{_beside(at_stop)}"
    most = LEFT_AT_THE_STOP if claimed else None
    yield Figure(ITEM, f"{solver}, {colours} paint at step {STOP} of {STEPS}: left of it", at_stop.left, at_most=most, note=note)


def _beside(errors: Errors) -> str:
    return "; beside it the same to the bit" if all(errors.exact_beside) else "; BESIDE IT LATENTS CHANGED"


def figures(
    seeds: int = SEEDS, model: str | None = None, config: Path | None = None, prompt: str | None = None, sheet: Path | None = None
) -> Iterator[Figure]:
    """Item 18."""
    models = Models(8 << 30)
    config = config or (USUAL_CONFIG if USUAL_CONFIG.exists() else None)
    person = person_of(models, read_config(config) if config else Config(), model)
    prompts = [prompt] if prompt else PROMPTS
    seen: dict[int, list[torch.Tensor]] = {}
    solvers = FLOW_SOLVERS if person.flows else SOLVERS
    for solver in solvers:
        errors = {strong: (Errors(), Errors()) for strong in (True, False)}
        for seed in range(seeds):
            picture = picture_of(person, solver, seed, prompts[seed % len(prompts)])
            for strong, (at_decode, at_stop) in errors.items():
                made = add_errors(person, picture, seed, at_decode, at_stop, strong=strong)
                if strong:
                    seen.setdefault(seed, []).extend(made if solver == solvers[0] else (made[0], made[3], made[6]))
        for strong, both in errors.items():
            yield from rows(solver, strong, *both, claimed=strong and model is None)
    if sheet is not None:
        write_sheet(sheet, seen)


def write_sheet(path: Path, pictures: Mapping[int, Sequence[torch.Tensor]]) -> None:
    """Write pictures as one PNG, a row for each seed: as it was, painted, all encoded, painted before the decoding; the proof at
    the stop, painted, what came of it; then of each further solver without paint, painted before the decoding and at the stop."""
    lines = [np.concatenate([proof_of(one).numpy() for one in row], axis=1) for row in pictures.values()]
    Image.fromarray((np.concatenate(lines) * 255).round().astype(np.uint8)).save(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--model")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--prompt")
    parser.add_argument("--sheet", type=Path)
    given, sys.argv[1:] = parser.parse_known_args()
    run(lambda: figures(**vars(given)))
