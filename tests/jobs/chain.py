"""A dropped file through its stage and those that follow, in this process: what comes of it, and what is said."""

import importlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from daemon.errors import InputError
from daemon.jobs.intake.files import Files, InputSources
from daemon.jobs.intake.readers import read_request
from daemon.jobs.named import opened
from daemon.jobs.request import Computed, StageCall, stage_calls
from daemon.jobs.results import Output, ResultContext, results
from daemon.layout import HOLD, INBOX
from daemon.models.registry import Models
from daemon.models.stage_settings import StageFacts
from daemon.names import stem_of
from daemon.settings.config import Config
from daemon.stages import STAGES
from tests.parts import quiet
from tiffsd.artifact import Tensors

LONGEST = 6  # stages that one file goes through
# What waits in a hold folder is released.
STAGE_IN = {f"{place}/{stage.folder}": stage.name for place in (INBOX, HOLD) for stage in STAGES.values()}


@dataclass
class Chain:
    """Runs stages with the models of `config`; `embeddings` are the saved ones, results lie in `folder`, and originals in `keep`
    where a stage may look for them."""

    config: Config
    models: Models
    folder: Path
    embeddings: Path
    keep: Path | None = None

    def run(self, stage: str, members: Mapping[str, Path]) -> tuple[list[object], str]:
        """What each stage made, where it went and what it is called, for comparing; and all notes, as one text."""
        seen: list[object] = []
        said: list[str] = []
        ready = [(stage, dict(members))]
        while ready and len(seen) < LONGEST:
            stage, members = ready.pop(0)
            try:
                outputs, notes, made = self._stage(stage, members)
            except InputError as refusal:
                if not seen:
                    raise
                outputs, notes, made = [], [], str(refusal)
            said += notes
            places = [(output.publication.folder, stem_of(output.publication.name)) for output in outputs]
            seen.append((stage, made, sorted(places)))
            ready += [(STAGE_IN[place], {"principal": path}) for place, path in self._written(outputs) if place in STAGE_IN]
        return seen, "\n".join(said)

    def made(self, stage: str, members: Mapping[str, Path]) -> dict[str, Path]:
        """The files that one stage makes, by the folder that they go to."""
        return dict(self._written(self._stage(stage, members)[0]))

    def _stage(self, stage: str, members: Mapping[str, Path]) -> tuple[list[Output], list[str], object]:
        with opened(members) as files:
            names = {role: path.name for role, path in members.items()}
            request = read_request(stage, Files(files, names), InputSources(self.config, self.embeddings, self.keep))
        computed = Computed(request)
        for call in stage_calls(request, self.config):
            computed = computed.after(call, *self._call(computed.given_to(call)))
        tensors, facts = computed.tensors, computed.facts
        outputs = results(request, "cat", tensors, facts, ResultContext(self.config, lambda _: False, datetime.now(UTC), 0.0))
        values = {name: tensor.tobytes() for name, tensor in tensors.items() if name != "generator_state"}
        sizes = [len(_bytes(output)) for output in outputs if request.settings.layout]
        return outputs, [*request.notes, *facts.get("notes", [])], (values, sizes)

    def _call(self, call: StageCall) -> tuple[Tensors, StageFacts]:
        settings = call.settings
        module = importlib.import_module(f"daemon.stages.{call.stage}")
        given = {name: torch.from_numpy(array.copy()) for name, array in call.tensors.items()}
        model = {**settings["model"], "device": settings["model"]["device"] or "cpu"}
        with torch.inference_mode():
            made, facts = module.run(self.models, given, {**settings, "model": model}, quiet)
        return {name: tensor.numpy() for name, tensor in made.items()}, facts

    def _written(self, outputs: list[Output]) -> list[tuple[str, Path]]:
        written = []
        for output in outputs:
            place = self.folder / output.publication.folder.lstrip(".")
            place.mkdir(parents=True, exist_ok=True)
            path = place / output.publication.name
            path.write_bytes(_bytes(output))
            written.append((output.publication.folder, path))
        return written


def _bytes(output: Output) -> bytes:
    file = io.BytesIO()
    output.write(file)
    return file.getvalue()
