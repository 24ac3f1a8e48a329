"""Where the components of a model come from: a folder in diffusers layout, a single file, the hub, or several of these together.

Each answers the same few questions, so that nobody else has to ask in which form a model lies there."""

from daemon.models.sources.assembled import Parts, separate_vae, source_of
from daemon.models.sources.source import Source, StoredComponent

__all__ = ["Parts", "Source", "StoredComponent", "separate_vae", "source_of"]
