"""A whole model, or one part of it, in a single file with the names of its original release.

`tensors` and `pickles` say where in a file which tensor lies, `kinds` what model it is, `layouts` and its neighbours under which
name each weight of a component stands there; `reading` alone needs torch, and reads one component and nothing else."""
