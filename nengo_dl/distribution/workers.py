"""The processes that work together, and the one operation between them: a sum."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from nengo.exceptions import SimulationError, ValidationError
from nengo.utils.numpy import is_number

from nengo_dl.distribution.cluster import Cluster, check_port
from nengo_dl.support.gpus import let_memory_grow
from nengo_dl.support.lazy_imports import tf

__all__ = ["Workers", "is_first_process"]


class _Connection:
    """How this process is connected; there is one connection, as in TensorFlow.

    Attributes
    ----------
    cluster : Cluster or None
        Who is connected.
    strategy : tf.distribute.Strategy or None
        What TensorFlow calls it.
    """

    cluster: Cluster | None = None
    strategy: Any = None


_CONNECTION = _Connection()


def is_first_process() -> bool:
    """Whether this process works alone, or is the first of its workers.

    Files, progress bars and messages are the first one's.
    """
    return _CONNECTION.cluster is None or _CONNECTION.cluster.rank == 0


class Workers:
    """The processes that train or evaluate a network together, each with some items.

    Make it before anything else that uses TensorFlow, in each of the processes, and
    pass it to ``sim.train``, ``sim.fit``, ``sim.evaluate``, ``sim.predict`` or
    ``sim.loss``. All processes run the same script:

    .. code-block:: python

        workers = nengo_dl.Workers()
        with nengo_dl.Simulator(net, minibatch_size=32) as sim:
            sim.train({node: x}, {probe: y}, "adam", workers=workers)
            if workers.is_first:
                sim.save_params("trained")

    ``python -m nengo_dl.launch --workers 2 script.py`` starts the script twice. With
    ``python script.py``, a single process trains.

    Parameters
    ----------
    addresses : sequence of str, optional
        ``host:port`` of each process, the same list for all. Default: those in the
        environment variable ``TF_CONFIG``; without it, there is only this process.
    rank : int, optional
        The index of this process in the list.
    timeout : float
        How long to wait for another worker before raising an error, in seconds. The
        others may still be compiling, or writing a checkpoint.

    Attributes
    ----------
    rank : int
        Number of this process, from 0.
    count : int
        Number of processes.

    Raises
    ------
    ValidationError
        If ``TF_CONFIG`` or an address is malformed, or the port of this process is in
        use, or this process is already connected to others.
    SimulationError
        If TensorFlow has run before.

    Notes
    -----
    Workers are connected by the collective operations of
    ``tf.distribute.MultiWorkerMirroredStrategy``: in a ring through gRPC between CPUs,
    by NCCL between GPUs. The traffic is neither encrypted nor authenticated, and
    TensorFlow listens on all network interfaces: use it in networks that you trust.
    Only numbers are exchanged; nothing is unpickled.

    Examples
    --------
    >>> workers = nengo_dl.Workers()  # without TF_CONFIG
    >>> workers
    <worker 0 of 1>
    """

    def __init__(
        self,
        addresses: Sequence[str] | None = None,
        rank: int | None = None,
        timeout: float = 1800.0,
    ):
        if not is_number(timeout) or not timeout > 0:
            raise ValidationError(
                f"Must be a number of seconds above 0 (got {timeout!r})",
                attr="timeout",
            )
        if addresses is None and rank is not None:
            raise ValidationError("Give the addresses, too", attr="rank")
        if addresses is None:
            cluster = Cluster.found()
        else:
            cluster = Cluster.given(addresses, rank)
        self.rank = cluster.rank
        self.count = cluster.count
        self.timeout = float(timeout)
        self._functions: dict[Any, Any] = {}
        self._strategy = None
        if self.count > 1:
            self._strategy = _connect(cluster)

    @property
    def is_first(self) -> bool:
        """Whether this is the worker that writes files and shows progress."""
        return self.rank == 0

    def __repr__(self) -> str:
        return f"<worker {self.rank} of {self.count}>"

    def share(self, data: Any) -> Any:
        """Return this worker's share of data that all workers have.

        Parameters
        ----------
        data : tf.data.Dataset or sequence
            A dataset is divided element by element: by items, or by minibatches if it
            has been batched. A sequence is divided in the same way, for example a list
            of files from which each worker makes its own dataset.

        Returns
        -------
        tf.data.Dataset or list
            Every ``count``-th element, starting with number ``rank``.

        Raises
        ------
        ValidationError
            If there are more workers than elements.

        Examples
        --------
        >>> workers = nengo_dl.Workers()
        >>> workers.share(["part-0.npz", "part-1.npz"])
        ['part-0.npz', 'part-1.npz']
        """
        if isinstance(data, tf.data.Dataset):
            count = int(data.cardinality().numpy())
            self._check_enough(count if count >= 0 else self.count, "elements")
            return data.shard(self.count, self.rank)
        if isinstance(data, Mapping | str) or not isinstance(
            data, Sequence | np.ndarray
        ):
            raise ValidationError(
                "Must be a tf.data.Dataset, or a sequence such as a list of files "
                f"(got {type(data).__name__})",
                attr="data",
            )
        self._check_enough(len(data), "elements")
        return list(data[self.rank :: self.count])

    def _check_enough(self, n_elements: int, what: str) -> None:
        if n_elements < self.count:
            raise ValidationError(
                f"There are {self.count} workers, more than {what} ({n_elements}); "
                "start fewer workers",
                attr="workers",
            )

    # -- between the processes; all of them have to call it

    def total(self, values: Any) -> tf.Tensor:
        """Return the sum of the vectors of all workers, equal to the last bit for all.

        Parameters
        ----------
        values : tf.Tensor or ndarray, shape (n,)
            Of the same size and type for all workers.

        Raises
        ------
        SimulationError
            If another worker has ended, or does not answer.
        """
        values = tf.convert_to_tensor(values)
        if self._strategy is None:
            return values
        key = values.dtype, tuple(values.shape)
        if key not in self._functions:
            self._functions[key] = self._make_total()
        try:
            return self._functions[key](values)
        except tf.errors.OpError as error:
            raise SimulationError(self._lost(error)) from error

    def _make_total(self) -> Any:
        strategy = self._strategy
        options = tf.distribute.experimental.CommunicationOptions(
            timeout_seconds=self.timeout
        )

        def add(values):
            context = tf.distribute.get_replica_context()
            return context.all_reduce(
                # what is passed on as it is has no device
                *(tf.distribute.ReduceOp.SUM, tf.identity(values), options)
            )

        # one function for each size: TensorFlow warns of one that is traced repeatedly
        @tf.function(autograph=False)
        def total(values):
            return strategy.run(add, args=(values,))

        return total

    def gather(self, values: Any) -> np.ndarray:
        """Return the vectors of all workers.

        Parameters
        ----------
        values : array_like, shape (n,)
            Of the same size for all workers.

        Returns
        -------
        ndarray, shape (count, n)
        """
        values = np.asarray(values)
        rows = np.zeros((self.count, *values.shape), values.dtype)
        rows[self.rank] = values
        return self.total(rows.reshape(-1)).numpy().reshape(rows.shape)

    def broadcast(self, values: Any) -> np.ndarray:
        """Return the vector of the first worker.

        Parameters
        ----------
        values : array_like, shape (n,)
            Of the same size for all workers.
        """
        values = np.asarray(values)
        if not self.is_first:
            values = np.zeros_like(values)
        return self.total(values).numpy()

    def texts(self, text: str) -> list[str]:
        """Return the texts of all workers.

        Parameters
        ----------
        text : str
            Of any length.
        """
        data = text.encode()
        lengths = self.gather(np.array([len(data)], np.int32))[:, 0]
        # few sizes: each is a function of TensorFlow
        size = 1 << int(max(lengths)).bit_length()
        row = np.zeros(size, np.int32)
        row[: len(data)] = np.frombuffer(data, np.uint8)
        rows = self.gather(row)
        return [
            bytes(found[:length].astype(np.uint8)).decode()
            for found, length in zip(rows, lengths, strict=True)
        ]

    def compare(self, facts: Mapping[str, str]) -> None:
        """Raise if workers disagree.

        Parameters
        ----------
        facts : mapping of {str: str}
            What must be equal, by how it is called in the message.

        Raises
        ------
        ValidationError
            In all workers; the message says about what they disagree, and which one is
            alone.
        """
        sums = np.array([zlib.crc32(f.encode()) for f in facts.values()], np.int64)
        rows = self.gather(sums)
        for number, name in enumerate(facts):
            if (rows[:, number] == rows[0, number]).all():
                continue
            found = self.texts(_short(facts[name]))
            raise ValidationError(
                f"Workers disagree about {name}: "
                + "; ".join(f"{text} in worker {n}" for n, text in enumerate(found))
                + ". All must run the same script, with the same data and seeds",
                attr="workers",
            )

    def _lost(self, error: tf.errors.OpError) -> str:
        """Return which worker was lost, as far as TensorFlow says."""
        text = str(error)
        match = re.search(r"/job:worker/replica:\d+/task:(\d+)", text)
        who = f"Worker {match[1]}" if match else "Another worker"
        if isinstance(error, tf.errors.DeadlineExceededError):
            return (
                f"{who} did not answer worker {self.rank} for {self.timeout:g} seconds "
                "(see timeout of nengo_dl.Workers). All workers must make the same "
                "calls in the same order; one may have raised an error, or not have "
                "been started"
            )
        reason = next(
            (line for line in text.splitlines() if "aborted by" in line),
            text.splitlines()[0],
        )
        return (
            f"{who} has ended, or cannot be reached by worker {self.rank}; see what it "
            "said last. Start all workers again, and go on from the last checkpoint "
            f"({reason.strip()})"
        )


def _connect(cluster: Cluster) -> Any:
    """Connect this process with others, if it is not."""
    if _CONNECTION.cluster == cluster:
        return _CONNECTION.strategy
    if _CONNECTION.cluster is not None:
        raise ValidationError(
            f"This process is connected as worker {_CONNECTION.cluster.rank} of "
            f"{', '.join(_CONNECTION.cluster.addresses)}; TensorFlow can be connected "
            "once",
            attr="addresses",
        )
    check_port(cluster.addresses[cluster.rank])
    let_memory_grow()
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.rank,
        rpc_layer="grpc",
    )
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except RuntimeError as error:
        raise SimulationError(
            "TensorFlow has run in this process before, so it cannot be connected with "
            "others any more. Call nengo_dl.Workers() at the beginning of the script, "
            f"before a simulator, a tensor or an optimizer is made ({error})"
        ) from error
    except tf.errors.OpError as error:
        raise SimulationError(
            f"TensorFlow cannot be reached at {cluster.addresses[cluster.rank]}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    _CONNECTION.cluster, _CONNECTION.strategy = cluster, strategy
    return strategy


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."
