"""The models that are loaded: one component at a time, kept warm within a budget, least recently used goes first.

A model is a folder in diffusers layout, or the id of one on the Hugging Face Hub; the Hub is asked only if the model's
`network` is true, otherwise an id is looked for in the local cache alone. Nothing is loaded that a stage did not ask
for: text needs no UNet."""

import gc
import importlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import diffusers
import torch
import transformers
from huggingface_hub import constants as hub
from safetensors import SafetensorError

from daemon.errors import InputError, ModelMissing
from daemon.models.families import FAMILIES, Family
from daemon.models.on_disk import INDEX, left_out, variant_of, weights_bytes

logger = logging.getLogger(__name__)

DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}

# Both libraries log at length and draw bars while they load; what matters of it comes back as facts and errors.
diffusers.utils.logging.set_verbosity_error()
diffusers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


@dataclass(frozen=True)
class Model:
    """One model of the configuration, and how it is to be run.

    `path` is a folder or a Hub id, `vae` a folder or id that replaces the model's own VAE, `dtype` one of DTYPES.
    `prediction_type` is what the denoiser was trained to predict ("epsilon", "v_prediction"), where the model says it wrong.
    """

    name: str
    path: str
    dtype: str = "float32"
    vae: str | None = None
    device: str = "cpu"
    network: bool = False
    prediction_type: str | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Return the model that a job's settings name under "model"."""
        return cls(**settings["model"])

    @property
    def torch_dtype(self) -> torch.dtype:
        if self.dtype not in DTYPES:
            raise ModelMissing(f"the model {self.name!r} is to run in {self.dtype!r}, which is none of {', '.join(DTYPES)}")
        return DTYPES[self.dtype]

    def check_device(self) -> None:
        """Raise ModelMissing where torch does not find the device."""
        kind, _, number = self.device.partition(":")
        count = torch.cuda.device_count() if kind == "cuda" else int(kind == "cpu" or torch.backends.mps.is_available())
        if int(number or 0) >= count:
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

    def source(self, component: str) -> tuple[str, str | None]:
        """Return where a component lies: a folder or Hub id, and the subfolder in it."""
        if component != "vae" or self.vae is None:
            return self.path, component
        return self.vae, None if (Path(self.vae) / "config.json").is_file() else component


class _Key(NamedTuple):
    """What makes two loaded components the same one."""

    path: str
    subfolder: str | None
    name: str
    device: str
    dtype: torch.dtype


