"""Writes the model card from what the training and the judge have left behind.

python -m training.card --out DIR --model daemon/models/demo
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from training import decoder, judge, text, unet, vae
from training.captions import GROUND_PHRASES, TEMPLATES, TIME_PHRASES, full_caption
from training.loop import checkpoint
from training.scenes import COLOURS, GROUNDS, HELD_OUT, OBJECTS, TIMES, Scene

WEIGHTS = {
    "U-Net": "unet/diffusion_pytorch_model.safetensors",
    "autoencoder": "vae/diffusion_pytorch_model.safetensors",
    "text encoder": "text_encoder/model.safetensors",
}
PARTS = ("time", "ground", "object", "colour", "all four")
REQUIRED = {"time": "90 %", "ground": "90 %", "object": "80 %", "colour": "80 %", "all four": "-"}


def parameters(path: Path) -> int:
    """Returns how many numbers a weight file holds."""
    with safe_open(path, framework="pt") as weights:
        return sum(weights.get_tensor(name).numel() for name in weights.keys())  # noqa: SIM118


def last_line(path: Path) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(path.read_text().splitlines()[-1])
    return line


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def judge_table(figures: dict[str, Any]) -> list[str]:
    groups = ("judge on drawings", "generated", "held-out pairs")
    head = ["| | required |", *(f" {name} |" for name in groups)]
    rule = "|---|---|" + "---|" * len(groups)
    rows = [
        f"| {part} | {REQUIRED[part]} | " + " | ".join(percent(figures[name][part]) for name in groups) + " |" for part in PARTS
    ]
    return ["".join(head), rule, *rows]


def phase_rows(out: Path) -> list[str]:
    """Returns one table row for each phase: steps, batch, peak rate, time, starts, final losses."""
    rows = []
    for phase in (vae, text, unet, decoder):
        name = phase.__name__.rsplit(".", 1)[-1]
        progress = torch.load(checkpoint(out, name), mmap=True)
        losses = last_line(out / f"{name}.jsonl")
        kept = ", ".join(f"{k} {v:g}" for k, v in losses.items() if k not in ("phase", "step", "seconds", "rate"))
        rows.append(
            f"| {name} | {progress['step']} | {phase.BATCH} | {phase.PEAK_RATE:g} "
            f"| {progress['seconds'] / 60:.0f} min | {progress['starts']} | {kept} |"
        )
    return rows


TEMPLATE = """---
license: mit
library_name: diffusers
pipeline_tag: text-to-image
---

# demo

A small latent-diffusion model in the layout of Stable Diffusion 1.x, trained from nothing on pictures that
`training/scenes.py` draws. It makes pictures of 128 x 128 pixels of six things and weighs {megabytes:.1f} MB.

## Words it knows

- times of day: {times}
- grounds: {grounds}
- objects: {objects}
- colours: {colours}

Captions are lower case, such as "{example}". The wordings it was trained on:

{templates}

with {phrases}.

Time, ground and colour may be left out; the model then picks one. Words it does not know are read past.

## Settings

Sampler `{sampler}`, {steps} steps, guidance {guidance:g}, 128 x 128 pixels. The prediction type is `v_prediction`.

## How well it does

`training/judge.py` trains a small network on {drawings} drawings and nothing else, tests it on {tests} further drawings,
and lets it read {generated} generated pictures with fresh seeds and random captions. The pairs of object and colour in
the last column were kept out of training ({held_out}), though not out of
the judge's drawings; {unseen} pictures.

{judged}

What was judged are the shipped float16 weights, computing in float32.

## How it was made

Data: {scenes} scenes, drawn from the seeds 0 to {last_scene}. Everything that is random starts from seed 0.

| part | architecture | parameters |
|---|---|---|
| autoencoder | `AutoencoderKL` {vae_channels}, 4 latent channels, factor 8 | {vae_size:,} |
| text encoder | `CLIPTextModel`, {text_layers} layers, width {text_width}, {words} tokens | {text_size:,} |
| U-Net | `UNet2DConditionModel` {unet_channels}, cross-attention at 8 x 8 and 4 x 4 | {unet_size:,} |

