"""Files of torch.save: what is more than weights is refused and never run; what trainers leave behind is passed over."""

import argparse
import datetime
import pickle
import struct
import subprocess
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from daemon.models.checkpoints.pickles import MAGIC, PROTOCOL
from daemon.models.checkpoints.reading import read_tensors
from daemon.models.checkpoints.tensors import index_of
from daemon.models.unreadable import UnreadableModel

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}
FORMS = {"zip": True, "legacy": False}


class Named:
    """Is written into a pickle as this name, whatever the Python that runs the test calls the thing."""

    def __init__(self, name: str) -> None:
        self.module, _, self.name = name.rpartition(".")

    def __call__(self, *_: Any) -> None: ...


class Made:
    """Calls what has this name when it is unpickled."""

    def __init__(self, name: str, *arguments: Any) -> None:
        self.reduced = Named(name), arguments

    def __reduce__(self) -> Any:
        return self.reduced


class NamingPickler(pickle._Pickler):
    """Python's own and not the one in C, which nobody can teach another way to write a name."""

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Named):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())
        else:
            super().save(obj, save_persistent_id)


NAMING = types.SimpleNamespace(__name__="pickle", Pickler=NamingPickler, dump=pickle.dump)


def save(contents: Any, path: Path, form: str, pickler: Any = pickle) -> Path:
    torch.save(contents, path, pickle_module=pickler, _use_new_zipfile_serialization=FORMS[form])
    return path


def touching(marker: Path) -> dict[str, Made]:
    """What would touch the marker, by the name that the sentence says."""
    command = f"touch {marker}"
    return {
        "posix.system": Made("posix.system", command),
        "nt.system": Made("nt.system", command),
        "builtins.eval": Made("__builtin__.eval", f"__import__('pathlib').Path({str(marker)!r}).touch()"),
        "builtins.exec": Made("builtins.exec", f"open({str(marker)!r}, 'w')"),
        "builtins.getattr": Made("__builtin__.getattr", Named("__builtin__.dict"), "fromkeys"),
        "io.open": Made("io.open", str(marker), "w"),
        "_io.open": Made("_io.open", str(marker), "w"),
        "builtins.open": Made("__builtin__.open", str(marker), "w"),
        "posix.mkdir": Made("posix.mkdir", str(marker)),
        "subprocess.Popen": Made("subprocess.Popen", ["touch", str(marker)]),
        "subprocess.Popen, as Python 2 says": Made("commands.Popen", ["touch", str(marker)]),
        "functools.partial": Made("functools.partial", Named("posix.system"), command),
        "torch.serialization.load": Made("torch.serialization.load", str(marker)),
        "importlib.import_module": Made("importlib.import_module", "antigravity"),
        "operator.attrgetter": Made("operator.attrgetter", "system"),
        "pathlib._local.os.system": Made("pathlib._local.os.system", command),
        "numpy.lib.npyio.load": Made("numpy.lib.npyio.load", str(marker)),
    }


ATTACKS = list(touching(Path("x")))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("where", ["beside", "in a weight's place", "deep"])
def test_what_runs_something_is_refused_and_not_run(attack: str, form: str, where: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    attacker = touching(marker)[attack]
    contents = {
        "beside": {"state_dict": WEIGHTS, "callbacks": attacker},
        "in a weight's place": {"state_dict": {**WEIGHTS, "c": attacker}},
        "deep": {"state_dict": {**WEIGHTS, "c": [({"d": OrderedDict(e=attacker)},)]}},
    }[where]
    with pytest.raises(
        UnreadableModel,
        match=rf"m\.ckpt is refused, because it holds more than weights: reading it would run {attack.split(',')[0]};",
    ):
        index_of(save(contents, tmp_path / "m.ckpt", form, NAMING))
    assert not marker.exists()


# Programs in the language of pickles that no `__reduce__` writes.
HAND_WRITTEN = {
    "a dotted name": b"\x80\x04\x8c\x05torch\x8c\x16serialization.os.system\x93\x8c\x04true\x85R.",
    "an old instance": b"(S'true'\nios\nsystem\n.",
    "a name by the stack": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    "an extension": b"\x80\x02\x82\x01)R.",
    "a state for a maker": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}U\x08__code__K\x01s\x86b.",
    "a state for a stand-in": b"\x80\x02cpytorch_lightning.x\ny\nN}U\x08__call__K\x01s\x86b.",
    "a state for a dictionary": b"\x80\x02ccollections\nOrderedDict\nN}U\x06__eq__K\x01s\x86b.",
    "a maker of nonsense": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x02K\x03tR.",
    "a maker of nothing": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    "a storage of nonsense": b"\x80\x02(U\x07storageK\x01K\x02K\x03K\x04tQ.",
    "itself": b"\x80\x02}q\x00U\nstate_dicth\x00s.",
    "a memo of many gigabytes": b"\x80\x02K\x01r\xff\xff\xff\x7f.",
    "a string of many gigabytes": b"\x80\x04\x8d\xff\xff\xff\xff\xff\x00\x00\x00x.",
    "a number": b"\x80\x02K\x01.",
    "the end": b"\x80\x02",
    "no pickle": b"\x80\x02\xff\xff\xff",
}


