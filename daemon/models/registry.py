"""The models that are loaded: one component at a time, kept warm within a budget, least recently used goes first.

In which form a model lies there is the business of `sources`. Nothing is loaded that a stage did not ask for: text needs no
UNet."""

import ctypes
import gc
import inspect
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple, Self

import diffusers
import torch
import transformers
from huggingface_hub import constants as hub
from safetensors import SafetensorError

from daemon.errors import InputError, ModelMissing
from daemon.models.adapters.loras import Change, Lora, changes
from daemon.models.adapters.merging import merge
from daemon.models.compute_format import format_of
from daemon.models.families import Family
from daemon.models.folders import INDEX, is_tokenizer
from daemon.models.remembered import Embeddings
from daemon.models.sources import Parts, Source, StoredComponent, source_of
from daemon.models.stage_settings import StageSettings
from daemon.models.unreadable import UnreadableModel

logger = logging.getLogger(__name__)

DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}

GB = 1e9
MACHINE = "memory"
# Of the free memory of a GPU; in the rest pictures are computed. Where one needs more, the worker lets go of what it does not use.
FREE_PART = 0.85

# Both libraries log at length and draw bars while they load; what matters of it comes back as facts and errors.
diffusers.utils.logging.set_verbosity_error()
diffusers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def has_device(device: str) -> bool:
    """Whether torch finds a device: "cpu", "cuda", "cuda:N" or "mps"."""
    kind, _, number = device.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else int(kind == "cpu" or torch.backends.mps.is_available())
    return int(number or 0) < count


@dataclass(frozen=True)
class ModelSpec:
    """One model of the configuration, and how it is to be run.

    `path` is a folder, a single file or a hub id, `vae` one that replaces the model's own VAE, `parts` what else it is put together
    from (`sources.source_of`), `dtype` one of DTYPES. `prediction_type` is what the denoiser was trained to predict ("epsilon",
    "v_prediction"), where the model says it wrong. `fast` lets the device choose the compute format that is fastest on it, and
    `compiled` lets torch compile the denoiser.
    """

    name: str
    path: str
    dtype: str = "float32"
    vae: str | None = None
    device: str = "cpu"
    network: bool = False
    prediction_type: str | None = None
    parts: Parts | None = field(default=None, hash=False)
    fast: bool = False
    compiled: bool = False

    @classmethod
    def of(cls, settings: StageSettings) -> Self:
        """Return the model that a job's settings name under "model"."""
        said: dict[str, Any] = {**settings["model"]}
        return cls(**said)

    @property
    def torch_dtype(self) -> torch.dtype:
        """That of the configuration; in which it runs says `Models.dtype`. Raises ModelMissing where it is none of DTYPES."""
        if self.dtype not in DTYPES:
            raise ModelMissing(f"the model {self.name!r} is to run in {self.dtype!r}, which is none of {', '.join(DTYPES)}")
        return DTYPES[self.dtype]

    def check_device(self) -> None:
        """Raise ModelMissing where torch does not find the device."""
        if not has_device(self.device):
            raise ModelMissing(
                f"the model {self.name!r} is to run on {self.device!r}, and torch finds no such device; set `device` in "
                "config.yaml to one that is there (cpu always is), or install torch for yours"
            )

    def finite(self, result: torch.Tensor) -> torch.Tensor:
        """Return what the model gave if all of it is finite; raise InputError otherwise."""
        if not bool(torch.isfinite(result).all()):
            raise InputError(
                f"the model {self.name!r} in {self.dtype} gave values that are not finite (NaN or infinity); "
                "run it in float32, or with a lower guidance_scale"
            )
        return result

    def source(self) -> Source:
        """Return what the model is made of. Raises UnreadableModel where there is nothing at its path."""
        return source_of(self.path, parts=self.parts, vae=self.vae, network=self.network)


class _Key(NamedTuple):
    """What makes two loaded components the same one."""

    identity: Hashable
    name: str
    device: str
    dtype: torch.dtype
    fast: bool
    compiled: bool
    loras: tuple[Change, ...] = ()

    def in_words(self) -> str:
        """What it is, for the log."""
        return f"the {self.name} ({self.identity}) on {self.device}"


