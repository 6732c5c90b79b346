"""Where a simulation runs: on which device, and whether XLA compiles it."""

from __future__ import annotations

from dataclasses import dataclass

from nengo_dl.support import tuning
from nengo_dl.support.gpus import finds_gpu

__all__ = ["Placement"]


@dataclass(frozen=True)
class Placement:
    """The one answer to the question where a simulation runs.

    Whoever needs to know is handed one; nobody else asks TensorFlow for its devices.

    Attributes
    ----------
    device : str or None
        TensorFlow device; None leaves the choice to TensorFlow.
    processor : str
        Kind of processor, ``"CPU"`` or ``"GPU"``.
    jit_compile : bool or None
        Use of XLA: always, never, or where it pays (None).
    minibatch_size : int
        Number of items that are simulated in parallel.
    """

    device: str | None = None
    processor: str = "CPU"
    jit_compile: bool | None = None
    minibatch_size: int = 1

    @classmethod
    def choose(
        cls,
        device: str | None = None,
        jit_compile: bool | None = None,
        minibatch_size: int = 1,
    ) -> Placement:
        """Return the placement on a device, of whatever kind it is.

        Parameters
        ----------
        device : str or None
            Name of a device that exists, such as ``"/device:GPU:0"``. None: the first
            GPU if there is one, as TensorFlow chooses.
        jit_compile, minibatch_size
            See the class.
        """
        if device is None:
            processor = "GPU" if finds_gpu() else "CPU"
        else:
            processor = "CPU" if "cpu" in device.lower() else "GPU"
        if jit_compile is not None:
            jit_compile = bool(jit_compile)  # also of NumPy
        return cls(device, processor, jit_compile, minibatch_size)

    @property
    def on_cpu(self) -> bool:
        """Whether the processor is a CPU."""
        return self.processor == "CPU"

    @property
    def uses_xla(self) -> bool:
        """Whether XLA compiles what it can."""
        return self.jit_compile is not False

    @property
    def chooses(self) -> bool:
        """Whether steps may run with NumPy instead, where that is faster."""
        return self.jit_compile is None and self.on_cpu

    @property
    def large(self) -> int:
        """Number of values in a result from which merging an operator does not pay."""
        return tuning.LARGE_RESULT["CPU" if self.on_cpu else "GPU"]

    def compiles(self, has_callbacks: bool, avoids_xla: bool = False) -> bool:
        """Whether XLA compiles a function as a whole.

        Parameters
        ----------
        has_callbacks : bool
            Whether it calls Python, which XLA cannot compile.
        avoids_xla : bool
            Whether it uses routines that are faster on CPUs than what XLA makes.
        """
        if has_callbacks or (self.chooses and avoids_xla):
            return False
        return self.uses_xla