def zipped(pickled: bytes, path: Path, compression: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, data in members.items():
            archive.writestr(f"archive/{name.replace('__', '/')}", data)
    return path


@pytest.mark.parametrize("program", HAND_WRITTEN)
def test_programs_that_were_written_by_hand_are_refused(program: str, tmp_path: Path) -> None:
    file = zipped(HAND_WRITTEN[program], tmp_path / "m.ckpt")
    with pytest.raises(UnreadableModel, match=r"m\.ckpt (is refused, because|is damaged, or no file of weights|holds no weights)"):
        index_of(file)
    # Whatever it tried to change is as it was.
    assert index_of(save(WEIGHTS, tmp_path / "good.ckpt", "zip")).keys() == WEIGHTS.keys()


@pytest.fixture
def lightning() -> Iterator[Callable[[], Any]]:
    """A callback of PyTorch Lightning as it lies in real files, of a package that the reader does not have."""
    package, module = types.ModuleType("pytorch_lightning"), types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")

    class ModelCheckpoint:
        def __init__(self) -> None:
            self.best, self.scores = "epoch=6.ckpt", {"loss": torch.tensor(0.5)}

    ModelCheckpoint.__module__, ModelCheckpoint.__qualname__ = module.__name__, "ModelCheckpoint"
    module.ModelCheckpoint = ModelCheckpoint  # type: ignore[attr-defined]
    names = {"pytorch_lightning": package, "pytorch_lightning.callbacks": package, module.__name__: module}
    sys.modules.update(names)
    yield ModelCheckpoint
    for name in names:
        del sys.modules[name]


@pytest.mark.parametrize("form", FORMS)
def test_what_lightning_leaves_behind_is_passed_over(form: str, lightning: Callable[[], Any], tmp_path: Path) -> None:
    left = {
        "callbacks": {lightning: {"best": 1, "callback": lightning()}},
        "hyper_parameters": argparse.Namespace(lr=1e-4, path=Path("/data"), sizes={1, 2}, when=datetime.datetime(2022, 8, 1)),
        "loops": OrderedDict(epoch=np.float64(3.0), history=np.arange(3)),
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.95)}]}],
        "pytorch-lightning_version": "1.4.2",
    }
    file = save({"state_dict": OrderedDict(WEIGHTS), "epoch": 6, **left}, tmp_path / "m.ckpt", form)
    for name in [name for name in sys.modules if name.startswith("pytorch_lightning")]:
        sys.modules[name] = types.ModuleType("nothing")
    found = read_tensors(file)
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], WEIGHTS[name]) for name in WEIGHTS)


