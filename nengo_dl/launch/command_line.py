"""The command ``python -m nengo_dl.launch``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from nengo.exceptions import ValidationError

from nengo_dl.distribution.cluster import VARIABLE
from nengo_dl.launch.environments import in_cluster
from nengo_dl.launch.local import launch_local

__all__ = ["main"]

_DESCRIPTION = """\
Start a script in several processes, which nengo_dl.Workers() connects.

On one machine, it starts as many processes as --workers says. Their output appears
with the number of the process before each line; if one fails, the others are ended.

As a task of SLURM (srun python -m nengo_dl.launch script.py), or in the pods of a
StatefulSet or an indexed Job of Kubernetes, it finds out from the environment who the
others are, and starts the script once. If TF_CONFIG is set, that is what counts.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m nengo_dl.launch",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        *("-n", "--workers"),
        type=int,
        help="number of processes (default: one for each GPU, or 2 without GPUs; with "
        "SLURM, that of its tasks)",
    )
    parser.add_argument(
        "--port",
        type=int,
        help="first port to listen at (default: free ones; on a cluster 2222)",
    )
    parser.add_argument(
        "--cores",
        choices=("share", "all"),
        default="share",
        help="whether each process has its share of the processor's cores, or may use "
        "all (default: %(default)s)",
    )
    parser.add_argument(
        "--grace",
        type=float,
        default=15,
        metavar="SECONDS",
        help="how long the others may take to end if one fails (default: %(default)s)",
    )
    parser.add_argument(
        "--service",
        help="headless service by whose name the pods of Kubernetes find each other "
        "(default: what follows the first dot of the pod's own name)",
    )
    parser.add_argument(
        "--local",
        action="store_true",
        help="start processes on this machine, whatever the environment says",
    )
    parser.add_argument(
        *("-m", "--module"),
        action="store_true",
        help="the script is the name of a module, as in python -m",
    )
    parser.add_argument("script", help="Python script to start")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, help="arguments of the script"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the processes, and return the exit code of the first that fails, or 0.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments of the command. Default: those of this process.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    script = ["-m", given.script] if given.module else [given.script]
    command = [sys.executable, *script, *given.arguments]
    try:
        if not given.module and not os.path.isfile(given.script):
            raise ValidationError(f"There is no file {given.script!r}", attr="script")
        if not given.local:
            config = os.environ.get(VARIABLE) or in_cluster(
                os.environ, given.workers, given.port, given.service
            )
            if config is not None:
                return _become(command, config)
        return launch_local(
            command, given.workers, given.port, given.cores == "share", given.grace
        )
    except ValidationError as error:
        parser.error(str(error))


def _become(command: Sequence[str], config: str) -> int:
    """Run the script in the place of this process."""
    os.environ[VARIABLE] = config
    sys.stdout.flush()
    os.execv(command[0], list(command))
