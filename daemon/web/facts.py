"""What the page needs to know once: the stages, the settings, and the models and adapters that there are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from daemon.beneath import Beneath
from daemon.errors import ConfigError
from daemon.layout import EMBEDDINGS
from daemon.models.schedulers import AUTOMATIC, NAMES, RELEASED
from daemon.models.schedules import OWN, SCHEDULES
from daemon.names import shown
from daemon.settings.config import Config, Limits
from daemon.settings.reference import as_json as all_settings
from daemon.settings.values import NAME
from daemon.stages import STAGES
from daemon.web.asked import as_json

ReadConfig = Callable[[], Config]


def routes(root: Path, read_config: ReadConfig) -> list[Route]:
    """The facts, and the limits that the configuration sets."""

    def answer(_request: Request) -> Response:
        return as_json(facts(root, read_config))

    return [Route("/facts", answer)]


def facts(root: Path, read_config: ReadConfig) -> dict[str, Any]:
    """All that the page asks for at its start."""
    stages = [{"name": stage.name, "folder": stage.folder, "extensions": stage.extensions} for stage in STAGES.values()]
    known = {
        "schedulers": [AUTOMATIC, RELEASED, *NAMES],
        "schedules": [OWN, *SCHEDULES],
        "embeddings": _embeddings(root),
    }
    return {"stages": stages, "settings": all_settings(), **known, **_configured(read_config)}


def _configured(read_config: ReadConfig) -> dict[str, Any]:
    try:
        config = read_config()
    except (ConfigError, OSError) as error:
        return {
            "models": [],
            "loras": [],
            "vaes": [],
            "textual_inversions": [],
            "defaults": {},
            "limits": Limits().model_dump(),
            "fault": shown(str(error)),
        }
    return {
        "models": sorted(config.models),
        "vaes": sorted(config.vaes),
        "loras": sorted(config.loras()),
        "textual_inversions": sorted(config.textual_inversions()),
        "defaults": dict(config.defaults),
        "limits": config.limits.model_dump(),
    }


def _embeddings(root: Path) -> list[str]:
    try:
        names = Beneath(root).names(root / EMBEDDINGS)
        return sorted(
            name.removesuffix(".tiff") for name in names if name.endswith(".tiff") and NAME.fullmatch(name.removesuffix(".tiff"))
        )
    except OSError:
        return []