# The same thing under each name that a Python or a numpy has written it by.
HARMLESS = {
    **{
        f"{module}.{kind}": ("/", "data")
        for module in ("pathlib", "pathlib._local")
        for kind in ("Path", "PosixPath", "WindowsPath")
    },
    **{f"{module}.Pure{kind}Path": ("data",) for module in ("pathlib", "pathlib._local") for kind in ("", "Posix", "Windows")},
    **{
        f"__builtin__.{kind}": ()
        for kind in ("bytes", "dict", "list", "long", "object", "set", "str", "tuple", "unicode", "xrange")
    },
    **{f"builtins.{kind}": () for kind in ("bytes", "dict", "int", "list", "object", "range", "set", "str", "tuple")},
    **{f"numpy.{core}.multiarray.scalar": (Named("numpy.dtype"), b"12345678") for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray._reconstruct": (Named("numpy.ndarray"), (0,), b"b") for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": (b"1234", Named("numpy.dtype"), (4,), "C") for core in ("core", "_core")},
    **{f"{module}.{kind}": () for module in ("collections", "_collections") for kind in ("OrderedDict", "defaultdict", "deque")},
    **{f"{module}._reconstructor": (Named("__builtin__.object"),) * 2 for module in ("copy_reg", "copyreg")},
    **{f"{module}.encode": ("data", "latin1") for module in ("_codecs", "codecs")},
    "datetime.timezone": (Made("datetime.timedelta", 0),),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless_is_passed_over_whichever_python_named_it(name: str, form: str, tmp_path: Path) -> None:
    beside = {"a kind": Named(name), "one of it": Made(name, *HARMLESS[name])}
    found = read_tensors(save({"state_dict": WEIGHTS, **beside}, tmp_path / "m.ckpt", form, NAMING))
    assert found.keys() == WEIGHTS.keys()


@pytest.mark.parametrize("module", [b"collections", b"_collections"])
def test_weights_are_found_in_an_ordered_dictionary_of_any_python(module: bytes, tmp_path: Path) -> None:
    file = save({"state_dict": OrderedDict(WEIGHTS)}, tmp_path / "m.ckpt", "zip")
    rewritten(file, lambda _, data: data.replace(b"ccollections\nOrderedDict", b"c" + module + b"\nOrderedDict"))
    assert module + b"\nOrderedDict" in file.read_bytes()
    assert read_tensors(file).keys() == WEIGHTS.keys()


@pytest.mark.parametrize("form", FORMS)
def test_tensors_of_every_sort_are_read_as_they_were(form: str, tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    numbers = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8)
    sorts = {
        **{str(dtype): torch.arange(5).to(dtype) for dtype in (*numbers, torch.uint8)},
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "part": base[1:3],
        "turned": base.T,
        "every second": base[:, ::2],
        "repeated": torch.ones(3, 1).expand(3, 4),
        "shared": base,
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    if form == "zip":
        sorts["float8"] = torch.ones(4).to(torch.float8_e4m3fn)
    found = read_tensors(save(sorts, tmp_path / "m.pt", form))
    assert found.keys() == sorts.keys()
    for name, tensor in sorts.items():
        assert found[name].dtype is tensor.dtype, name
        assert torch.equal(found[name].double(), tensor.detach().double()), name


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


def pointer(file: Path) -> None:
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4265380512\n")


def rewritten(file: Path, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, change(name, data))


def big_endian(file: Path) -> None:
    rewritten(file, lambda name, data: b"big" if name.endswith("byteorder") else data)


def short_storage(file: Path) -> None:
    rewritten(file, lambda name, data: data[:-4] if "/data/" in name else data)


def bomb(file: Path) -> None:
    rewritten(file, lambda name, data: data + bytes(50_000_000) if name.endswith("data.pkl") else data, zipfile.ZIP_DEFLATED)


def without_pickle(file: Path) -> None:
    zipped(b"", file)
    rewritten(file, lambda _, data: data)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/constants.pkl", b"")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (cut, r"is damaged, or no file of weights \(.*\); fetch it again"),
        (pointer, "is a pointer of git-lfs; fetch the weights themselves"),
        (big_endian, r"cannot be read: its numbers are big-endian; get the model as \.safetensors"),
        (short_storage, r"is damaged, or no file of weights \(a tensor lies outside of its storage\)"),
        (bomb, "cannot be read: its contents are compressed or encrypted, which torch never does"),
        (without_pickle, r"is damaged, or no file of weights \(there is no data\.pkl in it\)"),
        (lambda file: file.write_bytes(b""), "is damaged, or no file of weights"),
        (lambda file: file.write_text("<!DOCTYPE html><title>Log in</title>"), "is damaged, or no file of weights"),
        (lambda file: file.write_bytes(b"GGUF\x03"), "is damaged, or no file of weights"),
        (lambda file: file.unlink(), r"cannot be read \(No such file"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(spoil: Callable[[Path], object], sentence: str, tmp_path: Path) -> None:
    file = save(WEIGHTS, tmp_path / "m.ckpt", "zip")
    spoil(file)
    with pytest.raises(UnreadableModel, match=rf"^\S*m\.ckpt {sentence}"):
        index_of(file)


def in_a_row(*pickles: Any, storages: bytes = b"") -> bytes:
    return b"".join(pickle.dumps(one, protocol=2) for one in pickles) + storages


LEGACY = {
    "big-endian": (in_a_row(MAGIC, PROTOCOL, {"little_endian": False}, {}, []), "its numbers are big-endian"),
    "of another program": (in_a_row(1, 2, {"little_endian": True}, {}, []), "does not begin as torch writes it"),
    "cut off in the middle": (in_a_row(MAGIC, PROTOCOL), "is damaged"),
    "with a key of nothing": (in_a_row(MAGIC, PROTOCOL, {"little_endian": True}, {}, ["0"], storages=bytes(8)), "is damaged"),
    "without weights": (in_a_row(MAGIC, PROTOCOL, {"little_endian": True}, {}, []), "holds no weights"),
    "of a list": (in_a_row(MAGIC, PROTOCOL, {"little_endian": True}, [1], []), "it holds no weights by name"),
}


@pytest.mark.parametrize("sort", LEGACY)
def test_older_files_that_are_odd_are_named(sort: str, tmp_path: Path) -> None:
    contents, sentence = LEGACY[sort]
    (tmp_path / "m.ckpt").write_bytes(contents)
    with pytest.raises(UnreadableModel, match=sentence):
        index_of(tmp_path / "m.ckpt")


def test_a_tensor_cannot_lie_outside_of_its_storage(tmp_path: Path) -> None:
    for form in FORMS:
        file = save({"a": torch.zeros(4, 4)}, tmp_path / f"{form}.ckpt", form)
        data = file.read_bytes()
        assert data.count(b"K\x04K\x04\x86") == 1
        file.write_bytes(data.replace(b"K\x04K\x04\x86", b"K\x04K\x7f\x86"))
        with pytest.raises(UnreadableModel, match=r"a tensor lies outside of its storage|Bad CRC-32"):
            index_of(file)


def header(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


@pytest.mark.parametrize(
    ("contents", "sentence"),
    [
        (header(b"{}"), "holds no weights"),
        (header(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'), r"is cut off: \d+ bytes, and should be \d+"),
        (header(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}'), "is damaged, or no file of weights"),
        (header(b'{"a": {"dtype": "F32", "shape": [-2, -4], "data_offsets": [0, 32]}}') + bytes(32), "is damaged"),
        (
            header(b'{"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}'),
            "holds numbers of the type F4, which cannot be read",
        ),
        (header(b"[1]"), "is damaged"),
        (header(b"{}", length=2**62), "is damaged"),
        (header(b"[" * 100_000), "is damaged"),
    ],
)
def test_what_is_wrong_with_a_safetensors_file_is_one_sentence(contents: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(contents)
    with pytest.raises(UnreadableModel, match=rf"m\.safetensors {sentence}"):
        index_of(tmp_path / "m.safetensors")


def test_what_a_file_is_counts_and_not_its_name(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "weights.ckpt")
    save(WEIGHTS, tmp_path / "weights.safetensors", "zip")
    for file in tmp_path.iterdir():
        found = read_tensors(file)
        assert all(torch.equal(found[name], WEIGHTS[name]) for name in WEIGHTS), file


def test_the_reader_needs_no_torch(tmp_path: Path) -> None:
    file = save(WEIGHTS, tmp_path / "m.ckpt", "zip")
    program = (
        "import pathlib, sys; from daemon.models.checkpoints.tensors import index_of; "
        "print(*index_of(pathlib.Path(sys.argv[1]))); sys.exit('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == list(WEIGHTS)
