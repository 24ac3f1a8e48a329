"""What a machine has of models, for who asks by reference: by the name, or by what is in the files, whatever they are called here.

Used is only what has, in all files, the SHA-256 that the other machine says. Sizes are compared first, then samples, then all; what
was counted once is remembered. Paths and devices come from this machine's configuration: the other machine names nothing here.
"""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

from daemon.compute.remote.fetched import FETCHED, place_in
from daemon.compute.remote.fingerprints import Fingerprints
from daemon.compute.remote.identity import COMPONENTS, OWN, OWN_OF_MODEL, agrees, component_folder
from daemon.compute.remote.references import REFERENCE, NoReference, Reference
from daemon.models.stage_settings import ModelSettings, RoomSettings, StageSettings

Places = Mapping[str, Mapping[str, str]]
"""Kind of reference to name to path, of all that a configuration names."""

PLAIN_OF_MODEL: Mapping[str, tuple[type, ...]] = {
    "name": (str,),
    "dtype": (str,),
    "prediction_type": (str, type(None)),
    "fast": (bool,),
    "compiled": (bool,),
}


class Lacking(Exception):
    """Models of a call are not on this machine; `references` are these, as they came."""

    def __init__(self, references: Sequence[Reference]) -> None:
        super().__init__(f"this machine lacks {'; '.join(reference.in_words() for reference in references)}")
        self.references = [reference.written() for reference in references]


class Shelf:
    """The models of this machine: `places` says each time what its configuration names, and `cache` holds those that were fetched.

    `device` and `room` are what calls are computed with here."""

    def __init__(
        self,
        places: Callable[[], Places],
        fingerprints: Fingerprints,
        cache: Path | None = None,
        *,
        device: str = "cpu",
        room: RoomSettings | None = None,
    ) -> None:
        self._places, self._fingerprints, self._cache = places, fingerprints, cache
        self._device, self._room = device, room
        self._held: dict[str, int] = {}
        self._turn = threading.Lock()

    def close(self) -> None:
        """Let go of the fetched models that were given out: they may be taken away."""
        while self._held:
            os.close(self._held.popitem()[1])

    def resolve(self, settings: Mapping[str, Any]) -> StageSettings:
        """The settings of a call from another machine, with paths of this one in the place of references.

        Raises Lacking where models of it are not here, and NoReference where something else stands in the place of a reference."""
        with self._turn:
            resolving = _Resolving(self, self._places())
            said = {key: value for key, value in settings.items() if key not in OWN}
            if strangers := said.keys() - StageSettings.__annotations__.keys():
                raise NoReference(f"the other machine sent the setting {min(strangers)!r:.60}, which no stage has")
            said["model"] = self._model(said.get("model"), resolving)
            said["loras"] = [_lora(lora, resolving) for lora in _list(said.get("loras"))]
            inversions = _mapping(said.get("textual_inversions") or {}, "the textual inversions")
            said["textual_inversions"] = {name: resolving.path(value, "textual_inversion") for name, value in inversions.items()}
            self._fingerprints.save()
            if resolving.lacking:
                raise Lacking(resolving.lacking)
            return cast("StageSettings", {**said, "room": self._room} if self._room else said)

    def _model(self, said: object, resolving: "_Resolving") -> ModelSettings:
        model = {key: value for key, value in _mapping(said, "the model").items() if key not in OWN_OF_MODEL}
        for key, value in model.items():
            if key not in ("path", "vae", "parts") and type(value) not in PLAIN_OF_MODEL.get(key, ()):
                raise NoReference(f"the other machine sent a model whose {key!r:.60} is not as it must be")
        if "name" not in model or "path" not in model:
            raise NoReference("the other machine sent a model without a name or reference")
        model["path"] = resolving.path(model["path"], "model")
        if (vae := model.get("vae")) is not None:
            model["vae"] = resolving.path(vae, "vae", "vae")
        if (parts := model.get("parts")) is not None:
            model["parts"] = _parts(_mapping(parts, "the parts of a model"), resolving)
        return cast("ModelSettings", {**model, "device": self._device, "network": False})

    def place_of(self, reference: Reference, places: Places | None = None, component: str | None = None) -> Path | None:
        """Where a model lies here; None where it does not."""
        places = self._places() if places is None else places
        if (named := places.get(reference.kind, {}).get(reference.name)) is not None:
            place = Path(named) if component is None else component_folder(Path(named), component)
            if agrees(place, reference, self._fingerprints):
                return place
        if (fetched := self._fetched(reference)) is not None:
            return fetched
        return next((place for place in _all(places, reference) if agrees(place, reference, self._fingerprints)), None)

    def _fetched(self, reference: Reference) -> Path | None:
        """Where it lies of what was fetched; from now on nobody takes it away while this process lives."""
        if self._cache is None:
            return None
        folder = self._cache / FETCHED / reference.digest
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        place = place_in(folder, reference)
        # The lock of before goes too, so that a damaged one can be replaced.
        if (before := self._held.pop(reference.digest, None)) is not None:
            os.close(before)
        if not agrees(place, reference, self._fingerprints):
            os.close(descriptor)
            return None
        self._held[reference.digest] = descriptor
        os.utime(folder)  # by which the one that was not used for longest is found
        return place


