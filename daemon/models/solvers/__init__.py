"""Solvers of k-diffusion, A1111 and ComfyUI that diffusers lacks, as schedulers of diffusers.

They work on latents x of variance sigma^2 + 1 and on the denoiser's estimate D of the finished ones. All that a solver remembers
is in its attributes, so that it stops and goes on exactly (`solver_state.py`). Where A1111 and ComfyUI draw the noise of their SDE
solvers from a Brownian tree, here each step draws its own, of the same law."""

from daemon.models.solvers.cfg_pp import EulerAncestralCFGpp, EulerCFGpp, heard_by
from daemon.models.solvers.multistep import (
    ERSDE,
    DPMpp2MSDE,
    DPMpp2MSDEHeun,
    DPMpp3MSDE,
    Multistep,
    RESMultistep,
    RESMultistepAncestral,
)
from daemon.models.solvers.single_step import DDIM, DDPM, LCM, DPMFast, EulerAncestral, GradientEstimation
from daemon.models.solvers.solver import SigmaSolver, trained_levels
from daemon.models.solvers.two_stage import DPM2, DPM2Ancestral, DPMpp2SAncestral, DPMppSDE, Heun, Restart, TwoStage

__all__ = [
    "DDIM",
    "DDPM",
    "DPM2",
    "ERSDE",
    "LCM",
    "DPM2Ancestral",
    "DPMFast",
    "DPMpp2MSDE",
    "DPMpp2MSDEHeun",
    "DPMpp2SAncestral",
    "DPMpp3MSDE",
    "DPMppSDE",
    "EulerAncestral",
    "EulerAncestralCFGpp",
    "EulerCFGpp",
    "GradientEstimation",
    "Heun",
    "Multistep",
    "RESMultistep",
    "RESMultistepAncestral",
    "Restart",
    "SigmaSolver",
    "TwoStage",
    "heard_by",
    "trained_levels",
]
