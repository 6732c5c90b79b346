"""Who works together, from the environment variables of cluster managers."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping

from nengo.exceptions import ValidationError

from nengo_dl.distribution.cluster import Cluster

__all__ = ["expand_hosts", "in_cluster"]

#: The port that TensorFlow's own examples use.
_PORT = 2222

#: Hosts such as ``a[01-03,7],b``: names, and numbers in brackets.
_HOSTS = re.compile(r"([^,\[\]]+)(?:\[([^\]]*)\])?([^,\[\]]*)(?:,|$)")


def in_cluster(
    environment: Mapping[str, str],
    n_workers: int | None = None,
    port: int | None = None,
    service: str | None = None,
) -> str | None:
    """Return the ``TF_CONFIG`` of this process, if a cluster manager started it.

    Parameters
    ----------
    environment : mapping of {str: str}
        Environment variables.
    n_workers : int, optional
        Number of processes, which Kubernetes does not tell.
    port : int, optional
        First port to listen at.
    service : str, optional
        Name of the headless service of the pods.

    Returns
    -------
    str or None
        None if this process is on its own.

    Raises
    ------
    ValidationError
        If what the environment says is not enough, or contradicts itself.
    """
    port = _PORT if port is None else port
    # a shell inside of an allocation (salloc, sbatch) is no task of it
    if "SLURM_PROCID" in environment and int(environment.get("SLURM_NTASKS", 1)) > 1:
        return _slurm(environment, n_workers, port)
    if "KUBERNETES_SERVICE_HOST" in environment:
        return _kubernetes(environment, n_workers, port, service)
    return None


def _slurm(environment: Mapping[str, str], n_workers: int | None, port: int) -> str:
    count = int(environment["SLURM_NTASKS"])
    if n_workers not in (None, count):
        raise ValidationError(
            f"SLURM has started {count} tasks; leave --workers out, or use --local",
            attr="workers",
        )
    hosts = expand_hosts(
        environment.get("SLURM_STEP_NODELIST") or environment["SLURM_JOB_NODELIST"]
    )
    per_host = _repeated(
        environment.get("SLURM_STEP_TASKS_PER_NODE")
        or environment.get("SLURM_TASKS_PER_NODE", "1")
    )
    if len(per_host) != len(hosts) or sum(per_host) != count:
        raise ValidationError(
            f"SLURM has {count} tasks, and says that {hosts} have {per_host} of them",
            attr="workers",
        )
    addresses = [
        f"{host}:{port + number}"
        for host, n_tasks in zip(hosts, per_host, strict=True)
        for number in range(n_tasks)
    ]
    return Cluster.given(addresses, int(environment["SLURM_PROCID"])).config


def _kubernetes(
    environment: Mapping[str, str],
    n_workers: int | None,
    port: int,
    service: str | None,
) -> str | None:
    host = environment.get("HOSTNAME") or socket.gethostname()
    name, _, domain = host.partition(".")
    match = re.fullmatch(r"(.+)-(\d+)", name)
    index = environment.get("JOB_COMPLETION_INDEX")
    if match is None or (index is not None and index != match[2]):
        if index is None:
            return None  # a pod on its own
        raise ValidationError(
            f"The name of this pod, {host!r}, does not end with its number, {index}: "
            "give the Job a headless service (spec.template.spec.subdomain)",
            attr="workers",
        )
    if n_workers is None:
        if index is None:
            return None
        raise ValidationError(
            "Kubernetes does not tell how many pods there are; give --workers (the "
            "completions of the Job)",
            attr="workers",
        )
    domain = service or domain or socket.getfqdn().partition(".")[2]
    if not domain:
        raise ValidationError(
            "Pods find each other by the name of a headless service; give --service",
            attr="workers",
        )
    addresses = [f"{match[1]}-{n}.{domain}:{port}" for n in range(n_workers)]
    return Cluster.given(addresses, int(match[2])).config


def expand_hosts(text: str) -> list[str]:
    """Return the names in a list of hosts of SLURM.

    Parameters
    ----------
    text : str
        Such as ``"node[01-03,7],login"``.

    Examples
    --------
    >>> from nengo_dl.launch.environments import expand_hosts
    >>> expand_hosts("node[01-03,7],login")
    ['node01', 'node02', 'node03', 'node7', 'login']
    """
    found = []
    for before, numbers, after in _HOSTS.findall(text):
        if not numbers:
            found.append(before + after)
            continue
        for part in numbers.split(","):
            first, _, last = part.partition("-")
            width = len(first)
            found += [
                f"{before}{number:0{width}d}{after}"
                for number in range(int(first), int(last or first) + 1)
            ]
    return found


def _repeated(text: str) -> list[int]:
    """Return the numbers of a list such as ``2(x3),1``."""
    found: list[int] = []
    for number, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        found += [int(number)] * int(times or 1)
    return found
