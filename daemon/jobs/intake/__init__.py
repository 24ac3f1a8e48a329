"""The files of one job -> a request: tensors, settings, and what is known of their history.

One of the two hands of `job.py` (the other is `results.py`). Here the precedence of settings is decided: the settings file beside
an artifact, then the artifact's own metadata, then config.yaml.
"""
