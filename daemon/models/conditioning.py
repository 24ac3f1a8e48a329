"""Prompts -> embeddings: the weights, chunks and textual inversions that the text encoders of diffusers' pipelines do not know.

A CLIP sees a prompt in chunks of 75 tokens, each between its start and its end, each encoded alone; their embeddings stand one
after the other. Source: A1111's `sd_hijack_clip.py`, down to where a chunk ends: after the last comma, if that is at most 20 tokens
back. Weights multiply the embeddings of their tokens, and the mean of a chunk is restored, as in A1111. A prompt of one chunk
without weights gives the bits of `encode_prompt`.

    T tokens   D width of a token   P width of the pooled embedding
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from daemon.models.prompt_grammar import Name, Sections, Words, split_names

COMMA = ",</w>"
COMMA_REACH = 20
# Where a mean is less than this part of the magnitudes the embedding is centred: to restore the mean would scale it by noise.
CENTRED = 0.01


@dataclass(frozen=True)
class Token:
    """One token of a prompt; `vector` (D,), where there is one, takes the place of what the encoder knows of it.

    `inner` says that it belongs to the token before it, so that no chunk may end between them."""

    id: int
    weight: float = 1.0
    vector: torch.Tensor | None = None
    inner: bool = False


class Clip:
    """A CLIP text encoder with its tokenizer; `inversions` are textual inversions by name, each (n, D) for n tokens."""

    def __init__(self, tokenizer: Any, encoder: Any, inversions: Mapping[str, torch.Tensor] | None = None) -> None:
        self._tokenizer, self._encoder, self._inversions = tokenizer, encoder, inversions or {}
        # A tokenizer may not know how many tokens its encoder sees.
        self._length = min(int(tokenizer.model_max_length), int(encoder.config.max_position_embeddings))

    @property
    def layers(self) -> int:
        """How many layers the encoder has."""
        return int(self._encoder.config.num_hidden_layers)

    def count_chunks(self, prompt: Sections) -> int:
        """How many chunks a prompt has: at least one."""
        return len(self._chunks(prompt))

    def encode(self, prompt: Sections, layer: int, chunks: int, *, normed: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embeddings (77 * chunks, D) and the pooled one (P,), in float32 on the CPU.

        `layer` counts from the end: 1 is the last; `normed` sends it through the final norm. A prompt of fewer chunks is filled up
        with chunks of no words. The pooled embedding is that of the first chunk, without weights."""
        own = self._chunks(prompt)
        encoded = [self._encoded(chunk, layer, normed=normed) for chunk in own + [[]] * (chunks - len(own))]
        return torch.cat([hidden for hidden, _ in encoded]), encoded[0][1]

    def pooled(self, prompt: Sections) -> torch.Tensor:
        """Return the pooled embedding (P,) of the first 75 tokens, for a family that takes nothing else of this encoder."""
        tokens = [token for section in prompt for token in self._tokens(section)]
        return self._encoded(tokens[: self._length - 2], 1)[1]

    def _chunks(self, prompt: Sections) -> list[list[Token]]:
        chunks = [chunk for section in prompt for chunk in self._cut(list(self._tokens(section)))]
        # A BREAK at the very end begins nothing.
        return chunks[:-1] if len(chunks) > 1 and not chunks[-1] else chunks

    def _cut(self, tokens: list[Token]) -> Iterator[list[Token]]:
        room, comma = self._length - 2, self._tokenizer.convert_tokens_to_ids(COMMA)
        while len(tokens) > room:
            end = next(place for place in range(room, -1, -1) if not tokens[place].inner) or room
            commas = [place for place in range(room - COMMA_REACH, room + 1) if _is_word(tokens[place], comma)]
            if end == room and commas:
                end = min(commas[-1] + 1, room)
            yield tokens[:end]
            tokens = tokens[end:]
        yield tokens

    def _tokens(self, section: Sequence[Words]) -> Iterator[Token]:
        for words in section:
            for piece in split_names(words.text, self._inversions):
                if isinstance(piece, Name):
                    vectors = self._inversions[piece.name]
                    yield from (Token(0, words.weight, vector, inner=place > 0) for place, vector in enumerate(vectors))
                else:
                    yield from (Token(id, words.weight) for id in self._tokenizer(piece, add_special_tokens=False).input_ids)

    def _encoded(self, chunk: Sequence[Token], layer: int, *, normed: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        tokenizer, encoder = self._tokenizer, self._encoder
        seen = [Token(tokenizer.bos_token_id), *chunk, Token(tokenizer.eos_token_id)]
        filled = seen + [Token(tokenizer.pad_token_id)] * (self._length - len(seen))
        ids = torch.tensor([[token.id for token in filled]], device=encoder.device)
        mask = (torch.arange(self._length, device=encoder.device) < len(seen)).long()[None]
        masked = getattr(encoder.config, "use_attention_mask", False)
        with _replaced(encoder, {place: token.vector for place, token in enumerate(filled) if token.vector is not None}):
            output = encoder(ids, attention_mask=mask if masked else None, output_hidden_states=True)
        hidden = output.hidden_states[-layer]
        if normed:
            hidden = getattr(encoder, "text_model", encoder).final_layer_norm(hidden)
        pooled = output.text_embeds if hasattr(output, "text_embeds") else output.pooler_output
        return _weighted(hidden[0], filled), pooled[0].float().cpu()


class T5:
    """A T5 text encoder with its tokenizer; it sees up to `length` tokens at once, so that it knows neither chunks nor BREAK.

    The `names` of textual inversions are left out, because their vectors are those of a CLIP."""

    def __init__(self, tokenizer: Any, encoder: Any, length: int, names: Collection[str] = ()) -> None:
        self._tokenizer, self._encoder, self._length, self._names = tokenizer, encoder, length, names

    def encode(self, prompt: Sections) -> torch.Tensor:
        """Return embeddings (length, D) in float32 on the CPU."""
        tokenizer = self._tokenizer
        tokens = [*self._tokens(prompt)[: self._length - 1], Token(tokenizer.eos_token_id)]
        filled = tokens + [Token(tokenizer.pad_token_id)] * (self._length - len(tokens))
        ids = torch.tensor([[token.id for token in filled]], device=self._encoder.device)
        return _weighted(self._encoder(ids)[0][0], filled)

    def truncated_words(self, prompt: Sections) -> str:
        """Return the end of the prompt that is beyond the length."""
        return str(self._tokenizer.decode([token.id for token in self._tokens(prompt)[self._length - 1 :]]))

    def _tokens(self, prompt: Sections) -> list[Token]:
        words = [(piece, said.weight) for section in prompt for said in section for piece in split_names(said.text, self._names)]
        return [
            Token(id, weight)
            for piece, weight in words
            if not isinstance(piece, Name)
            for id in self._tokenizer(piece, add_special_tokens=False).input_ids
        ]


class NoT5:
    """What stands in the place of a T5 that the model comes without: zeros (length, width)."""

    def __init__(self, length: int, width: int) -> None:
        self._shape = (length, width)

    def encode(self, prompt: Sections) -> torch.Tensor:
        """Return zeros, whatever the prompt says."""
        del prompt
        return torch.zeros(self._shape)

    def truncated_words(self, prompt: Sections) -> str:
        """Return nothing: there is nobody who could have seen it."""
        del prompt
        return ""


@dataclass(frozen=True)
class Encoders:
    """The text encoders of a model: its CLIPs by name, in the order of their embeddings, and its T5 or what stands for one."""

    clips: Mapping[str, Clip]
    t5: T5 | NoT5

    def count_chunks(self, *prompts: Sections) -> int:
        """Return how many chunks the longest of these prompts has."""
        return max(clip.count_chunks(prompt) for clip in self.clips.values() for prompt in prompts)

    def side_by_side(self, prompt: Sections, layer: int, chunks: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the embeddings of the CLIPs (T, sum of D), and the pooled one (P,) of each; the arguments are those of `Clip`."""
        encoded = [clip.encode(prompt, layer, chunks) for clip in self.clips.values()]
        return torch.cat([hidden for hidden, _ in encoded], dim=-1), [pooled for _, pooled in encoded]

    def followed_by_t5(self, prompt: Sections, layer: int, chunks: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return those of the CLIPs, filled up with zeros to the width of the T5, and after them its own; and one pooled (P,)."""
        words, (clips, pooled) = self.t5.encode(prompt), self.side_by_side(prompt, layer, chunks)
        widened = torch.nn.functional.pad(clips, (0, words.shape[-1] - clips.shape[-1]))
        return torch.cat([widened, words]), torch.cat(pooled)


def _is_word(token: Token, id: int) -> bool:
    return token.id == id and token.vector is None


@contextmanager
def _replaced(encoder: Any, vectors: Mapping[int, torch.Tensor]) -> Iterator[None]:
    """Let vectors stand at these places of the prompt for one run of the encoder, which stays as it is."""

    def replace(module: Any, inputs: Any, embedded: torch.Tensor) -> torch.Tensor:
        del module, inputs
        for place, vector in vectors.items():
            embedded[0, place] = vector
        return embedded

    hook = encoder.get_input_embeddings().register_forward_hook(replace) if vectors else None
    try:
        yield
    finally:
        if hook is not None:
            hook.remove()


def _weighted(hidden: torch.Tensor, tokens: Sequence[Token]) -> torch.Tensor:
    """Embeddings (T, D) times the weights of their tokens, with the mean they had before."""
    hidden = hidden.float().cpu()
    if all(token.weight == 1 for token in tokens):
        return hidden
    weighted = hidden * torch.tensor([token.weight for token in tokens])[:, None]
    mean, after = hidden.mean(), weighted.mean()
    centred = any(found.abs() < CENTRED * of.abs().mean() for found, of in ((mean, hidden), (after, weighted)))
    # Nor may it turn the sign of everything, where negative weights outweigh the others.
    return weighted if centred or mean * after < 0 else weighted * (mean / after)
