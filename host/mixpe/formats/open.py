# SPDX-License-Identifier: BSD-2-Clause
"""Open a checkpoint of any format that is read; which one is seen from its content, not from its name.

    folder with config.json      Hugging Face: floating, GPTQ, AWQ, compressed-tensors
    *.safetensors                one file of such a folder, its config.json beside it; what `mixpe quantize` writes
    "GGUF"                       GGUF
    "24ka", or the right size    llama2.c

What is known and not read is refused by its name, with the way out.
"""

from pathlib import Path

from mixpe.errors import ModelError
from mixpe.formats.brief import brief
from mixpe.formats.gguf import MAGIC
from mixpe.formats.gguf_model import read_gguf
from mixpe.formats.huggingface import CONFIG, read_folder
from mixpe.formats.llama2c import is_llama2c, read_llama2c
from mixpe.formats.mapping import map_file, read_bytes
from mixpe.formats.packaged import MODELS, named

_PICKLE = ("is pickled, and opening it could run anything: it is never opened. Take the model's safetensors, or make "
           "them with transformers: AutoModelForCausalLM.from_pretrained(…).save_pretrained(…)")
_ADAPTER = ("holds an adapter (LoRA) without its model; merge it: "
            "PeftModel.from_pretrained(…).merge_and_unload().save_pretrained(…)")
_FOREIGN = {  # first bytes: what the file is
    b"PK\3\4": "is a zip archive: a .pt, .bin or .pth of PyTorch, which " + _PICKLE,
    b"\x80\2": _PICKLE, b"\x80\3": _PICKLE, b"\x80\4": _PICKLE, b"\x80\5": _PICKLE,
    b"lmgg":   "is a model of llama.cpp from before GGUF (ggml); convert the original one again",
    b"fmgg":   "is a model of llama.cpp from before GGUF (ggmf); convert the original one again",
    b"tjgg":   "is a model of llama.cpp from before GGUF (ggjt); convert the original one again",
    b"\x93NUMPY": "is one array of numpy, no model",
    b"version https://git-lfs": "is a pointer of Git LFS, not the file itself; git lfs pull brings it",
}
_FOLDERS = (  # files of a folder without what is read, and what such a folder is
    ("adapter_config.json",     _ADAPTER),
    ("params.json",             "holds a model in Meta's or Mistral's own layout; take its Hugging Face one"),
    ("*.bin",                   _PICKLE),
    ("*.pt",                    _PICKLE),
    ("*.pth",                   _PICKLE),
    ("*.onnx",                  "holds an ONNX model; take the original one"),
    ("*.msgpack",               "holds a Flax model; take the original one as safetensors"),
    ("*.h5",                    "holds a TensorFlow model; take the original one as safetensors"),
)


def _open_folder(folder):
    has_weights = any(folder.glob("*.safetensors")) or any(folder.glob("*.safetensors.index.json"))
    if (folder/CONFIG).exists() and has_weights:
        return read_folder(folder)
    ggufs = sorted(folder.glob("*.gguf"))
    if len(ggufs) == 1:
        return read_gguf(ggufs[0])
    if ggufs:
        names = ", ".join(path.name for path in ggufs[:4])
        raise ModelError(f"{folder} has {len(ggufs)} GGUF files: {names}; name one of them")
    if has_weights:
        raise ModelError(f"{folder} has no {CONFIG}, which says what its safetensors are")
    for pattern, what in _FOLDERS:
        found = next(folder.glob(pattern), None)
        if found is not None:
            raise ModelError(f"{folder} {what} (it has {found.name})")
    raise ModelError(f"{folder} is no model: it has neither {CONFIG} and safetensors, nor a GGUF file")


def _open_file(path):
    start = read_bytes(path, 64)
    if start.startswith(MAGIC):
        return read_gguf(path)
    for mark, what in _FOREIGN.items():
        if start.startswith(mark):
            raise ModelError(f"{path} {what}")
    # a safetensors header is longer than 2^24 bytes for no model, and begins with an object
    if len(start) >= 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 32:
        if not (path.parent/CONFIG).exists():
            raise ModelError(f"{path} needs its {CONFIG} beside it")
        return read_folder(path.parent, [path])
    if is_llama2c(map_file(path)):
        return read_llama2c(path)
    if path.suffix == ".onnx":
        raise ModelError(f"{path} is an ONNX model; take the original one")
    raise ModelError(f"{path} is no model that is read: it begins with {brief(start[:8])}. Safetensors with their "
                     f"{CONFIG}, GGUF and llama2.c are")


def open_checkpoint(path=None):
    """Open a checkpoint.

    Parameters
    ----------
    path : path or str, optional
        Folder, file, or a model's name; default: the model in this package.

    Returns
    -------
    Checkpoint

    Raises
    ------
    ModelError
        There is none, it is damaged, of another architecture, or of a format that is not read.
    """
    if path is None:
        path = "bytes"
    model = named(path) if isinstance(path, str) else None
    path  = Path(path)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:
        raise ModelError(f"{brief(str(path))} cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    if model is not None and not exists:
        path = model.path()
        if path is None:
            raise ModelError(f"{model.name} ({model.what}) is not installed; this does it: {model.install}")
        is_folder = path.is_dir()
    elif not exists:
        raise ModelError(f"{path} cannot be read: there is no such file, folder or model; the models with a name are "
                         f"{', '.join(model.name for model in MODELS)}")
    return _open_folder(path) if is_folder else _open_file(path)
