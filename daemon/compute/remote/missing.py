"""What a place on another machine lacks of the files of calls, as it has said, and what of that is on its way there."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from daemon.compute.calls import Call, StageError
from daemon.compute.remote.patience import Patience
from daemon.errors import DaemonError
from daemon.models.stage_settings import StageSettings
from daemon.names import shown

log = logging.getLogger(__name__)

RawReference = Mapping[str, Any]
"""A reference as it came from another machine."""
Fetch = Callable[[StageSettings, Sequence[RawReference]], None]
"""Sends what is lacking for the settings of a call. Raises a DaemonError where that cannot be, EOFError and OSError for a cut."""
NOT_ALLOWED = "copy it there, or let it take models (compute.fetch_gb of its configuration)"


class Missing:
    """Guarded by `changed`, as all that handles share; `waits` waits so many seconds, and says whether to go on."""

    def __init__(
        self, node: str, changed: threading.Condition, patience: Patience, fetch: Fetch, waits: Callable[[float], bool]
    ) -> None:
        self._node, self._changed, self._patience, self._fetch, self._waits = node, changed, patience, fetch, waits
        self._lacking: dict[str, str] = {}  # by the files of a call, and the sentence
        self._fetching: set[str] = set()

    def sentence(self, call: Call) -> str | None:
        """What is said of the files that the place lacks for a call; None where it is not known to lack any."""
        return self._lacking.get(call.files)

    def is_fetching(self, call: Call) -> bool:
        """Whether they are on their way."""
        return call.files in self._fetching

    def forget(self) -> None:
        """Know nothing any more: somebody may see to it while the place is away."""
        self._lacking.clear()

    def note(self, calls: Sequence[Call], sentence: str) -> None:
        """The place cannot compute these calls, and others with the same files."""
        with self._changed:
            self._lacking.update((call.files, sentence) for call in calls)

    def begin(self, calls: Sequence[Call], references: Sequence[RawReference]) -> None:
        """Send what is lacking for these calls, which have the same files, in a thread of its own; once, while it lasts."""
        files = {call.files for call in calls}
        with self._changed:
            fresh = files - self._fetching
            self._fetching |= fresh
        if fresh:
            work = (fresh, calls[0].settings, references)
            threading.Thread(target=self._send, args=work, name=f"models for {self._node}", daemon=True).start()

    def _send(self, files: set[str], settings: StageSettings, references: Sequence[RawReference]) -> None:
        failure: Exception | None = StageError("it ended")
        try:
            failure = self._sent(settings, references)
        finally:
            with self._changed:
                self._fetching -= files
                for one in files & self._lacking.keys():
                    if failure is None:
                        del self._lacking[one]
                    else:
                        self._lacking[one] = f"{self._lacking[one]}, and did not get it: {failure}"
                self._changed.notify_all()

    def _sent(self, settings: StageSettings, references: Sequence[RawReference]) -> Exception | None:
        """None when it is there, or why it will not be; what is cut is gone on with, for as long as the place is there."""
        what, cuts = names(references), 0
        log.info("%s lacks %s, which is sent there", self._node, what)
        while True:
            try:
                self._fetch(settings, references)
            except DaemonError as error:
                log.warning("%s did not get %s: %s", self._node, what, error)
                return error
            except (OSError, EOFError) as error:
                cuts += 1
                log.info("%s has a part of %s, and the connection was cut: %s", self._node, what, error)
                if not self._waits(self._patience.wait_after(cuts, wanted=True)):
                    return error
            else:
                log.info("%s has %s now", self._node, what)
                return None


def names(references: Sequence[RawReference]) -> str:
    """The files that are meant, as people call them."""
    inner = [said if isinstance(said := one.get("reference", one), Mapping) else {} for one in references]
    called = [f"{one.get('kind', 'file')} {one.get('name', '')}".replace("_", " ").strip() for one in inner]
    return shown(", ".join(called))[:300]
