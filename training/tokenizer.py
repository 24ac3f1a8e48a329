"""The demo model's own vocabulary: every byte, and one token for each word of its captions."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

from transformers import CLIPTokenizer

from training.captions import WORDS

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 77
WORD_END = "</w>"


def byte_characters() -> list[str]:
    """Returns the printable stand-ins that byte-level BPE uses for the bytes 0..255, in CLIP's order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(hidden))]


def merged(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    result: list[str] = []
    for symbol in symbols:
        if result and (result[-1], symbol) == pair:
            result[-1] += symbol
        else:
            result.append(symbol)
    return result


def learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Returns the byte-pair merges, in order, after which every word is a single token."""
    spellings = [[*word[:-1], word[-1] + WORD_END] for word in words]
    merges: list[tuple[str, str]] = []
    while any(len(spelling) > 1 for spelling in spellings):
        pairs = Counter(pair for spelling in spellings for pair in pairwise(spelling))
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        spellings = [merged(spelling, best) for spelling in spellings]
    return merges


def build(folder: Path) -> CLIPTokenizer:
    """Writes the tokenizer into the folder and returns it as it loads from there."""
    folder.mkdir(parents=True, exist_ok=True)
    merges = learn_merges(sorted(WORDS))
    characters = byte_characters()
    tokens = [*characters, *(c + WORD_END for c in characters), *(a + b for a, b in merges), START, END]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(f"{a} {b}" for a, b in merges)]) + "\n")
    (folder / "special_tokens_map.json").write_text(
        json.dumps({"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}, indent=2) + "\n"
    )
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "CLIPTokenizer",
                "model_max_length": LENGTH,
                "bos_token": START,
                "eos_token": END,
                "pad_token": END,
                "unk_token": END,
                "add_prefix_space": False,
                "do_lower_case": True,
            },
            indent=2,
        )
        + "\n"
    )
    return CLIPTokenizer.from_pretrained(folder)
