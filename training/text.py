"""Phase `text`: the text encoder, trained to tell the words of a caption apart and frozen afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.captions import random_caption
from training.loop import descend, learning_rate, set_learning_rate
from training.scenes import COLOURS, GROUNDS, OBJECTS, TIMES, Scene
from training.tokenizer import WORD_END

WIDTH = 128
PEAK_RATE = 1e-3
WARMUP = 50
DECAY_SHARE = 0.5
BATCH = 32
STRANGE_WORD = 0.15

PARTS: dict[str, tuple[str, ...]] = {"time": TIMES, "ground": GROUNDS, "object": OBJECTS, "colour": COLOURS}


def build(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def token_ids(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Returns the captions as ids (n, 77), filled up with the end token."""
    ids: Tensor = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return ids


def parts_read(tokenizer: CLIPTokenizer, ids: Tensor) -> dict[str, Tensor]:
    """Returns for each part which of its words stands at or before each position (n, 77); the last class is none."""
    read: dict[str, Tensor] = {}
    for part, words in PARTS.items():
        read[part] = torch.full_like(ids, len(words))
        for index, word in enumerate(words):
            at = ids == tokenizer.convert_tokens_to_ids(word + WORD_END)
            read[part][at.cumsum(1) > 0] = index
    return read


def with_strange_word(caption: str, rng: np.random.Generator) -> str:
    """Returns the caption with a made-up word in it, so that the encoder learns to read past words it cannot know."""
    letters = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), size=rng.integers(2, 8)))
    words = caption.split()
    words.insert(int(rng.integers(0, len(words) + 1)), letters)
    return " ".join(words)


class TextPhase:
    """Learns to tell at every position, from its hidden state alone, what the caption has said so far."""

    name = "text"

    def __init__(self, tokenizer: CLIPTokenizer, scenes: list[Scene], steps: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.tokenizer, self.scenes, self.steps, self.seed = tokenizer, scenes, steps, seed
        self.encoder = build(tokenizer)
        self.heads = nn.ModuleDict({part: nn.Linear(WIDTH, len(words) + 1) for part, words in PARTS.items()})
        weights = [*self.encoder.parameters(), *self.heads.parameters()]
        self.optimiser = torch.optim.AdamW(weights, lr=PEAK_RATE, weight_decay=1e-2)

    def train_step(self, step: int) -> dict[str, float]:
        set_learning_rate(self.optimiser, learning_rate(step, self.steps, PEAK_RATE, WARMUP, DECAY_SHARE))
        rng = np.random.default_rng([self.seed, step])
        captions = [random_caption(self.scenes[i], rng) for i in rng.integers(0, len(self.scenes), BATCH)]
        captions = [with_strange_word(c, rng) if rng.random() < STRANGE_WORD else c for c in captions]
        ids = token_ids(self.tokenizer, captions)
        hidden = self.encoder(ids).last_hidden_state
        losses, correct = [], torch.ones(len(ids), dtype=torch.bool)
        for part, label in parts_read(self.tokenizer, ids).items():
            scores = self.heads[part](hidden)
            losses.append(F.cross_entropy(scores.flatten(0, 1), label.flatten()))
            correct &= (scores.argmax(-1) == label).all(1)
        loss = torch.stack(losses).mean()
        descend(loss, self.optimiser)
        return {"loss": loss.item(), "captions_right": correct.float().mean().item()}

    def state(self) -> dict[str, Any]:
        parts = {"encoder": self.encoder, "heads": self.heads, "optimiser": self.optimiser}
        return {name: part.state_dict() for name, part in parts.items()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.encoder.load_state_dict(state["encoder"])
        self.heads.load_state_dict(state["heads"])
        self.optimiser.load_state_dict(state["optimiser"])
