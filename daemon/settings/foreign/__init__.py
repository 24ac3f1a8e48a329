"""The recipes of other programs than A1111, each read for what it is, and those that are not read told by their name."""
