"""Which processes there are, and which one this is, from ``TF_CONFIG`` or as given."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_integer

__all__ = ["VARIABLE", "Cluster", "check_port"]

#: The environment variable in which TensorFlow keeps what is known of a cluster.
VARIABLE = "TF_CONFIG"


@dataclass(frozen=True)
class Cluster:
    """Processes that work together, and which one of them this is.

    Attributes
    ----------
    addresses : tuple of str
        ``host:port`` of each process. Empty: this one works alone.
    rank : int
        The place of this process among them.
    """

    addresses: tuple[str, ...] = ()
    rank: int = 0

    @property
    def count(self) -> int:
        """Number of processes."""
        return max(1, len(self.addresses))

    @property
    def config(self) -> str:
        """What `VARIABLE` must be in this process."""
        return json.dumps(
            {
                "cluster": {"worker": list(self.addresses)},
                "task": {"type": "worker", "index": self.rank},
            }
        )

    @classmethod
    def given(cls, addresses: Any, rank: Any) -> Cluster:
        """Return a cluster of these addresses.

        Parameters
        ----------
        addresses : sequence of str
            ``host:port`` of each process.
        rank : int
            The place of this process among them.

        Raises
        ------
        ValidationError
            If an address is none, or appears twice, or the rank is not among them.
        """
        if isinstance(addresses, str) or not isinstance(addresses, Sequence):
            raise ValidationError(
                "Must be a list of addresses such as '10.0.0.5:2222', one for each "
                f"worker (got {addresses!r})",
                attr="addresses",
            )
        checked = tuple(_checked_address(address) for address in addresses)
        if not checked:
            raise ValidationError("There are no addresses", attr="addresses")
        for address in checked:
            if checked.count(address) > 1:
                raise ValidationError(
                    f"Each worker needs an address of its own; {address} appears "
                    f"{checked.count(address)} times",
                    attr="addresses",
                )
        if not is_integer(rank) or not 0 <= rank < len(checked):
            raise ValidationError(
                f"Must be a number from 0 to {len(checked) - 1}, the place of this "
                f"process among the addresses (got {rank!r})",
                attr="rank",
            )
        return cls(checked, int(rank))

    @classmethod
    def found(cls, environment: Mapping[str, str] | None = None) -> Cluster:
        """Return what ``TF_CONFIG`` says; without it, this process works alone.

        Parameters
        ----------
        environment : mapping of {str: str}, optional
            Environment variables. Default: those of this process.

        Raises
        ------
        ValidationError
            If it is malformed, or describes processes that are no workers.
        """
        text = (os.environ if environment is None else environment).get(VARIABLE, "")
        if not text.strip():
            return cls()
        try:
            config = json.loads(text)
        except json.JSONDecodeError as error:
            raise _malformed(f"is not valid JSON ({error})") from error
        cluster = _part(config, "cluster")
        if not cluster:
            return cls()
        task = _part(config, "task")
        other = sorted(set(cluster) - {"chief", "worker"})
        if other:
            raise _malformed(
                f"has jobs of other kinds than 'worker' and 'chief': {', '.join(other)}"
            )
        chief, workers = (_addresses(cluster, job) for job in ("chief", "worker"))
        kind: Any = task.get("type")
        index: Any = task.get("index")
        if kind not in cluster:
            raise _malformed(
                f"says that this is a process of the kind {kind!r}, and there are "
                f"{', '.join(map(repr, cluster))}"
            )
        own = chief if kind == "chief" else workers
        if not is_integer(index) or not 0 <= index < len(own):
            raise _malformed(
                f"says that this is the {kind} number {index!r}, and there are "
                f"{len(own)}, counted from 0"
            )
        rank = index if kind == "chief" else len(chief) + index
        return cls.given([*chief, *workers], rank)


def check_port(address: str) -> None:
    """Raise if another program listens at an address of this machine.

    TensorFlow shares the port with it, and both then wait for ever.

    Parameters
    ----------
    address : str
        ``host:port``.

    Raises
    ------
    ValidationError
        If the port is in use.
    """
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # connections of a process that has ended do not count
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # all interfaces, as TensorFlow does
            probe.bind(("", int(port)))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return  # what else is wrong, TensorFlow says
            raise ValidationError(
                f"Port {port} is in use by another program, such as a worker of an "
                "earlier run that has not ended. Choose another port, or let "
                "python -m nengo_dl.launch find free ones",
                attr="addresses",
            ) from error


def _checked_address(address: Any) -> str:
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("",) * 3
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValidationError(
            f"An address must be 'host:port', such as '10.0.0.5:2222' (got "
            f"{address!r})",
            attr="addresses",
        )
    return address


def _part(config: Any, name: str) -> Mapping[str, Any]:
    found = config.get(name, {}) if isinstance(config, Mapping) else None
    if not isinstance(found, Mapping):
        raise _malformed(
            f"must be like {Cluster(('host:port', 'host:port')).config} "
            f"(got {json.dumps(config)[:200]})"
        )
    return found


def _addresses(cluster: Mapping[str, Any], job: str) -> list[Any]:
    found = cluster.get(job, [])
    if isinstance(found, Mapping):  # by number
        found = [found[key] for key in sorted(found, key=int)]
    if not isinstance(found, list):
        raise _malformed(f"has no list of addresses for {job!r} (got {found!r})")
    return found


def _malformed(problem: str) -> ValidationError:
    return ValidationError(
        f"The environment variable {VARIABLE} {problem}", attr="addresses"
    )
