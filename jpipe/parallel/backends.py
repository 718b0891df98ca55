"""Workers elsewhere, by name: makes joblib's dask and ray backends ready, and tells when a cluster is gone."""

from __future__ import annotations

import contextlib
import re
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jpipe.errors import UsageError, did_you_mean

__all__ = ["Contact", "known_backend", "reached"]

OWN = frozenset({"loky", "multiprocessing", "preloaded", "sequential", "threading"})
"""Those that need nothing but joblib and jpipe."""
CLUSTERS = frozenset({"dask", "ray"})
ANSWER = 15.0
"""How long to wait for the workers of a cluster to say that they are fit, and for data to reach one, seconds."""
GONE_AFTER = 4.0
"""Seconds without a connection to its scheduler after which a cluster counts as gone."""

Chosen = tuple[str | None, Mapping[str, Any]]


def known_backend(name: str | None) -> bool:
    """Whether a backend is known without a look at what the user's code registers with joblib."""
    return name is None or name in OWN | CLUSTERS


@contextlib.contextmanager
def reached(name: str | None, options: Mapping[str, Any] | None, n_jobs: int | None) -> Iterator[Chosen]:
    """Within the block joblib uses the backend; what is left to say to ``joblib.Parallel`` of it is given.

    Parameters
    ----------
    name
        A backend of joblib, or None.
    options
        For dask ``scheduler`` (or joblib's ``scheduler_host``), an address: without one a cluster of this machine is
        started for the run; the rest is what the backend itself takes.
    n_jobs
        The size of a cluster that is started here.

    Raises
    ------
    UsageError
        For a name that joblib does not know, a package that is not installed, a scheduler that does not answer.
    """
    if name not in CLUSTERS:
        if not known_backend(name):
            _refuse_unknown(str(name))
        yield name, dict(options or {})
        return
    from joblib import parallel_config

    with contextlib.ExitStack() as stack:
        make = _dask if name == "dask" else _ray
        arguments = make(dict(options or {}), n_jobs, stack)
        try:
            stack.enter_context(parallel_config(name, n_jobs=-1 if n_jobs is None else n_jobs, **arguments))
        except (TypeError, ValueError) as error:
            raise UsageError(f"--backend {name}: {error}", hint="see docs/how-to/use-a-cluster.md") from None
        yield None, {}


def _refuse_unknown(name: str) -> None:
    from joblib import parallel  # not a name of the submodule: another thread may be importing joblib

    if name not in parallel.BACKENDS:
        known = sorted({*parallel.BACKENDS, *CLUSTERS})
        hint = did_you_mean(name, known, f"there are {', '.join(known)}")
        raise UsageError(f"there is no backend {name!r}", hint=hint)


def _dask(options: dict[str, Any], n_jobs: int | None, stack: contextlib.ExitStack) -> dict[str, Any]:
    try:
        import distributed
    except ImportError:
        raise UsageError("the backend dask needs the package distributed", hint="pip install distributed") from None
    address = options.pop("scheduler", None) or options.pop("scheduler_host", None)
    if address is None and "client" in options:
        return options
    if address is None:
        with contextlib.suppress(ValueError):  # the user's own client, if there is one
            return {"client": distributed.get_client(), **options}
    given = {"address": address} if address else {"n_workers": n_jobs, "threads_per_worker": 1}
    local = {} if address else {"dashboard_address": None}
    try:
        client = distributed.Client(  # type: ignore[no-untyped-call]
            **given, **local, set_as_default=False, timeout=10, direct_to_workers=True
        )
    except (OSError, ValueError) as error:
        message = f"no dask scheduler answers at {address}" if address else "no dask cluster could be started here"
        raise UsageError(message, hint=f"{type(error).__name__}: {error}".splitlines()[0]) from None
    stack.callback(_close, client)
    return {"client": client, **options}


def _close(client: Any) -> None:
    with contextlib.suppress(Exception):
        client.close(timeout=2)


def _ray(options: dict[str, Any], n_jobs: int | None, stack: contextlib.ExitStack) -> dict[str, Any]:
    try:
        from ray.util.joblib import register_ray
    except ImportError:
        raise UsageError("the backend ray needs the package ray", hint="pip install ray") from None
    register_ray()
    return options


class Contact:
    """Whether the scheduler of a backend can be reached; one that has none always can."""

    def __init__(self, backend: Any) -> None:
        self._client = getattr(backend, "client", None)
        self._lost_at: float | None = None
        self._excluded: set[str] = set()
        self._shared: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

    @property
    def is_cluster(self) -> bool:
        """Whether the workers are those of a scheduler."""
        return hasattr(self._client, "scheduler_info")

    def unfit(self, backend: Any, check: Callable[[], object]) -> dict[str, str]:
        """The workers, by address, that cannot even load and call `check`, and why; they are given nothing."""
        if self._client is None or not hasattr(self._client, "run"):
            return {}
        with contextlib.suppress(Exception):
            # As `Client.run` does it, which would wait for ever for a worker that hangs.
            client = self._client
            answers = client.sync(client._run, check, on_error="return", callback_timeout=ANSWER)
            errors = {address: answer for address, answer in answers.items() if isinstance(answer, BaseException)}
            for address in errors:
                self.exclude(backend, address)
            return {address: _why(error) for address, error in errors.items()}
        return {}

    def exclude(self, backend: Any, worker: str) -> bool:
        """Give no more to a worker, by its address; return whether there are others and it can be left out.

        Workers that come later are asked again only when one of those that are left is lost.
        """
        options = getattr(backend, "submit_kwargs", None)
        if self._client is None or not self.is_cluster or options is None:
            return False
        self._excluded.add(worker)
        left = self._left()
        options["workers"] = left or None
        return bool(left)

    def has_workers(self) -> bool:
        """Whether a cluster has workers that are not left out."""
        return bool(self._left())

    def _left(self) -> list[str]:
        with contextlib.suppress(Exception):
            return [address for address in self._client.ncores() if address not in self._excluded]  # type: ignore[union-attr]
        return []

    def shared(self, parts: Sequence[Any]) -> list[Any]:
        """Large parts of tasks, as what goes into the task: put on a worker once, from where the others get them.

        joblib's own way of doing that waits for ever where the worker is lost meanwhile, or cannot load the part. What
        cannot be put there goes along with the task, in a tuple, of which joblib does nothing of the kind.
        """
        return [self._put(part) or (part,) for part in parts]

    def forget_shared(self) -> None:
        """Put all parts anew: something was lost."""
        self._shared.clear()

    def _put(self, part: Any) -> Any:
        known = self._shared.get(part)
        if known is None and self._client is not None and self.is_cluster:
            with contextlib.suppress(Exception):
                workers = self._left() if self._excluded else None
                known = self._shared[part] = self._client.scatter(part, workers=workers, hash=False, timeout=ANSWER)
        return known

    def is_gone(self) -> bool:
        """Whether nothing was heard of the scheduler for a while."""
        status = getattr(self._client, "status", "running")
        if status == "running":
            self._lost_at = None
            return False
        now = time.monotonic()
        if self._lost_at is None:
            self._lost_at = now
        return bool(status == "closed") or now - self._lost_at > GONE_AFTER


def _why(error: BaseException) -> str:
    missing = re.search(r"No module named '(\w+)", str(error))
    if missing or isinstance(error, ImportError):
        return f"it has no {missing[1] if missing else 'jpipe'}: install there what the run has"
    return f"it cannot load jpipe: {type(error).__name__}: {error}".splitlines()[0]
