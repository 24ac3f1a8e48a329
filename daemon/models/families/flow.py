"""What the families that are trained by flow matching have in common: the mu of their schedules, and their embeddings."""

from daemon.models.families.family import Config, Family


class Flow(Family):
    """A family of flow matching."""

    def token_width(self, denoiser: Config) -> int:
        return int(denoiser["joint_attention_dim"])

    def pooled_width(self, denoiser: Config, index: Config) -> int | None:
        del index
        return int(denoiser["pooled_projection_dim"])

    def first_step(self, steps: int, strength: float) -> int:
        return int(max(steps - min(steps * strength, steps), 0))

    def mu(self, scheduler: Config, denoiser: Config, size: tuple[int, int]) -> float | None:
        """The mu grows in a straight line with the number of patches (diffusers' calculate_shift)."""
        if not scheduler.get("use_dynamic_shifting"):
            return None
        patches = (size[0] // self.patch(denoiser)) * (size[1] // self.patch(denoiser))
        fewest, most = scheduler.get("base_image_seq_len", 256), scheduler.get("max_image_seq_len", 4096)
        lowest, highest = scheduler.get("base_shift", 0.5), scheduler.get("max_shift", 1.15)
        slope = (highest - lowest) / (most - fewest)
        return float(patches * slope + (lowest - slope * fewest))
