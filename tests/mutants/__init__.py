"""Faults that the tests must notice, by the room they are in: `python -m tests.mutants` tries each of them."""

from tests.mutants import checkpoints, exchange, formats, inbox, jobs, models, service, settings, spool, stages
from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = tuple(
    mutant
    for room in (formats, exchange, inbox, spool, jobs, service, settings, checkpoints, models, stages)
    for mutant in room.MUTANTS
)
