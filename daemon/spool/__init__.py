"""Crash-safe folders, with the standard library alone: claim, commit, publish, archive, fail, recover; and their layout."""
