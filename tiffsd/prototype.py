"""Files of the prototype of 2023: raw tensors without metadata, told apart by the ending of their names and by their spread.

    NAME_state1, NAME_latent         noise times the scheduler's init_noise_sigma (4, h, w), float16
    NAME_textstate1, NAME_prompt     embedding (2, 77, 768), float32: row 0 unconditional, row 1 the prompt
    NAME_state2, NAME_unet           result divided by 0.18215 (4, h, w), float16

Its scheduler was LMS, whose sigmas begin at 14.6146 with linear spacing; 11.0706 is what 20 steps of leading spacing begin with.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiffsd.canvas import Pixels, in_float64
from tiffsd.header import Header
from tiffsd.spec import NOUNS, BadShape, BadValues, Kind, State, WrongKind

NOISE_ENDINGS = ("_state1", "_latent")
RESULT_ENDINGS = ("_state2", "_unet")
EMBEDDING_ENDINGS = ("_textstate1", "_prompt")
EMBEDDING_OF_A_RESULT = "_prompt_unet"  # or a result of what somebody called NAME_prompt: the pages decide

PAGES_OF_AN_EMBEDDING = 2
SCALING_FACTOR = 0.18215
INITIAL_SIGMAS = (14.6146, 11.0706)
NEAR = 0.05
FEW_SIGMAS = 4.0  # the deviation of n numbers of unit noise is within this many times 1 / sqrt(2 n) of 1
UNSCALED_DEVIATION = 2.0  # what a denoiser sees, and unit noise, is about 1; 1 / 0.18215 is 5.5
# Flat results; below lie latents in the denoiser's units whose file happens to be called the same.
UNSCALED_RESULT_DEVIATION = 1.5
NOISE_DEVIATION = 8.0
# What the loop put out on its way; results have about 4, and neighbours that are alike.
NOISY_RESULT_DEVIATION, NOISY_CORRELATION = 5.0, 0.5

_OF_A_STEP = re.compile(r"_(\d+)(?:_unet|_state2)\Z", re.IGNORECASE)
_EXTENSION = re.compile(r"(\.[0-9a-f]{8})?\.tiff?$", re.IGNORECASE)


def ending(name: str) -> str | None:
    """The prototype's ending of a file name ("_latent", "_prompt", ...), before the id and the extension, or None."""
    stem = _EXTENSION.sub("", name)
    return next((e for e in (*NOISE_ENDINGS, *RESULT_ENDINGS, *EMBEDDING_ENDINGS) if stem.lower().endswith(e)), None)


def kind_by_ending(name: str) -> Kind | None:
    """The kind of artifact that a name of the prototype stands for: latents or an embedding; None for other names."""
    found = ending(name)
    if found is None:
        return None
    return Kind.EMBEDDING if found in EMBEDDING_ENDINGS else Kind.LATENTS


def is_of_a_result(name: str) -> bool:
    """Whether a name is that of the embedding beside a result, NAME_prompt_unet."""
    return _EXTENSION.sub("", name).lower().endswith(EMBEDDING_OF_A_RESULT)


def rescale(raw: Pixels, *, name: str) -> tuple[Pixels, State | None, str]:
    """Raw latents (4, h, w) -> as the denoiser sees them, the state if the scale tells it, and what was assumed.

    The prototype wrote noise times the scheduler's sigma, and results divided by 0.18215; deviation and name tell. Raises BadValues
    for what its loop put out on its way.
    """
    deviation, by_name = float(raw.std(dtype=np.float64)), ending(name)
    of_a_step = _OF_A_STEP.search(_EXTENSION.sub("", name))
    if of_a_step and deviation > NOISY_RESULT_DEVIATION and correlation(raw) < NOISY_CORRELATION:
        raise BadValues(
            f"{name} is what the prototype's loop put out at step {of_a_step[1]}, with noise left in it (standard deviation "
            f"{deviation:.4g}, and results have about 4), and nothing says how much; use the result without a number in its name"
        )
    if deviation <= (UNSCALED_RESULT_DEVIATION if by_name in RESULT_ENDINGS else UNSCALED_DEVIATION):
        return raw, None, "four raw channels were taken as latents in the denoiser's units"
    if by_name in NOISE_ENDINGS or (by_name not in RESULT_ENDINGS and deviation > NOISE_DEVIATION):
        divisor, what = _initial_sigma(deviation, raw.size)
        note = f"a file of the prototype: noise of standard deviation {deviation:.4g}, divided by {what}"
        return in_float64(raw, lambda wide: wide / divisor), State.NOISE, note
    note = f"a file of the prototype: a result of standard deviation {deviation:.4g}, multiplied by {SCALING_FACTOR}"
    return in_float64(raw, lambda wide: wide * SCALING_FACTOR), State.FINAL, note


def correlation(latents: Pixels) -> float:
    """Of horizontal neighbours in latents (C, h, w): 0 of noise, near 1 of what is smooth or has one column."""
    x = latents.astype(np.float64)
    x -= x.mean()
    variance = float(np.square(x).mean())
    return float((x[..., 1:] * x[..., :-1]).mean()) / variance if x.shape[2] > 1 and variance else 1.0


def embedding(pages: Pixels) -> dict[str, Pixels]:
    """The prototype's pages (2, T, D), the negative one first -> prompt_embeds and negative_prompt_embeds, (T, D) each."""
    return {"prompt_embeds": pages[1], "negative_prompt_embeds": pages[0]}


def plain(tensors: Mapping[str, NDArray[Any]], header: Header) -> dict[str, NDArray[Any]]:
    """The way back: an artifact's tensors -> the planes of the prototype's files, by the ending of their names.

    Latents are rounded to float16, as the prototype's were. Raises WrongKind for a picture, BadShape for other than four channels
    or an embedding without two equal halves, BadValues for half-done latents.
    """
    if header.kind is Kind.PICTURE:
        raise WrongKind(f"artifact {header.id} holds {NOUNS[header.kind]}, and the prototype's files latents or an embedding")
    files: dict[str, NDArray[Any]] = {}
    if header.kind is Kind.LATENTS:
        name, factor = _unscaled(header)
        files[name] = (tensors["latents"] * np.float32(factor)).astype(np.float16)
    halves = [tensors[name] for name in ("negative_prompt_embeds", "prompt_embeds") if name in tensors]
    if halves:
        if len(halves) == 1 or halves[0].shape != halves[1].shape:
            raise BadShape(
                f"artifact {header.id} has not two halves of an embedding alike, which the prototype stacks; encode both"
            )
        files["_prompt"] = np.stack(halves).astype(np.float32)
    return files


def _unscaled(header: Header) -> tuple[str, float]:
    """The ending of the name, and the factor from a denoiser's units to the prototype's."""
    if header.size[0] != 4:
        raise BadShape(f"artifact {header.id} has {header.size[0]} channels, and the prototype knew latents of four; write TIFFSD")
    if header.state is State.PARTIAL:
        raise BadValues(f"artifact {header.id} is half-done, and the prototype knew noise and results only; finish it first")
    return ("_latent", INITIAL_SIGMAS[0]) if header.state is State.NOISE else ("_unet", 1 / SCALING_FACTOR)


def _initial_sigma(deviation: float, count: int) -> tuple[float, str]:
    near = max(NEAR, FEW_SIGMAS / math.sqrt(2 * count))
    nearest = min(INITIAL_SIGMAS, key=lambda sigma: abs(deviation / sigma - 1))
    if abs(deviation / nearest - 1) <= near:
        return nearest, f"the initial sigma {nearest} of its scheduler"
    return deviation, "that, as it fits no scheduler that is known here"
