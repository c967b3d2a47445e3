# SPDX-License-Identifier: BSD-2-Clause
"""Evaluates points on local processes or, unchanged, on a Dask cluster. Cached: a stopped run goes on."""

from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from functools import partial

from mixpe.explore.points import LIMIT_S, columns_of, evaluate
from mixpe_gateware.contract.errors import ConfigError, LinkError

CONNECT_LIMIT_S = 30
DIED = "the worker process died on it, twice: out of memory? try fewer --workers"


def run(points, workers=1, scheduler=None, cache_folder=None, limit_s=LIMIT_S, on_row=None, known=None,
        task=None):
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
    task : callable, optional
        Point → row, sent to the workers; `evaluate` with what is said above if None.

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
    task = task or partial(evaluate, cache_folder=cache_folder, limit_s=limit_s, known=known)
    rows = [None]*len(points)

    def take(index, row):
        rows[index] = row
        if on_row is not None:
            on_row(row)

    if scheduler is not None:
        client, completed = _connect(scheduler)
        with client:
            futures = {client.submit(task, point, pure=False): index
                       for index, point in enumerate(points)}
            for future in completed(list(futures)):
                take(futures[future], _result(future, points[futures[future]]))
    else:
        def job(pool, index):
            return pool.submit(task, points[index])

        # A worker that dies takes the pool with it: what was not done runs again, each point in a pool of its own.
        for index in _on_pool(job, range(len(points)), workers, points, take):
            if _on_pool(job, [index], 1, points, take):
                take(index, columns_of(points[index]) | {"status": "WorkerDied", "error": DIED})
    return rows


def _on_pool(job, indices, workers, points, take):
    """Evaluate points on local processes; returns those that were lost with the pool."""
    lost = []
    with ProcessPoolExecutor(max_workers=workers) as pool:
        try:
            futures = {job(pool, index): index for index in indices}
            for future in as_completed(futures):
                index = futures[future]
                if isinstance(future.exception(), BrokenExecutor):
                    lost.append(index)
                else:
                    take(index, _result(future, points[index]))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return sorted(lost)


def _result(future, point):
    """The row of a finished future: with the error's name where it has no result."""
    try:
        return future.result()
    except Exception as error:  # whatever it was: the exploration goes on
        return columns_of(point) | {"status": type(error).__name__, "error": str(error)}


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
