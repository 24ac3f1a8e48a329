"""The one error of everything that reads models from the disk."""


class UnreadableModel(ValueError):
    """A model, or a part of it, that cannot be used as it lies there; the text is a sentence that says why, and what to do."""
