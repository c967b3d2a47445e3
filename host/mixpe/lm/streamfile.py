# SPDX-License-Identifier: BSD-2-Clause
"""A file of packed weight streams: what a model's jobs became on a configuration, so that it need not be made again.

    [ sections, each at a multiple of 64 bytes ] [ index: JSON ] [ its length: u64 ] [ its CRC-32: u32 ] [ "mxps" ]

A section is a layer's stream or the order of its columns (int32). The index has each section's place, size and CRC-32.
What is damaged counts as absent. A file is written under another name and renamed when it is complete.
"""

import json
import os
import struct
import tempfile
import zlib
from contextlib import suppress
from dataclasses import asdict

import numpy as np

from mixpe.devices.streams import LayerStream
from mixpe.errors import MixpeError
from mixpe.formats.mapping import map_file
from mixpe.plan.layer import LayerShape
from mixpe_gateware.contract.scaling import Form

ALIGN_BYTES = 64
FOOTER      = struct.Struct("<QI4s")
MAGIC       = b"mxps"


class StreamFile:
    """Reads such a file.

    Parameters
    ----------
    path : path
        Of any content.
    """

    def __init__(self, path):
        self._jobs = {}
        with suppress(MixpeError, ValueError, TypeError, KeyError, RecursionError, struct.error):
            self._data = map_file(path)
            end = len(self._data) - FOOTER.size
            length, crc, magic = FOOTER.unpack(self._data[max(0, end):].tobytes())
            if magic == MAGIC and length <= end:
                index = self._data[end - length:end].tobytes()
                if zlib.crc32(index) == crc:
                    self._jobs = json.loads(index)["jobs"]

    @property
    def is_empty(self):
        """Whether it has no job, as what is damaged or no such file."""
        return not self._jobs

    def job(self, name):
        """A job's layers and what was changed in its tensors.

        Returns
        -------
        (list of (LayerStream, (k,) int32 or None), list of [layout, change, decibels]), or None
            None where it is absent or damaged.
        """
        with suppress(ValueError, TypeError, KeyError):
            job    = self._jobs[name]
            layers = []
            for entry in job["layers"]:
                shape = LayerShape(**{**entry["shape"], "form": Form(entry["shape"]["form"])})
                order = None if entry["order"] is None else self._section(entry["order"]).view("<i4")
                layers.append((LayerStream(shape, self._section(entry["stream"])), order))
            return layers, job["changes"]
        return None

    def _section(self, entry):
        start, size, crc = entry
        data = self._data[start:start + size]
        if len(data) != size or zlib.crc32(data) != crc:
            raise ValueError("damaged")
        return data


class StreamWriter:
    """Writes such a file; whatever goes wrong, there is none in the end.

    Parameters
    ----------
    path : Path
    limit : int
        Most bytes; a longer one is given up.
    """

    def __init__(self, path, limit):
        self._path, self._limit = path, limit
        self._jobs, self._layers = {}, []
        self._file = None
        self._size = 0
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False)

    def section(self):
        """Begin a section; returns its entry, [start, size, crc], which `write` completes."""
        self._put(bytes(-self._size % ALIGN_BYTES))
        return [self._size, 0, 0]

    def write(self, entry, piece):
        """Add bytes, (size,) uint8, to the section begun last."""
        self._put(piece)
        entry[1:] = entry[1] + piece.nbytes, zlib.crc32(piece, entry[2])

    def end_layer(self, shape, stream, order):
        """A layer is complete: its LayerShape, the entry of its stream, and the order of its columns or None."""
        entry = None
        if order is not None:
            entry = self.section()
            self.write(entry, np.ascontiguousarray(order, "<i4"))
        self._layers.append({"shape": asdict(shape), "stream": stream, "order": entry})

    def end_job(self, name, changes):
        """A job is complete."""
        self._jobs[name], self._layers = {"layers": self._layers, "changes": changes}, []

    def drop_job(self):
        """The layers since the last job are not to be kept."""
        self._layers = []

    def finish(self):
        """Give the file its name."""
        index = json.dumps({"jobs": self._jobs}).encode()
        self._put(index)
        self._put(FOOTER.pack(len(index), zlib.crc32(index), MAGIC))
        file, self._file = self._file, None
        if file is None or not self._jobs:
            return self._remove(file)
        try:
            file.close()
            os.replace(file.name, self._path)
        except OSError:
            self._remove(file)

    def abandon(self):
        """Leave nothing."""
        file, self._file = self._file, None
        self._remove(file)

    def _put(self, data):
        if self._file is None:
            return
        self._size += memoryview(data).nbytes
        try:
            if self._size > self._limit:
                raise OSError("too long")
            self._file.write(data)
        except OSError:  # no room is no reason to stop
            self.abandon()

    @staticmethod
    def _remove(file):
        if file is not None:
            with suppress(OSError):
                file.close()
            with suppress(OSError):
                os.unlink(file.name)
