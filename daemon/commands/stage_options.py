"""The options of the commands that run a stage: the settings that count there, by their registry."""

from typing import Any

import click

# What is of a spool, stands in a file beside, or is the argument itself.
NOT_SAID_HERE = frozenset(
    {
        *("prompt", "mask", "loras", "count", "embedding", "save_embedding"),
        *("hold", "then", "priority", "dump_every"),
    }
)


class StageCommand(click.Command):
    """A command of the name of its stage. The registry costs time to load, so it is asked only where the options are needed."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Override click: with the options for the settings, before --help."""
        *own, helping = super().get_params(ctx)
        return [*own, *_options(str(self.name)), helping]


def _options(stage: str) -> list[click.Option]:
    from daemon.settings.vocabulary import INPUT_KINDS, INPUT_KINDS_OF, REGISTRY

    kinds = INPUT_KINDS_OF.get(stage, INPUT_KINDS)
    wanted = [name for name in REGISTRY if name not in NOT_SAID_HERE and REGISTRY[name].counts.intersection(kinds)]
    return [click.Option(_flags(name), **_kind(name), help=REGISTRY[name].help) for name in wanted]


def _flags(name: str) -> list[str]:
    from daemon.settings.vocabulary import REGISTRY, kind_of

    long = f"--{name.replace('_', '-')}"
    return [f"{long}/--no-{name}" if kind_of(name) is bool else long, *filter(None, [REGISTRY[name].option])]


def _kind(name: str) -> dict[str, Any]:
    from daemon.settings.vocabulary import kind_of

    kind = kind_of(name)
    # Of several stops the command line has one.
    return {"type": int if kind is object else kind, "default": None}