def _all(places: Places, reference: Reference) -> Iterator[Path]:
    """Where it may lie, however it is called: all that the configuration names, and the components within that."""
    for path in dict.fromkeys(Path(path) for named in places.values() for path in named.values()):
        yield path
        if not reference.is_file and not reference.is_whole:
            yield from (path / name for name in sorted(COMPONENTS) if (path / name).is_dir())


class _Resolving:
    """One call's references: the paths of those that are here, and those that are not."""

    def __init__(self, shelf: Shelf, places: Places) -> None:
        self._shelf, self._places = shelf, places
        self.lacking: list[Reference] = []

    def path(self, said: object, kind: str, component: str | None = None) -> str:
        reference = Reference.read(said)
        if reference.kind != kind:
            raise NoReference(f"the other machine sent a {reference.kind} where a {kind} is expected")
        place = self._shelf.place_of(reference, self._places, component)
        if place is None and reference not in self.lacking:
            self.lacking.append(reference)
        return "" if place is None else str(place)


def _parts(said: Mapping[str, Any], resolving: _Resolving) -> str | dict[str, str | None]:
    if {*said} == {REFERENCE}:
        return resolving.path(said, "part")
    if strangers := said.keys() - COMPONENTS:
        raise NoReference(f"the other machine sent a part {min(strangers)!r:.60}, which no model has")
    return {name: None if value is None else resolving.path(value, "part", name) for name, value in said.items()}


def _lora(said: object, resolving: _Resolving) -> dict[str, Any]:
    lora = _mapping(said, "a LoRA")
    if {*lora} != {"name", "path", "text", "denoiser"} or not isinstance(lora["name"], str):
        raise NoReference("the other machine sent a LoRA that has not a name, a reference and two weights")
    if any(type(lora[weight]) not in (int, float) for weight in ("text", "denoiser")):
        raise NoReference("the other machine sent a LoRA whose weights are no numbers")
    return {**lora, "path": resolving.path(lora["path"], "lora")}


def _mapping(said: object, what: str) -> Mapping[str, Any]:
    if not isinstance(said, Mapping) or not all(isinstance(key, str) for key in said):
        _refuse(what, said)
    return said


def _list(said: object) -> Sequence[Any]:
    if said is not None and not isinstance(said, list | tuple):
        _refuse("the LoRAs", said)
    return said or ()


def _refuse(what: str, said: object) -> NoReturn:
    raise NoReference(f"the other machine sent {what} as {said!a:.60}, and by references alone models are known here")
