"""One call of a sweep, in whatever process it happens."""

from __future__ import annotations

import functools
import pickle
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import nengo
from nengo.exceptions import ValidationError

from nengo_dl.compiler.names import name_objects
from nengo_dl.support.travel import best_pickler, explain, travels

if TYPE_CHECKING:
    from nengo_dl.simulator import Simulator

__all__ = [
    "Job",
    "Outcome",
    "pack_job",
    "pack_parameters",
    "run_job",
    "run_packed",
]


@dataclass(frozen=True)
class Job:
    """What is done with each set of parameters.

    Attributes
    ----------
    factory : callable
        Makes a network, or computes results itself.
    t : float or None
        For how many seconds a network is simulated.
    measure : callable or None
        Returns results, given the simulator after that.
    simulator : mapping of {str: object}
        Arguments of the simulator.
    """

    factory: Callable[..., Any]
    t: float | None = None
    measure: Callable[[Simulator], Mapping[str, Any]] | None = None
    simulator: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How the factory is called."""
        return getattr(self.factory, "__qualname__", type(self.factory).__name__)

    def results(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Call the factory, simulate what it made, and return results by name."""
        made = self.factory(**parameters)
        if isinstance(made, nengo.Network):
            made = self._simulate(made)
        if not isinstance(made, Mapping):
            what = "measure" if self.measure is not None else "the factory"
            raise ValidationError(
                f"{what} must return a dict of results"
                f"{'' if self.measure else ', or a network'} (got "
                f"{type(made).__name__})",
                attr="factory",
            )
        taken = set(made) & set(parameters)
        if taken:
            raise ValidationError(
                f"A result has the name of a parameter: {', '.join(sorted(taken))}",
                attr="factory",
            )
        return dict(made)

    def _simulate(self, network: nengo.Network) -> Any:
        if self.t is None:
            raise ValidationError(
                "The factory makes a network; say for how many seconds it is to be "
                "simulated (sweep(..., t=1.0))",
                attr="t",
            )
        # here, since calls that need no simulator need no TensorFlow either
        from nengo_dl.simulator import Simulator

        options = {"progress_bar": False, **self.simulator}
        with Simulator(network, **options) as sim:
            sim.run(self.t)
            if self.measure is not None:
                return self.measure(sim)
            names = name_objects(sim.model)
            return {
                probe.label or names[probe]: sim.data[probe]
                for probe in network.all_probes
            }


@dataclass(frozen=True)
class Outcome:
    """How one call ended.

    Attributes
    ----------
    results : dict of {str: object}
        What it found; nothing if it failed.
    error : str or None
        Type and text of the error.
    details : str
        Where the error came from.
    seconds : float
        How long it took.
    """

    results: dict[str, Any]
    error: str | None = None
    details: str = ""
    seconds: float = 0.0


def pack_job(job: Job) -> bytes:
    """Return a job in a form that travels to other processes.

    Raises
    ------
    ValidationError
        If it cannot travel; the message says how to change that.
    """
    pickler = best_pickler()
    try:
        return pickler.dumps(job)
    except Exception as error:
        parts = {
            "simulator": dict(job.simulator),
            "measure": job.measure,
            "factory": job.factory,
        }
        name, reason = explain(pickler, parts)
        raise ValidationError(
            f"{reason}. n_workers=1 stays in this process ({error})", attr=name
        ) from error


def pack_parameters(parameters: Mapping[str, Any]) -> Mapping[str, Any] | bytes:
    """Return parameters in a form that travels: as they are, if that is possible.

    Raises
    ------
    ValidationError
        If they cannot travel; the message says which one.
    """
    if travels(pickle, parameters):
        return parameters
    pickler = best_pickler()
    try:
        return pickler.dumps(parameters)
    except Exception as error:
        named = {f"parameter {name!r}": value for name, value in parameters.items()}
        _, reason = explain(pickler, named)
        raise ValidationError(f"{reason} ({error})", attr="parameters") from error


@functools.lru_cache(maxsize=4)
def load_job(packed: bytes) -> Job:
    """Return the job; only what the process that started this one sent comes here."""
    return pickle.loads(packed)


def run_packed(packed: bytes, parameters: Mapping[str, Any] | bytes) -> Outcome:
    """Run a job that came from another process; see `run_job`.

    Parameters
    ----------
    packed : bytes
        As `pack_job` returned it.
    parameters : mapping of {str: object} or bytes
        Arguments of the factory, as `pack_parameters` returned them.
    """
    given: Mapping[str, Any] = (
        pickle.loads(parameters) if isinstance(parameters, bytes) else parameters
    )
    return run_job(lambda: load_job(packed), given, is_sent=True)


def run_job(
    load: Callable[[], Job], parameters: Mapping[str, Any], is_sent: bool = False
) -> Outcome:
    """Run a job, and return errors instead of raising them.

    Parameters
    ----------
    load : callable
        Returns the job.
    parameters : mapping of {str: object}
        Arguments of the factory.
    is_sent : bool
        Whether the results go to another process.
    """
    began = time.perf_counter()
    try:
        results = load().results(parameters)
        if is_sent and not travels(pickle, results):
            # here, where it can be said of which call they are
            named = {f"result {name!r}": value for name, value in results.items()}
            raise ValidationError(explain(pickle, named)[1], attr="factory")
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return Outcome({}, text, traceback.format_exc(), time.perf_counter() - began)
    return Outcome(results, seconds=time.perf_counter() - began)
