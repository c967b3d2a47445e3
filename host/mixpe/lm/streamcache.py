# SPDX-License-Identifier: BSD-2-Clause
"""Which file has the weight streams of a checkpoint on a configuration, and how many such files there may be.

They lie in mixpe/streams of the user's cache folder, or in $MIXPE_CACHE/streams. A name is a digest of everything that
the streams follow from: the checkpoint's files, the contract and the configuration, how floats are quantised, and the
sources that make streams. Together they take at most `LIMIT_BYTES`, or $MIXPE_STREAMS_MB megabytes (0: none are kept);
those not used for longest go first.
"""

import hashlib
import json
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

import mixpe_gateware.contract
from mixpe import formats, quant
from mixpe.formats.mapping import map_file
from mixpe.lm.streamfile import StreamFile, StreamWriter
from mixpe.tools.cachefolder import cache_folder
from mixpe_gateware.contract.digest import digest

LIMIT_BYTES  = 8 << 30   # of all files
LEAST_BYTES  = 16 << 20  # of a checkpoint; a smaller one is packed as fast
SAMPLES      = 64        # of a file, beside its beginning
SAMPLE_BYTES = 4096
HEAD_BYTES   = 1 << 20
PARTS        = (".safetensors", ".json", ".gguf", ".bin")


def limit():
    """Most bytes of all files together."""
    text = os.environ.get("MIXPE_STREAMS_MB", "")
    return int(text)*10**6 if text.isdecimal() else LIMIT_BYTES


def identity(path):
    """Size, time and samples of a checkpoint's files: list of [name, size, time in ns, SHA-256]."""
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.suffix in PARTS)
    found = []
    for file in files:
        status = file.stat()
        data   = map_file(file)
        parts  = [data[:HEAD_BYTES], *(data[len(data)*i//SAMPLES:][:SAMPLE_BYTES] for i in range(SAMPLES))]
        sha    = hashlib.sha256()
        for part in parts:
            sha.update(part)
        found.append([file.name, status.st_size, status.st_mtime_ns, sha.hexdigest()])
    return found


@cache
def sources():
    """Digest of the sources that make streams of a checkpoint."""
    sha = hashlib.sha256()
    for package in (formats, quant, mixpe_gateware.contract):
        for file in sorted(Path(package.__file__).parent.glob("*.py")):
            sha.update(file.read_bytes())
    return sha.hexdigest()


def key(checkpoint, config, settings):
    """Name of the file.

    Parameters
    ----------
    checkpoint : Checkpoint
    config : Config
        Of the device.
    settings : dict
        JSON-able: what else the streams follow from.
    """
    content = {"files": identity(checkpoint.path), "contract": digest(config.parts), "config": config.to_dict(),
               "settings": settings, "sources": sources()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def make_room(path, most):
    """Delete the files not used for longest, but not `path`, until all take at most so many bytes."""
    with suppress(OSError):
        files = sorted((file.stat().st_mtime_ns, file) for file in path.parent.glob("*.streams"))
        total = sum(file.stat().st_size for _, file in files)
        for _, file in files:
            if total <= most:
                break
            if file != path:
                total -= file.stat().st_size
                file.unlink()


class StreamCache:
    """The streams of one checkpoint: read where they are kept, else written.

    Parameters
    ----------
    checkpoint, config, settings
        See `key`.

    Attributes
    ----------
    writer : StreamWriter or None
        What is made is to be given to it; None: nothing is kept.
    """

    def __init__(self, checkpoint, config, settings):
        self._file, self.writer = None, None
        if not limit() or checkpoint.nbytes < LEAST_BYTES:
            return
        try:
            self._path = cache_folder("streams")/f"{key(checkpoint, config, settings)}.streams"
        except OSError:
            return
        self._file = StreamFile(self._path)
        if self._file.is_empty:
            self.writer = StreamWriter(self._path, limit())
        else:
            with suppress(OSError):
                os.utime(self._path)

    def job(self, name):
        """See `StreamFile.job`."""
        return None if self._file is None else self._file.job(name)

    def finish(self):
        """All jobs are loaded."""
        if self.writer is not None:
            self.writer.finish()
            self.writer = None
            make_room(self._path, limit())

    def abandon(self):
        """Not all will be."""
        if self.writer is not None:
            self.writer.abandon()
            self.writer = None
