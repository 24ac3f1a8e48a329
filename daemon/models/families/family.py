"""What the stages ask of a family of models. The defaults are what most families do; each says itself what it does otherwise.

N pictures   C latent channels   h, w latent height and width   T tokens   D width of a token   P width of the pooled embedding
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from daemon.models.prompt_grammar import Sections

if TYPE_CHECKING:
    import torch

    from daemon.models.conditioning import Encoders

Config = Mapping[str, Any]
Component = tuple[str, str]

CLIP_TOKENIZER: Component = ("transformers", "CLIPTokenizer")
CLIP: Component = ("transformers", "CLIPTextModel")
CLIP_WITH_PROJECTION: Component = ("transformers", "CLIPTextModelWithProjection")
T5_TOKENIZER: Component = ("transformers", "T5TokenizerFast")
T5: Component = ("transformers", "T5EncoderModel")
UNET: Component = ("diffusers", "UNet2DConditionModel")
VAE: Component = ("diffusers", "AutoencoderKL")


@dataclass(frozen=True)
class Family(ABC):
    """One family: `components` maps each component (its subfolder in the model) to the library and class that load it.

    `optional` components may be missing in a model. `denoiser` is the component that the loop runs; `skippable` are the text
    encoders whose last layers `clip_skip` leaves out; `tokens` bounds the prompt where the tokenizer does not; `unsupported` are
    settings that the family does not know; `native` is the side of its pictures, in latent pixels, where the denoiser's
    configuration names none; `forced` are options of the scheduler that the pipeline insists on; `default_scheduler` is what runs
    where nobody names one; `flow` says that the family is trained by flow matching, `overflows` that its VAE does not stand
    float16, and `wide` that its other parts may leave the range of float16, and do not leave that of bfloat16."""

    name: str
    pipeline: str
    components: Mapping[str, Component]
    optional: frozenset[str] = frozenset()
    denoiser: str = "unet"
    skippable: tuple[str, ...] = ("text_encoder",)
    tokens: Mapping[str, int] = field(default_factory=dict)
    unsupported: frozenset[str] = frozenset()
    native: int = 64
    forced: Mapping[str, Any] = field(default_factory=dict)
    flow: bool = False
    default_scheduler: str = "dpmpp_2m_karras"
    overflows: bool = False
    wide: bool = False

    @property
    def text_parts(self) -> tuple[str, ...]:
        """The tokenizers and text encoders."""
        return tuple(name for name in self.components if name.startswith(("tokenizer", "text_encoder")))

    def unsupported_by(self, index: Config) -> frozenset[str]:
        """The settings that a model of this family does not know; `index` is its `model_index.json`."""
        del index
        return self.unsupported

    def notes_on(self, given: Mapping[str, Any], index: Config) -> list[str]:
        """Sentences on those settings that somebody gave and a model of this family does not know."""
        unknown = [name for name, value in given.items() if value and name in self.unsupported_by(index)]
        return [f"{name} ignored: {self.name} does not support it" for name in unknown]

    def options(self, index: Config) -> dict[str, Any]:
        """What the pipeline is built with besides its components; `index` is the model's `model_index.json`."""
        del index
        return {}

    @abstractmethod
    def encode(self, encoders: "Encoders", prompt: Sections, clip_skip: int, chunks: int) -> "dict[str, torch.Tensor]":
        """One prompt -> prompt_embeds (T, D) and, if the family has it, pooled_prompt_embeds (P,); `clip_skip` 1 skips no layer.

        In a CLIP whose words count, a prompt of fewer than `chunks` chunks is filled up to that number."""

    def empty_negative(self, index: Config) -> bool:
        """Whether an empty negative prompt is all zeros instead of the embedding of no words."""
        del index
        return False

    def channels(self, denoiser: Config) -> int:
        """C of the latents that the denoiser takes."""
        return int(denoiser.get("out_channels") or denoiser["in_channels"])

    def channels_in(self, denoiser: Config) -> int:
        """All channels that go into the denoiser: those of the latents, and in an inpainting model what it sees beside them."""
        return int(denoiser["in_channels"])

    def patch(self, denoiser: Config) -> int:
        """How many latent pixels of a side the denoiser takes together: height and width must be multiples of it."""
        del denoiser
        return 1

    def token_width(self, denoiser: Config) -> int:
        """D of the embeddings that the denoiser takes."""
        return int(denoiser["cross_attention_dim"])

    def pooled_width(self, denoiser: Config, index: Config) -> int | None:
        """P of the pooled embeddings that the denoiser takes; None where it takes none."""
        del denoiser, index
        return None

    def guided(self, guidance_scale: float) -> bool:
        """Whether the loop follows the prompt by contrast with a negative one."""
        return guidance_scale > 1

    def loop_arguments(self, settings: Config, latents: "torch.Tensor", size: Mapping[str, int]) -> dict[str, Any]:
        """What the pipeline takes besides embeddings, latents, steps, generator and guidance_scale; `size` is height and width."""
        del settings, latents
        return dict(size)

    def packed(self, pipe: Any, latents: "torch.Tensor") -> "torch.Tensor":
        """Latents (1, C, h, w) as the loop takes them."""
        del pipe
        return latents

    def unpacked(self, pipe: Any, latents: "torch.Tensor", size: tuple[int, int]) -> "torch.Tensor":
        """The inverse of `packed`; `size` is (h, w)."""
        del pipe, size
        return latents

    def mu(self, scheduler: Config, denoiser: Config, size: tuple[int, int]) -> float | None:
        """The logarithm of the shift of a schedule of flow matching for latents of `size` (h, w), as in diffusers: the larger,
        the more steps at high noise; None: as the scheduler's configuration says."""
        del scheduler, denoiser, size
        return None

    def sigmas(self, steps: int) -> list[float] | None:
        """The noise levels that a schedule of flow matching is made of; None: as the scheduler spaces them."""
        del steps
        return None

    def first_step(self, steps: int, strength: float) -> int:
        """The step at which image-to-image of a `strength` within 0..1 starts."""
        return steps - min(int(steps * strength), steps)
