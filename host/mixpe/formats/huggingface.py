# SPDX-License-Identifier: BSD-2-Clause
"""A Hugging Face folder: config.json, safetensors in one file or many, and what stands beside them.

Floating weights are taken as they are; quantised ones by what the configuration calls their method: GPTQ, AWQ,
compressed-tensors, or what `mixpe quantize` wrote. Which layers are quantised is read from the tensors themselves.
Pickled weights are never opened.
"""

from pathlib import Path

from mixpe.errors import ModelError
from mixpe.formats import awq, compressed_tensors, gptq, matrixfile, safetensors
from mixpe.formats.architecture import LIMITS, whole
from mixpe.formats.brief import brief, located
from mixpe.formats.checkpoint import Checkpoint, GenerationDefaults, TokenizerSource, checked
from mixpe.formats.hf_config import architecture_of
from mixpe.formats.mapping import read_json
from mixpe.formats.tensor import FloatTensor

CONFIG    = "config.json"
TOKENIZER = ("tokenizer.json", "tokenizer.model", "tokenizer.bin", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
    "tokenizer.gguf")
SCHEMES   = {
    "gptq":               (gptq.GptqScheme, gptq.MARK, gptq.PARTS),
    "awq":                (awq.AwqScheme, awq.MARK, awq.PARTS),
    "compressed-tensors": (compressed_tensors.PackedScheme, compressed_tensors.MARK, compressed_tensors.PARTS),
}
_OLD_CONFIGS = (("quantize_config.json", "gptq"), ("quant_config.json", "awq"))  # of files without a quant_method
_FLOATS      = ("F64", "F32", "F16", "BF16")


def weight_files(folder):
    """The safetensors files of a folder: one, or those that an index names.

    Raises
    ------
    ModelError
        There is none, it is not clear which, or an index names something that is no file of the folder.
    """
    if (folder/"model.safetensors").exists():
        return [folder/"model.safetensors"]
    indices = sorted(folder.glob("*.safetensors.index.json"))
    files   = sorted(path for path in folder.glob("*.safetensors") if not path.name.startswith("adapter_"))
    if len(indices) > 1 or not indices and len(files) > 1:
        raise ModelError(f"{folder} has more than one model: "
                         f"{', '.join(path.name for path in (indices or files)[:4])}; name the file")
    if indices:
        return _indexed(indices[0])
    if not files:
        raise ModelError(f"{folder} has no safetensors file")
    return files


def _indexed(index):
    where = read_json(index).get("weight_map")
    if not isinstance(where, dict) or not where:
        raise ModelError(f"{index} must have a weight_map, an object of tensor → file")
    names = set()
    for name in where.values():
        # an index must not reach outside its folder
        if not isinstance(name, str) or Path(name).name != name or name == ".." or "\\" in name or "\0" in name:
            raise ModelError(f"{index} names {brief(name)}, which is not a plain file name")
        names.add(name)
    return [index.parent/name for name in sorted(names)]


def _stored(files):
    """Tensors of several files as they lie: dict of name → (dtype name, array), and the metadata of all."""
    stored, metadata = {}, {}
    for file in files:
        for name, entry in safetensors.mapped(file).items():
            if name in stored:
                raise ModelError(f"{file} has the tensor {brief(name)}, which another file of the model has too")
            stored[name] = entry
        metadata |= safetensors.read_header(file)[1]
    return stored, metadata


def _quantisation(folder, config):
    """(method, its configuration) or (None, None)."""
    found = config.get("quantization_config")
    if found is not None:
        if not isinstance(found, dict):
            raise ModelError(f"has quantization_config = {brief(found)}; it must be an object")
        method = found.get("quant_method")
        if method is None and "w_bit" in found:
            method = "awq"
        if method is None and ("load_in_4bit" in found or "load_in_8bit" in found):
            method = "bitsandbytes"
        if not isinstance(method, str | None):
            raise ModelError(f"has quant_method = {brief(method)}; it must be a text")
        return method or "gptq", found
    for name, method in _OLD_CONFIGS:
        if (folder/name).exists():
            return method, read_json(folder/name)
    return None, None


def _modules(stored, mark, parts):
    """Take the parts of quantised modules out of `stored`: dict of module → dict of part → (dtype name, array)."""
    modules = {}
    for name in [name for name in stored if name.endswith(f".{mark}")]:
        module = name[:-len(mark) - 1]
        modules[module] = {part: stored.pop(f"{module}.{part}") for part in parts if f"{module}.{part}" in stored}
    return modules


def _is_left_out(name, entry, modules):
    """Whether a tensor means nothing: rotary tables of old files, and biases of zeros that quantised layers get."""
    module, _, kind = name.rpartition(".")
    return name.endswith("rotary_emb.inv_freq") or kind == "bias" and module in modules and not entry[1].any()


