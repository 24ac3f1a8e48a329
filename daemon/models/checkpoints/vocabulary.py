"""The vocabulary of CLIP, which is the same for all models of all families: shipped, so that a single file needs nothing beside it.

It is the one of OpenCLIP's package, with its licence beside it."""

import functools
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

FILE = Path(__file__).resolve().parent.parent / "configs" / "clip" / "bpe_simple_vocab_16e6.txt.gz"
WORDS = 49_408
_OPTIONS = ("model_max_length", "pad_token", "bos_token", "eos_token", "unk_token")


def clip_tokenizer(config: Mapping[str, Any]) -> CLIPTokenizer:
    """Return CLIP's tokenizer with the special tokens and the length that a tokenizer_config.json names."""
    vocabulary, merges = _vocabulary()
    options = {name: config[name] for name in _OPTIONS if name in config}
    return CLIPTokenizer(vocab=dict(vocabulary), merges=list(merges), **options)


@functools.cache
def _vocabulary() -> tuple[Mapping[str, int], Sequence[tuple[str, str]]]:
    """Source: open_clip/tokenizer.py. 256 bytes, the same at the end of a word, one word for each merge, and two marks."""
    lines = gzip.decompress(FILE.read_bytes()).decode("utf-8").split("\n")
    merges = [(first, second) for first, second in (line.split() for line in lines[1 : WORDS - 2 - 512 + 1])]
    letters = _letters()
    words = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges), "<|startoftext|>", "<|endoftext|>"]
    return {word: number for number, word in enumerate(words)}, merges


def _letters() -> list[str]:
    """A printable letter for each byte: those that print themselves first, then the others."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [*map(chr, plain), *(chr(256 + number) for number in range(256 - len(plain)))]
