# SPDX-License-Identifier: BSD-2-Clause
"""A language model from a checkpoint: its layers on a device, its tokenizer, and the texts that it writes."""

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from os import PathLike
from typing import Any

from mixpe.devices import open_device
from mixpe.devices.device import Device
from mixpe.errors import ConfigError, DeviceMemoryError, MixpeError, ModelError, RangeError
from mixpe.formats.checkpoint import Checkpoint
from mixpe.formats.packaged import is_byte_model
from mixpe.lm import checkpoint
from mixpe.lm.decoder import DecoderArithmetic
from mixpe.lm.generation import DeviceGeneration, Generation
from mixpe.lm.linear import job_tensors
from mixpe.lm.logits import Logits
from mixpe.lm.offload import DeviceLoader
from mixpe.lm.ondevice import DeviceDecoder
from mixpe.lm.request import as_request
from mixpe.lm.sampling import Sampler
from mixpe.lm.session import Session
from mixpe.lm.text import TextGeneration, tokenizer_of
from mixpe.lm.weights import Weights
from mixpe.plan.kinds import KINDS
from mixpe.program.jobs import job_names
from mixpe.quant.matrix import QuantizedMatrix

DECODERS = ("auto", "device", "host")


class LlamaModel(Logits):
    """A Llama, Mistral, Qwen2 or Qwen3 from a checkpoint, and the texts that it writes.

    Parameters are those of `Logits`; `from_pretrained` reads a checkpoint and puts its layers on a device.

    Attributes
    ----------
    activations : str or None
        Format of the layers' activations on a device; None if they are float32.
    """

    activations: str | None = None

    @classmethod
    def from_pretrained(cls, path: str | PathLike[str] | Checkpoint | None = None,
            device: str | Device | None = None, *, group_size: int | None = 128, bits: int = 4,
            activations: str | None = None, quantiser: Callable[..., QuantizedMatrix] | None = None,
            head_bits: int | None = None, head_group_size: int = 32, stream: bool = False,
            arithmetic: str = "float32", decoder: str = "auto", context: int | None = None) -> "LlamaModel":
        """Read a checkpoint and load its linear layers into a device.

        Weights that are stored quantised go there with their own numbers where a device has their form; what is
        changed is a warning and in `notes`.

        Parameters
        ----------
        path : path, str or Checkpoint, optional
            Folder, file, or a model's name, of any format that `mixpe.formats.open` reads. Default: the packaged model.
        device : device from `mixpe.open`, or its URL, optional
            Default: none, float32 on the host. A device opened here from a URL is closed by `close`.
        group_size, bits : int
            For weights that are stored as floats.
        activations : str, optional
            One of `plan.kinds`: "a8", "a8g", "a16".
            Default: "a16", which costs a real model nothing; "a8" for the packaged one without a decoder.
        quantiser : callable, optional
            (name, weight (n, k) float32) → Int4Matrix or Int8Matrix, for weights that are stored as floats. Default:
            `mixpe.quantize`, round to nearest.
        head_bits, head_group_size : int, optional
            Round the output head to so many bits, 4 or 8, in such groups, whatever it is stored as. Default: it is
            taken as any other layer.
        stream : bool
            Layers that do not fit the device's memory are sent each time that they are needed, with the same results;
            a warning says what a token then costs. Otherwise such a model is refused.
        arithmetic : "float32" or "decoder"
            See `LlamaModel`; with a decoder on the device it is always "decoder".
        decoder : "auto", "device" or "host"
            Where all between the linear layers is computed: on the device, if it has a decoder that can run the model
            ("auto"; why not is in `notes`), there or nowhere, or here.
        context : int, optional
            Positions of a session on the device; default: as many as model, device and memory have.

        Raises
        ------
        ConfigError
            `decoder` is "device", and the device has none or one that cannot run this model.
        ModelError
            The checkpoint is damaged or of another architecture.
        ModelMemoryError
            The device's memory is too small; known before anything is sent.
        RangeError
            `activations` or `arithmetic` is no such name, or `head_bits` is not 4 or 8.
        MixpeError
            What `mixpe.open`, `mixpe.quantize` and the device raise.
        """
        if activations is not None and activations not in KINDS:
            raise RangeError(f"activations must be one of {tuple(KINDS)}, not {activations!r}")
        if decoder not in DECODERS:
            raise RangeError(f"decoder must be one of {DECODERS}, not {decoder!r}")
        if decoder == "device" and device is None:
            raise ConfigError("a decoder on a device needs a device")
        if head_bits not in (None, 4, 8):
            raise RangeError(f"head_bits must be 4 or 8, not {head_bits!r}")
        opened = checkpoint.opened(path)
        owned  = isinstance(device, str)
        used   = open_device(device) if isinstance(device, str) else device
        wanted = decoder != "host" and used is not None and (decoder == "device" or used.config.decoder)
        if activations is None:
            activations = "a8" if is_byte_model(opened.path) and not wanted else "a16"
        config, tensors = opened.architecture, Weights(opened.tensors)
        if used is None:
            model = cls(config, tensors, arithmetic=arithmetic)
        else:
            loader = DeviceLoader(used, group_size=group_size, bits=bits, activations=activations,
                                  quantiser=quantiser, checkpoint=opened, owned=owned,
                                  head=head_bits and (head_bits, head_group_size))
            try:
                loader.settle({name: [tensors.stored(source) for source in job_tensors(tensors, name)]
                               for name in job_names(config)}, stream)
                model = cls(config, tensors, loader, loader.device, arithmetic)
                loader.finish()
                if wanted:
                    model._checkpoint = opened
                    model._put_decoder_on_device(activations, context, decoder == "auto")
            except BaseException:
                loader.close()
                raise
            model._loader = loader
            for note in model.notes:
                warnings.warn(f"{opened.path}: {note}", stacklevel=2)
        model._checkpoint = opened
        model.activations = None if used is None else activations
        return model

    def __repr__(self):
        config, where = self.config, "the host, float32"
        if self.device is not None:
            where = getattr(self.device, "url", type(self.device).__name__)
        return (f"LlamaModel({config.family}, {config.num_hidden_layers} layers, hidden {config.hidden_size}, "
                f"vocabulary {config.vocab_size}, on {where})")

    @property
    def notes(self):
        """What of the weights is not the file's own on the device, or not there: tuple of str, one line a kind."""
        return () if self._loader is None else (*self._loader.notes(), *self._decoder_notes)

    _loader: DeviceLoader | None = None
    _checkpoint: Checkpoint | None = None
    _decoder: DeviceDecoder | None = None
    _decoder_notes = ()

    def _put_decoder_on_device(self, activations, context, optional):
        """Compile the model for its device's decoder, and keep it there."""
        try:
            if not self.device.config.decoder:
                raise ConfigError(f"the device {self.device.url} has no decoder")
            jobs = {name: job.linear for name, job in self.jobs.items()}
            self._decoder = DeviceDecoder(self.device, self.config, self._weights, jobs, activations, context,
                                          self._ends())
        except (ConfigError, DeviceMemoryError) as error:
            if not optional:
                raise
            self._decoder_notes = (f"the decoder runs on the host: {error}",)
            return
        self._decoder_notes = self._decoder.notes
        self._set_arithmetic("decoder")

    def _ends(self):
        try:
            return self.tokenizer.eos_ids
        except MixpeError:  # tokens can be made all the same
            return ()

    @property
    def decodes_on_device(self):
        """Texts are made by a decoder on the device, and not in another arithmetic than its."""
        return self._decoder is not None and self._arithmetic is DecoderArithmetic

    @property
    def computing_s(self):
        """Seconds so far in the linear layers, or in runs of the device's decoder."""
        runs = 0.0 if self._decoder is None else self._decoder.program.seconds
        return runs + sum(job.seconds for job in self.jobs.values())

    @property
    def context(self):
        """Positions of a text: those of a session on the device, or what the model was trained for."""
        return self._decoder.context if self.decodes_on_device else self.config.max_position_embeddings

    @cached_property
    def tokenizer(self):
        """The checkpoint's tokenizer, read when it is first asked for.

        Raises
        ------
        ModelError, ToolError
            See `tokenizer_of`.
        """
        if self._checkpoint is None:
            raise ModelError("a model made of tensors has no tokenizer; from_pretrained reads it with them")
        return tokenizer_of(self._checkpoint)

    def close(self) -> None:
        """Give the device back, if `from_pretrained` opened it."""
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            decoder.free()
        if self._loader is not None:
            self._loader.close()

    def __enter__(self) -> "LlamaModel":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def sessions_together(self) -> int:
        """Sessions that one pass of the device's decoder may have."""
        return self._decoder.program.batches.most if self._decoder is not None and self.decodes_on_device else 1

    def prepare_sessions(self, count: int) -> int:
        """Have memory for passes of some sessions (`mixpe.lm.together`), before sessions take it.

        Returns
        -------
        int
            So many of them may be in one pass.
        """
        if self._decoder is None or not self.decodes_on_device:
            return 1
        return self._decoder.program.batches.prepare(count)

    def session(self) -> Session:
        """A text whose keys and values stay in the device's memory.

        Returns
        -------
        Session
            Close it, or use it in a ``with`` statement.

        Raises
        ------
        ModelError
            There is no decoder on a device.
        DeviceMemoryError
            There is no room for one more.
        """
        if not self.decodes_on_device:
            raise ModelError("a session needs a decoder on a device: from_pretrained(…, device, decoder=\"device\")")
        return Session(self._decoder)

    def new_past(self):
        """What a text keeps from one generation to the next: a session on the device, or a cache."""
        return self.session() if self.decodes_on_device else self.new_cache()

    def generation(self, prompt, n, sampler, **options):
        """A `Generation`, on the device where its decoder is there."""
        return (DeviceGeneration if self.decodes_on_device else Generation)(self, prompt, n, sampler, **options)

    def generate(self, prompt: bytes | str | Sequence[int], n: int, *, temperature: float = 0.0, top_p: float = 1.0,
            seed: int = 0) -> Generation:
        """Continue a text, byte by byte.

        Parameters
        ----------
        prompt : bytes, str (UTF-8) or (t,) integers
        n : int
            Bytes to make, from 1.
        temperature, top_p, seed
            See `Sampler`; the default takes the likeliest byte.

        Returns
        -------
        Generation
            Iterator of single bytes, each as soon as it is made; `statistics()` afterwards.

        Raises
        ------
        ModelError
            Empty prompt, prompt and text longer than the trained context, or a model that is not byte-level.
        """
        if self.config.vocab_size != 256:
            raise ModelError(f"generate needs a byte-level model (vocab_size 256), not {self.config.vocab_size}; "
                             "use generate_tokens with this model's own tokenizer")
        tokens, n = self._request(prompt, n)
        return self.generation(tokens, n, Sampler(temperature, top_p, seed), as_bytes=True)

    def write(self, prompt: str, n: int, *, temperature: float = 0.0, top_p: float = 1.0,
            seed: int = 0) -> TextGeneration:
        """Continue a text, with the model's own tokenizer.

        Parameters
        ----------
        prompt : str
        n : int
            Most tokens to make, from 1; a token that ends the text ends it before.
        temperature, top_p, seed
            See `Sampler`; the default takes the likeliest token.

        Returns
        -------
        TextGeneration
            Iterator of str without half characters; `statistics()` afterwards.

        Raises
        ------
        ModelError
            Empty prompt, prompt and text longer than the trained context, no tokenizer.
        ToolError
            A library of the extra `text` is needed and not installed.
        """
        return self._text(self.tokenizer.encode(prompt), n, (temperature, top_p, seed), continues=True)

    def answer(self, messages: list[dict[str, str]], n: int, *, temperature: float = 0.0, top_p: float = 1.0,
            seed: int = 0, **variables: Any) -> TextGeneration:
        """Answer a conversation by the model's chat template.

        Parameters
        ----------
        messages : list of dict
            Each with "role" and "content".
        variables
            For the template; see `ChatTemplate.render`. All else is as for `write`.
        """
        if self.tokenizer.chat is None:
            raise ModelError("the model has no chat template; continue a plain text instead")
        tokens = self.tokenizer.chat.encode(self.tokenizer, messages, **variables)
        return self._text(tokens, n, (temperature, top_p, seed), continues=False)

    def _text(self, tokens, n, sampling, continues):
        tokenizer = self.tokenizer
        sampler = Sampler(*sampling, allowed=tokenizer.sampled(self.config.vocab_size))
        generation = self.generation(*self._request(tokens, n), sampler, ends=tokenizer.eos_ids)
        return TextGeneration(generation, tokenizer.stream(continues=continues))

    def generate_tokens(self, prompt: Sequence[int], n: int, *, temperature: float = 0.0, top_p: float = 1.0,
            seed: int = 0) -> Generation:
        """As `generate`, for any vocabulary: integers in, an iterator of integers out."""
        tokens, n = self._request(prompt, n)
        return self.generation(tokens, n, Sampler(temperature, top_p, seed))

    def _request(self, prompt, n):
        return as_request(prompt, n, self.config, self.context)

    def _embedded(self, tokens):
        return super()._embedded(tokens) if self._decoder is None else self._decoder.embedded(tokens)