class Models:
    """Components of models by demand; `budget_bytes` bounds the weights that stay loaded while others come in."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._warm: OrderedDict[_Key, tuple[Any, int]] = OrderedDict()
        self._from_hub: dict[tuple[str, str | None], Mapping[str, Any]] = {}

    def component(self, model: Model, name: str) -> Any:
        """Return a component ("tokenizer", "text_encoder", "unet", "vae", ...), loaded into the model's device and dtype.

        Raises ModelMissing where it is not there or cannot be read.
        """
        key = _Key(*model.source(name), name, model.device, model.torch_dtype)
        if key not in self._warm:
            self._make_room(weights_bytes(Path(key.path) / (key.subfolder or "")))
            part = self._load(model, name)
            self._warm[key] = (part, _loaded_bytes(part))
            self._make_room(0, keep=key)
        self._warm.move_to_end(key)
        return self._warm[key][0]

    def text_parts(self, model: Model) -> dict[str, Any]:
        """Return the tokenizers and text encoders that the model has, by name."""
        family, index = self.family(model), self.index(model)
        return {
            name: self.component(model, name) for name in family.text_parts if not left_out(Path(model.path), name, index, family)
        }

    def vae(self, model: Model) -> Any:
        """Return the VAE, in float32 where it does not stand the half precision of the model."""
        upcast = self.family(model).overflows and self.config(model, "vae").get("force_upcast", True)
        half = model.torch_dtype is torch.float16
        return self.component(replace(model, dtype="float32") if half and upcast else model, "vae")

    def pipeline(self, model: Model, **parts: Any) -> Any:
        """Return the model's diffusers pipeline with only these parts in it, all others None."""
        family = self.family(model)
        options = {**dict.fromkeys([*family.components, "scheduler"]), **family.options(self.index(model)), **parts}
        pipe = getattr(diffusers, family.pipeline)(**options)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def family(self, model: Model) -> Family:
        """Return the family of a model, as its `model_index.json` says."""
        name = self.index(model)["_class_name"]
        if name not in FAMILIES:
            raise ModelMissing(f"the model {model.name!r} is a {name}, which is not supported; supported are {', '.join(FAMILIES)}")
        return FAMILIES[name]

    def index(self, model: Model) -> Mapping[str, Any]:
        """Return the model's `model_index.json`."""
        return self._config(model, diffusers.DiffusionPipeline, model.path, None)

    def config(self, model: Model, name: str) -> Mapping[str, Any]:
        """Return the configuration of a component, or of the "scheduler", without loading any weights."""
        if name == "scheduler":
            said = {} if model.prediction_type is None else {"prediction_type": model.prediction_type}
            return {**self._config(model, diffusers.DDIMScheduler, model.path, "scheduler"), **said}
        return self._config(model, self._class(model, name), *model.source(name))

    def denoiser_config(self, model: Model) -> Mapping[str, Any]:
        """Return the configuration of what runs in the loop: the UNet or the transformer."""
        return self.config(model, self.family(model).denoiser)

    def scale_factor(self, model: Model) -> int:
        """Return how many pixels wide a latent pixel of this model is."""
        levels = self.config(model, "vae").get("block_out_channels", (64, 64, 64, 64))
        return 1 << (len(levels) - 1)

    def grid(self, model: Model) -> int:
        """Return what width and height of a picture must be multiples of, in pixels."""
        return self.scale_factor(model) * self.family(model).patch(self.denoiser_config(model))

    def clear(self) -> None:
        """Let go of everything that is loaded."""
        self._warm.clear()
        _free_memory()

    def _class(self, model: Model, name: str) -> Any:
        library, class_name = self.family(model).components[name]
        return getattr(importlib.import_module(library), class_name)

    def _config(self, model: Model, cls: Any, path: str, subfolder: str | None) -> Mapping[str, Any]:
        # Folders are read again for each job, because people change them; the hub is asked once.
        if (path, subfolder) in self._from_hub:
            return self._from_hub[path, subfolder]
        with _Reading(model, subfolder or INDEX):
            config: Mapping[str, Any] = cls.load_config(path, subfolder=subfolder, local_files_only=not model.network)
        if not Path(path).exists():
            self._from_hub[path, subfolder] = config
        return config

    def _load(self, model: Model, name: str) -> Any:
        cls, is_tokenizer = self._class(model, name), name.startswith("tokenizer")
        path, subfolder = model.source(name)
        options: dict[str, Any] = {"local_files_only": not model.network, "subfolder": subfolder or ""}
        if not is_tokenizer:
            options["dtype" if cls.__module__.startswith("transformers") else "torch_dtype"] = model.torch_dtype
            options["variant"] = variant_of(Path(path) / (subfolder or ""))
        model.check_device()
        logger.info("loading the %s of %s", name, model.name)
        with _Reading(model, name):
            part = cls.from_pretrained(path, **options)
        return part if is_tokenizer else part.to(model.device).eval()

    def _make_room(self, needed_bytes: int, *, keep: _Key | None = None) -> None:
        dropped = False
        while self._warm and self._used_bytes() + needed_bytes > self._budget_bytes and next(iter(self._warm)) != keep:
            self._warm.popitem(last=False)
            dropped = True
        if dropped:
            _free_memory()

    def _used_bytes(self) -> int:
        return sum(size for _, size in self._warm.values())


class _Reading:
    """Turns what the libraries raise while they read a model into ModelMissing, and keeps them off the network."""

    def __init__(self, model: Model, what: str) -> None:
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
        path, _ = self._model.source(self._what)
        start = f"the model {self._model.name!r} cannot be used: its {self._what} is not readable at {path!r}"
        if not Path(path).exists() and not self._model.network:
            return f"{start}, where there is no such folder; correct the path in config.yaml, or allow the network for a hub id"
        return f"{start} ({str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__})"


def _loaded_bytes(part: Any) -> int:
    if not isinstance(part, torch.nn.Module):
        return 0
    return sum(tensor.nbytes for tensors in (part.parameters(), part.buffers()) for tensor in tensors)


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
