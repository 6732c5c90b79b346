"""The registry: which builder an operator, neuron or process type has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import Operator
from nengo.builder.processes import SimProcess
from nengo.exceptions import BuildError

from nengo_dl.builders.base import OpBuilder

__all__ = ["find_builder", "register"]

#: One row for each operator, neuron or process type: its builder, and the names of the
#: methods that a subclass must not override to be covered by the same row.
_REGISTRY: dict[type, tuple[type[OpBuilder], tuple[str, ...]]] = {}


def register(
    built_type: type, methods: Sequence[str] | None = None
) -> Callable[[type[OpBuilder]], type[OpBuilder]]:
    """Register a class as the TensorFlow version of an operator, neuron or process.

    Parameters
    ----------
    built_type : type
        A subclass of `nengo.builder.Operator`, `nengo.neurons.NeuronType` (for
        the operators that simulate it) or `nengo.Process` (likewise).
    methods : sequence of str, optional
        Subclasses of ``built_type`` use the same builder as long as they override none
        of these methods. Default: the methods that define what is computed,
        ``make_step`` for operators, ``step`` and ``make_state`` for neurons,
        ``make_step`` and ``make_state`` for processes.

    Returns
    -------
    callable
        A class decorator.

    Raises
    ------
    BuildError
        If the type has a builder already.

    Examples
    --------
    >>> import nengo_dl.builders
    >>> @nengo_dl.builders.register(MyOperator)  # doctest: +SKIP
    ... class MyOperatorBuilder(nengo_dl.builders.OpBuilder):
    ...     def step(self, reads, previous):
    ...         return nengo_dl.builders.Writes(incs=(2 * reads[0],))
    """
    if methods is None:
        methods = ("step", "make_step", "make_state")

    def decorate(builder: type[OpBuilder]) -> type[OpBuilder]:
        if built_type in _REGISTRY:
            raise BuildError(
                f"{built_type.__name__} already has the builder "
                f"{_REGISTRY[built_type][0].__name__}; register "
                f"{builder.__name__} for a subclass of it instead"
            )
        _REGISTRY[built_type] = (builder, tuple(methods))
        return builder

    return decorate


def find_builder(op: Operator) -> type[OpBuilder] | None:
    """Return the builder registered for an operator, or None.

    Operators that simulate neurons or processes are looked up by the neuron or
    process type first, then by their own type.

    Parameters
    ----------
    op : Operator
        Any Nengo operator.

    Returns
    -------
    type or None
        Subclass of `OpBuilder`.

    Examples
    --------
    >>> from nengo.builder.operator import Copy
    >>> from nengo.builder.signal import Signal
    >>> copy = Copy(Signal(np.zeros(2)), Signal(np.zeros(2)))
    >>> nengo_dl.builders.find_builder(copy).__name__
    'CopyBuilder'
    """
    # exact types: a subclass of these two may compute something else
    if type(op) is SimNeurons:
        return _find(type(op.neurons))
    if type(op) is SimProcess:
        return _find(type(op.process))
    return _find(type(op))


def _find(built_type: type) -> type[OpBuilder] | None:
    for ancestor in built_type.__mro__:
        if ancestor in _REGISTRY:
            builder, methods = _REGISTRY[ancestor]
            same = all(
                getattr(built_type, name, None) is getattr(ancestor, name, None)
                for name in methods
            )
            return builder if same else None
    return None
