"""Faults that the tests must notice, by the room they are in: `python -m tests.mutants` tries each of them."""

from tests.mutants import (
    checkpoints,
    exchange,
    finished,
    formats,
    inbox,
    jobs,
    models,
    service,
    settings,
    setup,
    spool,
    stages,
    web,
)
from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = tuple(
    mutant
    for room in (formats, exchange, inbox, spool, jobs, finished, service, settings, checkpoints, models, stages, web, setup)
    for mutant in room.MUTANTS
)
