"""The command that serves the page: web."""

import os
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.commands import PATH, config_option, config_path, say, spool_root
from daemon.errors import ConfigError

if TYPE_CHECKING:
    from daemon.jobs.listing import Why

PORT = 7860


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="The port; 0 is any that is free.")
@click.option("--name", "names", multiple=True, help="One more host name by which browsers may ask; may be given several times.")
@click.option("--token-file", type=PATH, help="Where the token lies, which the first start makes; otherwise a file of the user's.")
@config_option
def web(host: str, port: int, names: tuple[str, ...], token_file: Path | None, config: Path | None) -> None:
    """Serve the page on which a browser does what people do at the folders; needs tiffsd[web], and works with the daemon down.

    Example: tiffsd web
    """
    try:
        from daemon.web.serving import PageServer, is_loopback
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in ("starlette", "uvicorn"):
            raise
        from daemon.setup.obstacles import told_of_page

        raise ConfigError(told_of_page()) from error
    import logging

    from daemon.service.status import notify
    from daemon.service.terminal import log_to_stderr
    from daemon.web.token import token_in, usual_token_file

    log_to_stderr(False)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    root, token_path = spool_root(config), (token_file or usual_token_file(os.environ, Path.home())).absolute()
    token = token_in(token_path)
    server = PageServer(root, config_path(config), _facts, host=host, port=port, token=token, names=names)
    # What is not read by a person now may be kept, in a log say.
    if sys.stdout.isatty():
        say(f"Open {server.address}?token={token}")
    else:
        say(f"serving {server.address}; its token lies in {token_path}, and {server.address}?token=TOKEN opens it")
    if not is_loopback(host):
        say("Others may reach this address, and nothing on the way is encrypted: whoever listens learns the token.", err=True)
    if not root.is_dir():
        say(f"There is no spool at {root} yet; `tiffsd init` makes one.", err=True)
    server.run(ready=lambda: notify("READY=1"))


def _facts(root: Path) -> "tuple[Mapping[str, Any], Why]":
    """What is said of a spool on which no daemon runs, as `tiffsd status` has it."""
    from daemon.service.status import page_facts, read_status, why_waiting

    status = read_status(root, now=datetime.now().astimezone(), alive=False)
    return page_facts(status), why_waiting(status.stages)
