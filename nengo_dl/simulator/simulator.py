"""The simulator: its faces, put together."""

from __future__ import annotations

from nengo_dl.simulator.dividing import DividingFace
from nengo_dl.simulator.exporting import ExportingFace
from nengo_dl.simulator.reports import ReportsFace
from nengo_dl.simulator.resetting import ResettingFace

__all__ = ["Simulator"]


class Simulator(DividingFace, ResettingFace, ExportingFace, ReportsFace):
    """Simulate a network with TensorFlow; a drop-in for `nengo.Simulator`.

    Parameters
    ----------
    network : nengo.Network or None
        Network to build and simulate. With None, ``model`` must be given.
    dt : float
        Length of a time step, in seconds.
    seed : int, optional
        Seed of all random processes of the simulation. Default: the network's seed plus
        one if it has a seed, else random.
    model : nengo.builder.Model, optional
        Model that was built before (``network`` is built into it if given, and its
        ``dt`` is used).
    dtype : tf.DType or str or numpy.dtype, optional
        Precision of the computations: ``tf.float32`` or ``tf.float64``. With
        ``"mixed_bfloat16"`` (or ``keras.DTypePolicy("mixed_bfloat16")``), training
        multiplies large matrices and convolves in bfloat16; parameters, state and
        simulations stay float32. Data is shown in the precision in which Nengo built
        the model (see ``nengo.rc``). Default: the setting of the network (see
        `nengo_dl.configure_settings`), else ``tf.float32``.
    device : str, optional
        TensorFlow device, such as ``"/cpu:0"`` or ``"/gpu:0"``. Default: TensorFlow's
        choice.
    unroll_simulation : int, optional
        Number of time steps in the body of the simulation loop. Results stay the same,
        up to rounding. It helps only without XLA (``jit_compile=False``). XLA's loops
        are unrolled four times at most, since more would take minutes to compile.
        Default: the setting of the network, else 1.
    minibatch_size : int, optional
        Number of inputs that are simulated in parallel. Default: one input, and data
        without a batch axis.
    tensorboard : str or os.PathLike, optional
        Folder for TensorBoard. Each simulator writes to its own subfolder ``run_N``:
        the graph of a time step, and what `train` records.
    progress_bar : bool or nengo.utils.progress.ProgressBar
        Whether to show progress of building and running.
    jit_compile : bool, optional
        Whether to compile with XLA. By default, the simulator compiles everything it
        can, but uses NumPy where that is faster: for single steps, for runs that end
        before the compiler would, and for small networks that call Python in each
        step. NumPy computes in the precision in which Nengo built the model. On CPUs,
        convolutional networks without state are trained without XLA, which is faster.
        True always compiles with XLA. False runs TensorFlow's graphs without XLA. None
        uses the network's setting, if there is one.
    optimize : bool
        Accepted because `nengo.Simulator` has it. Operators are always merged here.

    Attributes
    ----------
    data : SimulationData
        Probe data, and parameters of objects.
    model : nengo.builder.Model
        What Nengo built.
    seed : int
        Seed of random processes.
    closed : bool
        Whether the simulator was closed.
    minibatch_size : int or None
        As given.

    Raises
    ------
    ValidationError
        If an argument is of the wrong kind or there is nothing to simulate.
    BuildError
        If the network cannot be built.

    Examples
    --------
    >>> with nengo.Network(seed=0) as net:
    ...     node = nengo.Node([0.5])
    ...     probe = nengo.Probe(node)
    >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
    ...     sim.run_steps(3)
    >>> sim.data[probe]
    array([[0.5],
           [0.5],
           [0.5]])
    """
