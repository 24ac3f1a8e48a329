"""A worker that answers at once: the real pipe and protocol, and instead of a model numbers drawn from the words."""

import hashlib
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daemon.compute.pipe import ArrayPipe
from daemon.compute.worker import _end_with

ENDLESS = "a picture that takes for ever"  # until it is cancelled; to be alone in its daemon

Arrays = Mapping[str, NDArray[Any]]


def noise_of(prompt: str, width: int = 64, height: int = 64) -> NDArray[np.float32]:
    """The latents that this worker makes of a prompt: other words, other numbers."""
    seed = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal((4, height // 8, width // 8), dtype=np.float32)


def text(_arrays: Arrays, settings: Mapping[str, Any]) -> Arrays:
    noise = noise_of(settings["prompt"], settings["width"], settings["height"])
    count = len(settings["seeds"])
    embedding = np.zeros((2, 4), np.float32)
    return {
        "latents": np.stack([noise] * count),
        "generator_state": np.zeros((count, 8), np.uint8),
        "prompt_embeds": embedding,
        "negative_prompt_embeds": embedding,
    }


def diffuse(arrays: Arrays, _settings: Mapping[str, Any]) -> Arrays:
    return {"latents": arrays["latents"] / 2}


def decode(arrays: Arrays, _settings: Mapping[str, Any]) -> Arrays:
    return {"picture": np.repeat(np.repeat(arrays["latents"][:3].transpose(1, 2, 0), 8, 0), 8, 1)}


def encode(arrays: Arrays, _settings: Mapping[str, Any]) -> Arrays:
    return {"latents": np.zeros((4, *(side // 8 for side in arrays["picture"].shape[:2])), np.float32)}


def _wait_until_cancelled(pipe: ArrayPipe, call: int) -> None:
    while pipe.recv() != ("cancel", call):
        continue
    pipe.send(("failed", call, "Cancelled", "the job was cancelled", ""))


STAGES = {"text": text, "diffuse": diffuse, "decode": decode, "encode": encode}


def main(pipe_fd: int, parent: int, *_: int) -> None:
    _end_with(parent)
    pipe = ArrayPipe(pipe_fd)
    with suppress(EOFError, ConnectionError):
        while True:
            message = pipe.recv()
            if message[0] == "run":
                _, stage, jobs = message
                facts = {"state": "final"} if stage in {"diffuse", "encode"} else {}
                for call, arrays, settings in jobs:
                    if settings.get("prompt") == ENDLESS:
                        _wait_until_cancelled(pipe, call)
                        continue
                    pipe.send(("done", call, STAGES[stage](arrays, settings), facts))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
