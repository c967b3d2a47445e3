# SPDX-License-Identifier: BSD-2-Clause
"""Evaluates points on local processes or, unchanged, on a Dask cluster. Cached: a stopped run goes on."""

from concurrent.futures import ProcessPoolExecutor, as_completed

from mixpe.gateware.explore.points import LIMIT_S, evaluate
from mixpe.gateware.spec.errors import ConfigError, LinkError

CONNECT_LIMIT_S = 30


def run(points, workers=1, scheduler=None, cache_folder=None, limit_s=LIMIT_S, on_row=None, known=None):
    """Evaluate points.

    Parameters
    ----------
    points : list of Point
    workers : int
        Local processes.
    scheduler : str, optional
        Address of a Dask scheduler, ``tcp://host:port``: its workers do the work, with their own caches.
    cache_folder : str, optional
    limit_s : float
        For each run of a tool.
    on_row : callable, optional
        Called with each row as it comes.
    known : dict of str to dict, optional
        Earlier rows by their content, see `evaluate`.

    Returns
    -------
    list of dict
        In the order of `points`.

    Raises
    ------
    ConfigError
        `workers` below 1, or a scheduler without Dask installed.
    LinkError
        The scheduler does not answer.
    """
    if workers < 1:
        raise ConfigError(f"workers must be 1 or more, not {workers!r}")
    rows = [None]*len(points)

    def take(index, row):
        rows[index] = row
        if on_row is not None:
            on_row(row)

    if scheduler is not None:
        client, completed = _connect(scheduler)
        with client:
            futures = {client.submit(evaluate, point, cache_folder, limit_s, known, pure=False): index
                       for index, point in enumerate(points)}
            for future in completed(list(futures)):
                take(futures[future], _result(future, points[futures[future]]))
    else:
        with ProcessPoolExecutor(max_workers=workers) as pool:
            futures = {pool.submit(evaluate, point, cache_folder, limit_s, known): index
                       for index, point in enumerate(points)}
            try:
                for future in as_completed(futures):
                    take(futures[future], _result(future, points[futures[future]]))
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return rows


def _result(future, point):
    """The row of a finished future; a worker that died costs its point only."""
    try:
        return future.result()
    except Exception as error:  # whatever killed the worker: the exploration goes on
        return {"design": point.design, "rows": point.rows, "device": point.device, "status": type(error).__name__,
                "error": str(error)}


def _connect(scheduler):
    try:
        from distributed import Client
        from distributed import as_completed as completed
    except ModuleNotFoundError:
        raise ConfigError("--scheduler needs Dask: pip install distributed") from None
    try:
        return Client(scheduler, timeout=CONNECT_LIMIT_S), completed
    except (OSError, TimeoutError, ValueError) as error:
        raise LinkError(f"no Dask scheduler at {scheduler}: {error}") from error