class Models:
    """Components of models by demand; `budget_bytes` bounds the weights that stay loaded while others come in.

    `gpu_bytes` bounds those on each GPU; None is for most of what is `free_bytes` there before the first."""

    def __init__(self, budget_bytes: int, *, gpu_bytes: int | None = None, free_bytes: Callable[[str], int] | None = None) -> None:
        self._budget_bytes, self._gpu_bytes, self._free_bytes = budget_bytes, gpu_bytes, free_bytes or _free_bytes
        self._gpu_budgets: dict[str, int] = {}
        self.loading_seconds = 0.0  # all that was waited for components so far
        self._warm: OrderedDict[_Key, tuple[Any, int]] = OrderedDict()
        self.embeddings = Embeddings()
        self.on_loading: Callable[[bool], None] = lambda _: None  # told when a component begins to be read, and when it is there
        self._asked: set[_Key] = set()

    def begin(self) -> None:
        """Note that a job begins: what is asked for from now on is what it uses."""
        self._asked.clear()

    def let_go_of_others(self) -> bool:
        """Let go of what the job that runs has not asked for, and of all that is cached; whether there was any such component."""
        others = self._warm.keys() - self._asked
        for key in others:
            del self._warm[key]
        _free_memory()
        return bool(others)

    def component(self, model: ModelSpec, name: str, loras: Sequence[Lora] = ()) -> Any:
        """Return a component ("tokenizer", "text_encoder", "unet", "vae", ...), loaded into the model's device and dtype.

        One with LoRAs in it takes the place of the same one without them or with others, and the reverse: it is read again, so that
        no weight was ever changed that somebody was given, and one copy is enough. Raises ModelMissing where it is not there or
        cannot be read, and InputError where a LoRA does not fit it.
        """
        changed = changes(loras, name, self.family(model), model.name) if loras else ()
        with _Reading(model, name):
            part = model.source().part(name)
            key = _Key(part.identity, name, model.device, self.dtype(model), model.fast, model.compiled, changed)
            self._asked.add(key)
            if key not in self._warm:
                model.check_device()
                with self._told(model, name):
                    self._let_go(key)
                    self._make_room(model.device, part.weights_bytes)
                    self.on_loading(True)
                    loaded = self._load(model, part, name)
                    if changed:
                        merge(loaded, name, changed, model.name)
                self._warm[key] = (loaded, _loaded_bytes(loaded))
                self.on_loading(False)
                logger.debug("the %s of %s: %s, from %s", name, model.name, _described(*self._warm[key]), part.location)
                self._make_room(model.device, 0, keep=key)
            else:
                logger.debug("the %s of %s is loaded already", name, model.name)
        self._warm.move_to_end(key)
        return self._warm[key][0]

    def text_parts(self, model: ModelSpec, loras: Sequence[Lora] = ()) -> dict[str, Any]:
        """Return the tokenizers and text encoders that the model has, by name."""
        with _Reading(model, INDEX):
            source = model.source()
            present = [name for name in source.family().text_parts if source.has(name)]
        return {name: self.component(model, name, () if is_tokenizer(name) else loras) for name in present}

    def vae(self, model: ModelSpec) -> Any:
        """Return the VAE, in float32 where it does not stand the half precision of the model."""
        upcast = self.family(model).overflows and self.config(model, "vae").get("force_upcast", True)
        half = self.dtype(model) is torch.float16
        return self.component(replace(model, dtype="float32", fast=False) if half and upcast else model, "vae")

    def pipeline(self, model: ModelSpec, **parts: Any) -> Any:
        """Return the model's diffusers pipeline with only these parts in it, all others None."""
        family = self.family(model)
        options = {**dict.fromkeys([*family.components, "scheduler"]), **family.options(self.index(model)), **parts}
        began = time.monotonic()
        kind = _placed(getattr(diffusers, family.pipeline), model.device)  # which reads a lot of code the first time
        self.loading_seconds += time.monotonic() - began
        pipe = kind(**options)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def family(self, model: ModelSpec) -> Family:
        """Return the family of a model, as its `model_index.json` says."""
        with _Reading(model, INDEX):
            return model.source().family()

    def dtype(self, model: ModelSpec) -> torch.dtype:
        """Return in which numbers a model runs: those of its configuration, or those that are fastest for its family."""
        configured = model.torch_dtype
        return format_of(model.device, model.dtype, wide=self.family(model).wide).dtype if model.fast else configured

    def index(self, model: ModelSpec) -> Mapping[str, Any]:
        """Return the model's `model_index.json`."""
        with _Reading(model, INDEX):
            return model.source().index()

    def config(self, model: ModelSpec, name: str, *, as_of: str | None = None) -> Mapping[str, Any]:
        """Return the configuration of a component, or of the "scheduler", without loading any weights.

        `as_of` asks for that which an earlier version of this program took."""
        with _Reading(model, name):
            config = model.source().part(name).as_of(as_of).config()
        said = model.prediction_type if name == "scheduler" else None
        return config if said is None else {**config, "prediction_type": said}

    def denoiser_config(self, model: ModelSpec) -> Mapping[str, Any]:
        """Return the configuration of what runs in the loop: the UNet or the transformer."""
        return self.config(model, self.family(model).denoiser)

    def scale_factor(self, model: ModelSpec) -> int:
        """Return how many pixels wide a latent pixel of this model is."""
        levels = self.config(model, "vae").get("block_out_channels", (64, 64, 64, 64))
        return 1 << (len(levels) - 1)

    def grid(self, model: ModelSpec) -> int:
        """Return what width and height of a picture must be multiples of, in pixels."""
        return self.scale_factor(model) * self.family(model).patch(self.denoiser_config(model))

    def clear(self) -> None:
        """Let go of everything that is loaded."""
        self._warm.clear()
        _free_memory()

    @contextmanager
    def _told(self, model: ModelSpec, name: str) -> Iterator[None]:
        """Say that a component is loaded, and how long it took; of one without weights only who asks for more hears."""
        level, began = logging.DEBUG if is_tokenizer(name) else logging.INFO, time.monotonic()
        logger.log(level, "loading the %s of %s", name, model.name)
        yield
        took = time.monotonic() - began
        self.loading_seconds += took
        logger.log(level, "loaded the %s of %s in %.1f s", name, model.name, took)

    def _load(self, model: ModelSpec, part: StoredComponent, name: str) -> Any:
        loaded = part.load(self.dtype(model))
        if not isinstance(loaded, torch.nn.Module):
            return loaded
        loaded.to(model.device)
        if model.device != "cpu":
            _trim_memory()
        if model.fast:
            loaded.to(memory_format=format_of(model.device, model.dtype).memory_format)  # type: ignore[call-overload]
        if model.compiled and name == model.source().family().denoiser:
            loaded.compile()
        _keep_signatures(loaded)
        return loaded

    def _let_go(self, key: _Key) -> None:
        """Let go of the same component with other LoRAs."""
        others = [warm for warm in self._warm if warm._replace(loras=key.loras) == key]
        for warm in others:
            logger.debug("letting go of %s, which has other LoRAs", warm.in_words())
            del self._warm[warm]
        if others:
            _free_memory()

    def _make_room(self, device: str, needed_bytes: int, *, keep: _Key | None = None) -> None:
        """Let go of what was used least recently in the memory of a device, until so much fits there."""
        place, dropped = _memory_of(device), False
        budget = self._budget_of(place)
        for key in [key for key in self._warm if _memory_of(key.device) == place]:
            if key == keep or self._used_bytes(place) + needed_bytes <= budget:
                break
            _, size = self._warm.pop(key)
            logger.debug("letting go of %s, %.2f GB, to make room", key.in_words(), size / GB)
            dropped = True
        if dropped:
            _free_memory()

    def _budget_of(self, place: str) -> int:
        if place == MACHINE:
            return self._budget_bytes
        if place not in self._gpu_budgets:
            self._gpu_budgets[place] = self._gpu_bytes or int(FREE_PART * self._free_bytes(place))
            logger.info("models may take %.1f GB on %s", self._gpu_budgets[place] / GB, place)
        return self._gpu_budgets[place]

    def _used_bytes(self, place: str) -> int:
        return sum(size for key, (_, size) in self._warm.items() if _memory_of(key.device) == place)


