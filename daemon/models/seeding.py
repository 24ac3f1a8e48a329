"""How the random numbers of one picture begin: seed, variation, and the seed of the noise that a loop adds.

Source: the `ImageRNG` of A1111's `modules/rng.py`, so that its recipes give its noise: what a loop begins with is drawn by the
generator of the seed, and drawn towards that of another seed by the strength of the variation; the loop goes on with the same
generator, or with that of the seed + ENSD where one is given. What its SDE solvers add is not drawn so there, but comes from a
Brownian tree (torchsde), which is not reproduced; nor is what a VAE samples, for which A1111 has no seed. With the noise of a CPU
that of image-to-image comes after what the VAE sampled, as in diffusers, and not first.

    C latent channels   h, w latent height and width
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from daemon.models.noise import CPU, SEEDS, Generator, generator_of, randn
from daemon.models.stage_settings import StageSettings

NEARLY_PARALLEL = 0.9995
"""Above this mean cosine A1111 mixes on a straight line."""


@dataclass(frozen=True)
class Seeding:
    """The seeds of one picture. `ensd` is added to the seed for the noise within the loop; 0 goes on with the same generator."""

    seed: int
    rng: str = CPU
    ensd: int = 0
    variation_seed: int = 0
    variation_strength: float = 0.0

    @classmethod
    def of(cls, settings: StageSettings) -> "Seeding":
        """Return that of the first picture, or the only one, of a call; without a seed it is 0."""
        return cls.each_of({**settings, "seeds": [settings.get("seed") or 0]})[0]

    @classmethod
    def each_of(cls, settings: StageSettings) -> list["Seeding"]:
        """Return that of each picture of a call."""
        seeds = settings["seeds"]
        variations = settings.get("variation_seeds") or [settings.get("variation_seed") or 0] * len(seeds)
        rng, ensd, strength = settings.get("rng") or CPU, settings.get("ensd") or 0, settings.get("variation_strength") or 0.0
        return [cls(seed, rng, ensd, variation, strength) for seed, variation in zip(seeds, variations, strict=False)]

    def generator(self) -> Generator:
        """Return the generator of the seed, which has drawn nothing yet."""
        return generator_of(self.rng, self.seed)

    def first(self, shape: Sequence[int], generator: Generator) -> torch.Tensor:
        """Draw the unit noise (1, C, h, w) that a loop begins with, and leave the generator as the loop goes on with it."""
        noise = randn(shape, generator)
        if self.variation_strength:
            other = randn(shape, generator_of(self.rng, self.variation_seed))
            noise = slerp(self.variation_strength, noise[0], other[0])[None]
        if self.ensd:
            generator.manual_seed((self.seed + self.ensd) % SEEDS)
        return noise


def slerp(t: float, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Return what lies at t, 0..1, on the arc from one noise (C, h, w) to another, column by column as in A1111.

    Where the two are the same its straight line goes the other way, from `high` to `low`, which makes no difference then."""
    cosine = (_unit(low) * _unit(high)).sum(1)  # (C, w)
    if cosine.mean() > NEARLY_PARALLEL:
        return low * t + high * (1 - t)
    omega = torch.acos(cosine)
    sine = torch.sin(omega)
    of_low, of_high = torch.sin((1.0 - t) * omega) / sine, torch.sin(t * omega) / sine
    mixed: torch.Tensor = of_low.unsqueeze(1) * low + of_high.unsqueeze(1) * high
    return mixed


def _unit(noise: torch.Tensor) -> torch.Tensor:
    unit: torch.Tensor = noise / torch.norm(noise, dim=1, keepdim=True)
    return unit
