"""The models that are loaded: one component at a time, kept warm within a budget, least recently used goes first.

A model is a folder in diffusers layout, or the id of one on the Hugging Face Hub; the Hub is asked only if the model's
`network` is true, otherwise an id is looked for in the local cache alone. Nothing is loaded that a stage did not ask
for: text needs no UNet."""

import gc
import importlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import diffusers
import torch
import transformers
from huggingface_hub import constants as hub
from safetensors import SafetensorError

from daemon.errors import InputError, ModelMissing
from daemon.models.families import FAMILIES, Family

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
    """

    name: str
    path: str
    dtype: str = "float32"
    vae: str | None = None
    device: str = "cpu"
    network: bool = False

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Return the model that a job's settings name under "model"."""
        return cls(**settings["model"])

    @property
    def torch_dtype(self) -> torch.dtype:
        if self.dtype not in DTYPES:
            raise ModelMissing(f"the model {self.name!r} is to run in {self.dtype!r}, which is none of {', '.join(DTYPES)}")
        return DTYPES[self.dtype]

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


class Models:
    """Components of models by demand; `budget_bytes` bounds the weights that stay loaded while others come in."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._warm: OrderedDict[tuple[Model, str], tuple[Any, int]] = OrderedDict()

    def component(self, model: Model, name: str) -> Any:
        """Return a component ("tokenizer", "text_encoder", "unet" or "vae"), loaded into the model's device and dtype.

        Raises ModelMissing where it is not there or cannot be read.
        """
        key = (model, name)
        if key not in self._warm:
            self._make_room(_stored_bytes(model, name))
            part = self._load(model, name)
            self._warm[key] = (part, _loaded_bytes(part))
            self._make_room(0, keep=key)
        self._warm.move_to_end(key)
        return self._warm[key][0]

    def pipeline(self, model: Model, **parts: Any) -> Any:
        """Return the model's diffusers pipeline with only these parts in it, all others None."""
        family = self.family(model)
        empty = dict.fromkeys([*family.components, "scheduler", "safety_checker", "feature_extractor"])
        return getattr(diffusers, family.pipeline)(**{**empty, **parts}, requires_safety_checker=False)

    def family(self, model: Model) -> Family:
        """Return the family of a model, as its `model_index.json` says."""
        name = self._config(model, diffusers.DiffusionPipeline, model.path, None)["_class_name"]
        if name not in FAMILIES:
            raise ModelMissing(f"the model {model.name!r} is a {name}, which is not supported; supported are {', '.join(FAMILIES)}")
        return FAMILIES[name]

    def config(self, model: Model, name: str) -> Mapping[str, Any]:
        """Return the configuration of a component, or of the "scheduler", without loading any weights."""
        if name == "scheduler":
            return self._config(model, diffusers.DDIMScheduler, model.path, "scheduler")
        return self._config(model, self._class(model, name), *model.source(name))

    def scale_factor(self, model: Model) -> int:
        """Return how many pixels wide a latent pixel of this model is."""
        levels = self.config(model, "vae").get("block_out_channels", (64, 64, 64, 64))
        return 1 << (len(levels) - 1)

    def clear(self) -> None:
        """Let go of everything that is loaded."""
        self._warm.clear()
        _free_memory()

    def _class(self, model: Model, name: str) -> Any:
        library, class_name = self.family(model).components[name]
        return getattr(importlib.import_module(library), class_name)

    def _config(self, model: Model, cls: Any, path: str, subfolder: str | None) -> Mapping[str, Any]:
        with _Reading(model, subfolder or "model_index.json"):
            config: Mapping[str, Any] = cls.load_config(path, subfolder=subfolder, local_files_only=not model.network)
            return config

    def _load(self, model: Model, name: str) -> Any:
        cls = self._class(model, name)
        path, subfolder = model.source(name)
        options: dict[str, Any] = {"local_files_only": not model.network, "subfolder": subfolder or ""}
        if name != "tokenizer":
            options["dtype" if cls.__module__.startswith("transformers") else "torch_dtype"] = model.torch_dtype
            options["variant"] = _variant(Path(path) / (subfolder or ""))
        logger.info("loading the %s of %s", name, model.name)
        with _Reading(model, name):
            part = cls.from_pretrained(path, **options)
        return part if name == "tokenizer" else part.to(model.device).eval()

    def _make_room(self, needed_bytes: int, *, keep: tuple[Model, str] | None = None) -> None:
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


def _variant(folder: Path) -> str | None:
    """Many folders hold half-precision weights only, under names that must be asked for."""
    names = [path.name for pattern in ("*.safetensors", "*.bin") for path in folder.glob(pattern)]
    return "fp16" if names and all(".fp16." in name for name in names) else None


def _stored_bytes(model: Model, name: str) -> int:
    path, subfolder = model.source(name)
    files = (Path(path) / (subfolder or "")).glob("*.safetensors")
    return max((file.stat().st_size for file in files), default=0)


def _loaded_bytes(part: Any) -> int:
    if not isinstance(part, torch.nn.Module):
        return 0
    return sum(tensor.nbytes for tensors in (part.parameters(), part.buffers()) for tensor in tensors)


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
