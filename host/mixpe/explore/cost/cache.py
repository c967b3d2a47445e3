# SPDX-License-Identifier: BSD-2-Clause
"""Results by content: the key is a digest of everything that the result depends on."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

from mixpe.tools.cachefolder import cache_folder

ENVIRONMENT = "MIXPE_COST_CACHE"


def default_folder():
    """Where results are kept: $MIXPE_COST_CACHE, else "cost" among the kept files."""
    return Path(os.environ[ENVIRONMENT]) if os.environ.get(ENVIRONMENT) else cache_folder("cost")


class Cache:
    """JSON results in a folder, one file a key; safe for several writers."""

    def __init__(self, folder=None):
        self.folder = Path(folder) if folder else default_folder()

    @staticmethod
    def key(**parts):
        """Digest of JSON-able parts."""
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _path(self, key):
        return self.folder/key[:2]/f"{key}.json"

    def get(self, key):
        """The result, or None. A file that is no JSON counts as none."""
        try:
            return json.loads(self._path(key).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def put(self, key, result):
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, suffix=".tmp") as file:
            json.dump(result, file, sort_keys=True)
        os.replace(file.name, path)