| phase | steps | batch | peak rate | time | starts | means of the last logged steps |
|---|---|---|---|---|---|---|
{phases}

Time is wall-clock time on two CPU cores, float32, shared with other work; a phase with more than one start was
interrupted and resumed from its checkpoint.{remark}

- The autoencoder learns L1 + L2 + L1 of the edges of the pictures, a small KL term, and a 16 x 16 thumbnail that a
  linear map must read off the latents. Its latents have mean 0 and spread 1 in every channel.
- The text encoder learns to tell at every position which words the caption has said so far, and is frozen then.
- The U-Net learns the velocity; {empty:.0%} of the captions are empty, and the weight of almost clean steps is limited.
  What is shipped is the moving average of its weights ({average}).
- At last the decoder alone learns on, from finished latents with noise of {noise:g} added: those of the U-Net are not
  perfect either.

```
python -m training.train --out DIR --model daemon/models/demo
python -m training.judge --out DIR --model daemon/models/demo
python -m training.card --out DIR --model daemon/models/demo
```

## Limits

It knows nothing but the words above, one object a picture, 128 x 128 pixels. Edges are softer than in the drawings, and
thin parts (windows, baskets, wheels) are approximate. Held-out pairs have the right words but rougher shapes: the judge
reads which of six objects it is, not how well it is drawn.

## Licence

MIT, like the rest of the repository. No picture, text or weight from anywhere else went into it.
"""


def read_config(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(path.read_text())
    return config


def channels(config: dict[str, Any]) -> str:
    return f"({', '.join(map(str, config['block_out_channels']))})"


def card(out: Path, model: Path, figures: dict[str, Any], scenes: int, remark: str) -> str:
    """Returns the model card of the exported folder."""
    sizes = {name: parameters(model / path) for name, path in WEIGHTS.items()}
    configs = {name: read_config((model / path).parent / "config.json") for name, path in WEIGHTS.items()}
    phrases = [*GROUND_PHRASES.values(), *TIME_PHRASES.values()]
    return TEMPLATE.format(
        megabytes=sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) / 1e6,
        times=", ".join(TIMES),
        grounds=", ".join(GROUNDS),
        objects=", ".join(OBJECTS),
        colours=", ".join(COLOURS),
        example=full_caption(Scene("sunset", "meadow", "house", "red", 0)),
        templates="\n".join(f"- `{template}`" for template in TEMPLATES),
        phrases=", ".join(f'"{phrase}"' for some in phrases for phrase in some),
        **figures["setting"],
        drawings=judge.DRAWINGS,
        tests=judge.TESTS,
        generated=figures["generated"]["pictures"],
        held_out=", ".join(f"{colour} {thing}" for thing, colour in sorted(HELD_OUT)),
        unseen=figures["held-out pairs"]["pictures"],
        judged="\n".join(judge_table(figures)),
        scenes=scenes,
        last_scene=scenes - 1,
        vae_channels=channels(configs["autoencoder"]),
        vae_size=sizes["autoencoder"],
        text_layers=configs["text encoder"]["num_hidden_layers"],
        text_width=configs["text encoder"]["hidden_size"],
        words=configs["text encoder"]["vocab_size"],
        text_size=sizes["text encoder"],
        unet_channels=channels(configs["U-Net"]),
        unet_size=sizes["U-Net"],
        phases="\n".join(phase_rows(out)),
        empty=unet.EMPTY_CAPTIONS,
        average=unet.EMA_DECAY,
        noise=decoder.NOISE,
        remark=f" {remark}" if remark else "",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the training")
    parser.add_argument("--model", type=Path, required=True, help="the model whose README.md to write")
    parser.add_argument("--scenes", type=int, default=16384)
    parser.add_argument("--remark", default="", help="a sentence on how this very training went")
    options = parser.parse_args()
    figures = json.loads((options.out / "figures.json").read_text())
    (options.model / "README.md").write_text(card(options.out, options.model, figures, options.scenes, options.remark))


if __name__ == "__main__":
    main()