def _memory_of(device: str) -> str:
    """Where the weights lie that a device computes with: on a GPU, or in the memory of the machine."""
    return f"{device}:0" if device == "cuda" else device if device.startswith("cuda:") else MACHINE


def _free_bytes(device: str) -> int:
    free, _ = torch.cuda.mem_get_info(device)
    return int(free)


class _Reading:
    """Turns what the libraries raise while they read a model into ModelMissing, and keeps them off the network."""

    def __init__(self, model: ModelSpec, what: str) -> None:
        self._model, self._what = model, what

    def __enter__(self) -> None:
        # Some of their look-ups pass over local_files_only; this switch is read at every request.
        self._offline = hub.HF_HUB_OFFLINE
        hub.HF_HUB_OFFLINE = self._offline or not self._model.network

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        hub.HF_HUB_OFFLINE = self._offline
        if isinstance(error, (OSError, ValueError, KeyError, TypeError, SafetensorError)):
            raise ModelMissing(self._sentence(error)) from error

    def _sentence(self, error: BaseException) -> str:
        start = f"the model {self._model.name!r} cannot be used:"
        if isinstance(error, UnreadableModel):
            return f"{start} {error}"
        return f"{start} its {self._what} is not readable ({(str(error).strip().splitlines() or [type(error).__name__])[0]})"


@cache
def _placed(pipeline: Any, device: str) -> Any:
    """The class of a pipeline that knows its device; diffusers' own looks through all modules for it, several times a picture."""
    return type(pipeline.__name__, (pipeline,), {"_execution_device": torch.device(device)})


def _keep_signatures(part: torch.nn.Module) -> None:
    """Note on each attention processor the signature that diffusers asks for at every call, which takes as long as some layers."""
    for processor in getattr(part, "attn_processors", {}).values():
        call: Any = type(processor).__call__
        call.__signature__ = inspect.signature(call)


def _described(part: Any, size: int) -> str:
    """What it is, for who asks for more: the class, the size, and how it computes attention."""
    kinds = sorted({type(processor).__name__ for processor in getattr(part, "attn_processors", {}).values()})
    kinds = kinds or [str(kind) for kind in [getattr(getattr(part, "config", None), "_attn_implementation", None)] if kind]
    return ", ".join([type(part).__name__, f"{size / GB:.2f} GB", *(["attention " + " ".join(kinds)] if kinds else [])])


def _loaded_bytes(part: Any) -> int:
    if not isinstance(part, torch.nn.Module):
        return 0
    return sum(tensor.nbytes for tensors in (part.parameters(), part.buffers()) for tensor in tensors)


def _free_memory() -> None:
    gc.collect()
    _trim_memory()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _trim_memory() -> None:
    """Give back what a model lay in; a worker keeps what its layers worked in."""
    with suppress(OSError, AttributeError):  # of another C library
        ctypes.CDLL(None).malloc_trim(0)
