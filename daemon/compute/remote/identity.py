"""Settings of a call as they travel to another machine: each path in them becomes a reference, by what is in its files.

A folder is those of its files that loading reads: what else lies in it, a README, hidden files, a checker of pictures, does not
count. Nothing of this machine travels: no path, no device, and no folder for scratch files.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from daemon.compute.remote.fingerprints import Fingerprints
from daemon.compute.remote.references import (
    FOLDER_SUFFIXES,
    INDEX,
    MOST_FILES,
    FileReference,
    NoReference,
    Reference,
    name_of_file,
)
from daemon.errors import ModelMissing
from daemon.models.families import FAMILIES
from daemon.models.hub_ids import is_hub_id
from daemon.models.stage_settings import StageSettings

COMPONENTS = frozenset({"scheduler", *(name for family in FAMILIES.values() for name in family.components)})
"""The subfolders of a whole model that are read."""
OWN = ("room",)
"""Settings that belong to the machine."""
OWN_OF_MODEL = ("device", "network")


def files_of(folder: Path, *, whole: bool) -> dict[str, Path]:
    """The files of a folder that loading reads, by their relative names; `whole` says that it has a subfolder for each component.

    Raises OSError where it cannot be listed."""
    if not whole:
        return _read_in(folder)
    found = {INDEX: folder / INDEX} if (folder / INDEX).is_file() else {}
    for name in sorted(COMPONENTS & {*os.listdir(folder)}):
        if (folder / name).is_dir():
            found |= {f"{name}/{file}": path for file, path in _read_in(folder / name).items()}
    return found


def _read_in(folder: Path) -> dict[str, Path]:
    names = [
        name for name in sorted(os.listdir(folder)) if not name.startswith(".") and Path(name).suffix.lower() in FOLDER_SUFFIXES
    ]
    return {name: folder / name for name in names if (folder / name).is_file()}


def component_folder(path: Path, component: str) -> Path:
    """The folder of a component at a place that is one itself, or has one, as `sources.folder.part_within` chooses it."""
    within = path / component
    return within if within.is_dir() else path


def reference_to(place: Path, kind: str, name: str, fingerprints: Fingerprints, *, whole: bool = True) -> Reference:
    """The reference to a file or folder, `whole` as of `files_of`. Raises ModelMissing where it cannot be read."""
    try:
        files = files_of(place, whole=whole) if place.is_dir() else {name_of_file(place): place}
        sizes = {relative: file.stat().st_size for relative, file in files.items()}
    except OSError as error:
        raise ModelMissing(f"the {_called(kind, name)} cannot be used: {place} cannot be read ({error.strerror})") from error
    if not 0 < len(files) <= MOST_FILES:
        raise ModelMissing(
            f"the {_called(kind, name)} cannot be used: {place} has {len(files)} files of a model, not 1 to {MOST_FILES}"
        )
    said = [FileReference(n, sizes[n], fingerprints.sampled(file), fingerprints.full(file)) for n, file in files.items()]
    reference = Reference(kind, name, tuple(said))
    try:
        Reference.read(reference.written())
    except NoReference as error:
        raise ModelMissing(
            f"the {_called(kind, name)} cannot travel to another machine, which would say of {place}: {error}"
        ) from error
    if reference.is_file != place.is_file():
        raise ModelMissing(f"the {_called(kind, name)} cannot be used: {place} is not a model in a form that is known")
    return reference


def agrees(place: Path, reference: Reference, fingerprints: Fingerprints) -> bool:
    """Whether what lies at a place is what a reference says, to the last bit: sizes are compared first, samples, and then all."""
    try:
        found = _files_as(place, reference)
        if found is None or any(found[file.name].stat().st_size != file.bytes for file in reference.files):
            return False
        alike = all(fingerprints.sampled(found[file.name]) == file.sampled for file in reference.files)
        return alike and all(fingerprints.full(found[file.name]) == file.full for file in reference.files)
    except (OSError, ModelMissing):
        return False


def _files_as(place: Path, reference: Reference) -> dict[str, Path] | None:
    """The files there by name, where they are called as those of the reference are."""
    if reference.is_file != place.is_file():
        return None
    files = {name_of_file(place): place} if reference.is_file else files_of(place, whole=reference.is_whole)
    return files if {*files} == {file.name for file in reference.files} else None


def _called(kind: str, name: str) -> str:
    return f"{kind.replace('_', ' ')} {name!r}"


@dataclass(frozen=True)
class Named:
    """One place of a model in settings; one of a `component` may be a folder of more than that."""

    kind: str
    name: str
    path: str
    component: str | None = None

    @property
    def place(self) -> Path:
        """The file or folder that is read."""
        return Path(self.path) if self.component is None else component_folder(Path(self.path), self.component)

    def reference(self, fingerprints: Fingerprints) -> Reference:
        return reference_to(self.place, self.kind, self.name, fingerprints, whole=self.component is None)


def portable(settings: StageSettings, fingerprints: Fingerprints) -> StageSettings:
    """The settings of a call with references in the place of paths, and nothing in them that is of this machine.

    Raises ModelMissing where a model cannot be read, or lies on the hub."""
    if sentence := cannot_travel(settings):
        raise ModelMissing(sentence)
    said = _each_replaced(settings, lambda named: named.reference(fingerprints).written())
    fingerprints.save()
    return cast("StageSettings", said)


def references_of(settings: StageSettings, fingerprints: Fingerprints) -> list[tuple[Reference, Path]]:
    """What a call is computed with, and where that lies here. Raises ModelMissing where it cannot be read, or lies on the hub."""
    if sentence := cannot_travel(settings):
        raise ModelMissing(sentence)
    return [(named.reference(fingerprints), named.place) for named in _named_in(settings)]


def cannot_travel(settings: StageSettings) -> str | None:
    """Why a call can be computed on this machine alone, as a sentence; None where it may travel. Nothing is read for that."""
    for named in _named_in(settings):
        if is_hub_id(named.path) and not Path(named.path).exists():
            return (
                f"the {_called(named.kind, named.name)} is {named.path!r} on the hub, and from there nothing travels to another "
                "machine; fetch it into a folder, and name that in config.yaml"
            )
    return None


def _named_in(settings: StageSettings) -> list[Named]:
    found: list[Named] = []
    _each_replaced(settings, found.append)
    return found


def _each_replaced(settings: StageSettings, replaced: Callable[[Named], Any]) -> dict[str, Any]:
    """The settings with what `replaced` gives in the place of each path, and without what is of this machine."""
    said = {key: value for key, value in settings.items() if key in StageSettings.__annotations__ and key not in OWN}
    model = {key: value for key, value in settings["model"].items() if key not in OWN_OF_MODEL}
    name, vae, parts = settings["model"]["name"], settings["model"].get("vae"), settings["model"].get("parts")
    model["path"] = replaced(Named("model", name, settings["model"]["path"]))
    if vae:
        # What somebody gave holds more than a stage reads, and this name among it.
        called = str(cast("Mapping[str, Any]", settings).get("vae") or "vae")
        model["vae"] = replaced(Named("vae", called, vae, "vae"))
    if isinstance(parts, str):
        model["parts"] = replaced(Named("part", name, parts))
    elif parts:
        model["parts"] = {n: place and replaced(Named("part", f"{name}/{n}", place, n)) for n, place in parts.items()}
    if loras := settings.get("loras"):
        said["loras"] = [{**lora, "path": replaced(Named("lora", lora["name"], lora["path"]))} for lora in loras]
    if inversions := settings.get("textual_inversions"):
        said["textual_inversions"] = {n: replaced(Named("textual_inversion", n, path)) for n, path in inversions.items()}
    return {**said, "model": model}
