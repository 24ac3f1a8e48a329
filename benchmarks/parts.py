"""What the parts cost: all of a picture's time that is not a forward pass of a model, and all of a step's that is not the UNet's.

The daemon is the real one with a clock around the forward passes of its worker (timed_worker.py); the loop is measured in this
process, the stage and the bare UNet in turns.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import one_piece
from benchmarks.daemon_on import DaemonOn
from benchmarks.figures import Figure, run
from benchmarks.folder import PROMPTS, demo, full_size
from benchmarks.one_piece import Setting
from benchmarks.timed_worker import TIMED, timed
from benchmarks.timing import ratio, seconds_of, spread, taking_turns


def overhead(setting: Setting, prompts: Sequence[str], *, rounds: int) -> list[tuple[float, float]]:
    """Seconds of a picture since the first one was claimed, and those of its forward passes, in each round."""
    found = []
    with tempfile.TemporaryDirectory() as place:
        clock = Path(place) / "forward_seconds"
        options = {"program": "benchmarks.timed_program", "environment": {"FORWARD_SECONDS": str(clock)}}
        with DaemonOn(Path(place) / "daemon", setting, **options) as daemon:
            daemon.make(prompts[:1])
            for _ in range(rounds):
                clock.write_text("")
                whole = daemon.make(prompts)
                found.append((whole / len(prompts), sum(map(float, clock.read_text().split())) / len(prompts)))
    return found


def overhead_in_one_piece(setting: Setting, prompts: Sequence[str]) -> float:
    """Seconds of a picture of the one-piece pipeline that are not forward passes: its scheduler, its loop, its PNG file."""
    import torch

    pipe, spent = one_piece.load(setting), list[float]()
    for name, method in TIMED.items():
        part = getattr(pipe, name)
        setattr(part, method, timed(getattr(part, method), spent.append))
    with tempfile.TemporaryDirectory() as place, torch.no_grad():
        one_piece.make(pipe, setting, prompts[:1], Path(place))
        spent.clear()
        whole = seconds_of(lambda: one_piece.make(pipe, setting, prompts, Path(place)))
    return (whole - sum(spent)) / len(prompts)


def loop_over_unet(setting: Setting, what: str, *, rounds: int, steps: int, headline: bool = False) -> Figure:
    """The time of the diffuse stage over that of its forward passes: with a clock around them, and of the bare UNet in turns.

    The clock is what is held to the target: two runs of seconds differ by more on a machine that others use too."""
    import torch

    from daemon.models.registry import Models, ModelSpec
    from daemon.stages import diffuse, text

    torch.set_num_threads(setting.threads)
    models = Models(1 << 40)
    chosen = {**plain_settings(setting), "steps": steps}
    drawn, _ = text.run(models, {}, chosen, lambda *_: None)
    tensors = {name: value[0] if name in ("latents", "generator_state") else value for name, value in drawn.items()}
    unet, spent = models.component(ModelSpec.of(chosen), "unet"), list[float]()
    unet.forward = timed(unet.forward, spent.append)
    shares: list[float] = []
    pair = torch.cat([tensors["latents"][None]] * 2)
    words = torch.stack([tensors["negative_prompt_embeds"], tensors["prompt_embeds"]])

    @torch.no_grad()
    def bare() -> None:
        for step in range(steps):
            unet(pair, torch.tensor(step), encoder_hidden_states=words, return_dict=False)

    def stage() -> None:
        spent.clear()
        whole = seconds_of(lambda: diffuse.run(models, tensors, chosen, lambda *_: None))
        shares.append(whole / sum(spent))

    times = taking_turns({"stage": stage, "bare": bare}, rounds=rounds)
    found, turns = spread(shares[1:]), ratio(times["stage"], times["bare"])
    note = f"in turns with the bare UNet {turns.median:.3f}x ({turns.low:.3f} to {turns.high:.3f})"
    most = 1.02 if headline else None
    return Figure(4, what, found.median, "x", found.low, found.high, at_most=most, note=note, headline=headline)


def plain_settings(setting: Setting) -> dict[str, Any]:
    """A job of this setting as a stage takes it."""
    return {
        **{"prompt": PROMPTS[0], "negative_prompt": "", "seed": 0, "seeds": [0], "state": "noise", "step": None, "painted": 0},
        **{"width": setting.width, "height": setting.height, "steps": setting.steps, "scheduler": setting.scheduler},
        "guidance_scale": setting.guidance_scale,
        "model": {"name": "m", "path": setting.model, "dtype": "float32", "vae": None, "network": False, "device": "cpu"},
        "room": {"memory_bytes": 8_000_000_000, "scratch": tempfile.gettempdir()},
    }


def figures() -> Iterator[Figure]:
    """Items 3 and 4."""
    found = overhead(demo(), PROMPTS, rounds=3)
    small = spread([1000 * (whole - forward) for whole, forward in found])
    what = f"overhead of the parts for a picture, embedded model, a folder of {len(PROMPTS)}"
    note = f"the one-piece pipeline: {1000 * overhead_in_one_piece(demo(), PROMPTS):.0f} ms"
    yield Figure(3, what, small.median, "ms", small.low, small.high, at_most=30, note=note, headline=True)
    ((whole, forward),) = overhead(full_size(), PROMPTS[:2], rounds=1)
    what, note = "the same at the size of SD1.5, of the whole", f"{1000 * (whole - forward):.0f} ms of {whole:.1f} s"
    yield Figure(3, what, 100 * (whole - forward) / whole, "%", at_most=1, note=note, headline=True)
    what = "a step of the loop over its forward passes"
    yield loop_over_unet(demo(), f"{what}, embedded model", rounds=5, steps=20)
    yield loop_over_unet(full_size(), f"{what}, size of SD1.5", rounds=2, steps=2, headline=True)


if __name__ == "__main__":
    run(figures)