def _tensors(folder, config, files):
    """Every tensor of the files as a `Tensor`, what the layers are stored as, and notes."""
    stored, metadata = _stored(files)
    method, options  = _quantisation(folder, config)
    tensors, layout, notes, modules = {}, "Hugging Face", [], {}
    if matrixfile.KEY in metadata:
        layout = "mixpe"
        for name, entry in matrixfile.entries_of(metadata).items():
            parts = {part: stored.pop(f"{name}.{part}") for part in matrixfile.PARTS if f"{name}.{part}" in stored}
            tensors[name] = matrixfile.MatrixTensor(name, parts, entry)
    elif method is not None:
        if method not in SCHEMES:
            raise ModelError(f"is quantised with {brief(method)}; {', '.join(SCHEMES)} are read. Take the original "
                             "model, or one quantised with one of these")
        scheme, mark, part_names = SCHEMES[method]
        modules = _modules(stored, mark, part_names)
        how     = scheme(options, modules)
        layout  = how.layout
        notes  += how.notes
        for module, parts in modules.items():
            tensors[f"{module}.weight"] = how.tensor(module, parts)
    for name, entry in stored.items():
        dtype, array = entry
        if name in tensors:
            raise ModelError(f"has the tensor {brief(name)} twice: quantised and not")
        if _is_left_out(name, entry, modules):
            continue
        if dtype not in _FLOATS:
            raise ModelError(f"has the tensor {brief(name)} as {dtype}; it must be floating, or be quantised in a way "
                             "that config.json names")
        if array.ndim not in (1, 2):
            raise ModelError(f"has the tensor {brief(name)} with {array.ndim} axes; a model has 1 or 2")
        tensors[name] = FloatTensor(name, dtype, array)
    return tensors, layout, notes


def _ids(value, key):
    """Token ids of a configuration: null, a number, or a list; −1 stands for none."""
    values = value if isinstance(value, list) else [value]
    if len(values) > 4096:
        raise ModelError(f"has {len(values)} ids as {key}; that are too many")
    return [whole(one, key, LIMITS["vocab_size"], -1) for one in values if one is not None and one != -1]


def _number(config, key, kind):
    value = config.get(key)
    if value is not None and (type(value) is bool) != (kind is bool) or not isinstance(value, (kind, int, type(None))):
        raise ModelError(f"has {key} = {brief(value)} in generation_config.json; it must be a {kind.__name__}")
    return value


def generation_of(folder, config, vocab_size):
    """Generation defaults from config.json and, where it exists, generation_config.json; and notes.

    Raises
    ------
    ModelError
    """
    path   = folder/"generation_config.json"
    chosen = read_json(path) if path.exists() else {}
    bos    = _ids(chosen.get("bos_token_id"), "bos_token_id") or _ids(config.get("bos_token_id"), "bos_token_id")
    eos    = dict.fromkeys(_ids(config.get("eos_token_id"), "eos_token_id")
        + _ids(chosen.get("eos_token_id"), "eos_token_id"))
    outside = [one for one in [*bos[:1], *eos] if one >= vocab_size]
    notes   = [f"its configuration names the token {outside[0]}, which its {vocab_size} do not hold: it is left out"
               ] if outside else []
    bos, eos = ([one for one in ids if one < vocab_size] for ids in (bos, eos))
    return GenerationDefaults(
        bos_token_id  = bos[0] if bos else None,
        eos_token_ids = tuple(eos),
        temperature   = _number(chosen, "temperature", float),
        top_p         = _number(chosen, "top_p", float),
        top_k         = _number(chosen, "top_k", int),
        do_sample     = _number(chosen, "do_sample", bool),
    ), notes


def read_folder(folder, files=None):
    """Read a Hugging Face folder.

    Parameters
    ----------
    folder : path
    files : list of path, optional
        Its weights; default: found by their names.

    Returns
    -------
    Checkpoint

    Raises
    ------
    ModelError
        A missing or damaged file, another architecture, a way of quantising that is not read.
    """
    folder = Path(folder)
    config = read_json(folder/CONFIG)
    files  = weight_files(folder) if files is None else files
    try:
        tensors, layout, notes = _tensors(folder, config, files)
        architecture = architecture_of(config, "lm_head.weight" in tensors)
        generation, more = generation_of(folder, config, architecture.vocab_size)
    except ModelError as error:
        raise ModelError(located(folder, error)) from None
    sources = {name: folder/name for name in TOKENIZER if (folder/name).is_file()}
    return Checkpoint(folder, layout, architecture, checked(folder, architecture, tensors), TokenizerSource(sources),
        generation, (*notes, *more))
