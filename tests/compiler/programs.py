"""Operators to compile, and a NumPy executor of what the compiler makes of them.

`BUILDERS` describes basic operators to the compiler, as the builders of a backend do.
`core_steps` runs a list of operators as nengo does, `LayoutProgram` runs the compiled
form of it. Nothing here imports TensorFlow.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from hypothesis import strategies as st
from nengo.builder.operator import Copy, DotInc, ElementwiseInc, Operator, Reset
from nengo.builder.signal import Signal, SignalDict
from nengo.utils.graphs import toposort
from nengo.utils.simulator import operator_dependency_graph

from nengo_dl.compiler.dependencies import dependencies
from nengo_dl.compiler.layout import lay_out
from nengo_dl.compiler.planners import plan
from nengo_dl.compiler.simplify import simplify
from nengo_dl.compiler.traits import Role, find_roles
from nengo_dl.compiler.verify import verify_plan, verify_simplified
from nengo_dl.compiler.verify_layout import verify_layout

# --------------------------------------------------------------------------------------
# Operators that nengo has under other names, reduced to what matters to the compiler
# --------------------------------------------------------------------------------------


class Delay(Operator):
    """A synapse: ``dst`` holds ``src`` in the next step."""

    def __init__(self, src, dst):
        super().__init__()
        self.sets, self.incs, self.reads, self.updates = [], [], [src], [dst]

    def make_step(self, signals, dt, rng):
        src, dst = signals[self.reads[0]], signals[self.updates[0]]

        def step():
            dst[...] = src

        return step


class Integrate(Operator):
    """Neurons: their state is listed under ``sets``, but its old value matters."""

    def __init__(self, src, state, output):
        super().__init__()
        self.sets, self.incs = [output, state], []
        self.reads, self.updates = [src], []

    def make_step(self, signals, dt, rng):
        src = signals[self.reads[0]]
        output, state = (signals[s] for s in self.sets)

        def step():
            state[...] = state * 0.5 + src
            output[...] = state * state

        return step


class Callback(Operator):
    """A Node with a Python function: ``dst = src + 1``."""

    def __init__(self, src, dst, tag=None):
        super().__init__(tag=tag)
        self.sets, self.incs, self.reads, self.updates = [dst], [], [src], []

    def make_step(self, signals, dt, rng):
        src, dst = signals[self.reads[0]], signals[self.sets[0]]

        def step():
            dst[...] = src + 1

        return step


# --------------------------------------------------------------------------------------
# Builders in NumPy
# --------------------------------------------------------------------------------------


_METHODS = ("step", "flat", "merge_key", "for_unlike", "n_zeros", "state_sets")


@dataclass
class Kernel:
    """What the compiler and the executor need to know about a type of operators."""

    step: object
    flat: object = lambda self, op: False
    merge_key: object = lambda self, op: None
    for_unlike: object = lambda self, op: ()
    n_zeros: object = lambda self, ops: 0
    state_sets: object = lambda self, op: ()
    is_callback: bool = False
    reads_once: tuple = ()

    def __post_init__(self):
        for name in _METHODS:
            setattr(self, name, getattr(self, name).__get__(self))

    def __hash__(self):
        return id(self)

    def __eq__(self, other):
        return self is other

    def used_reads(self, op):
        return range(len(op.reads))


def writes(sets=(), incs=(), updates=()):
    return SimpleNamespace(sets=sets, incs=incs, updates=updates)


def _reset(self, ops, reads, previous):
    return writes(sets=[np.concatenate([np.full(op.dst.size, op.value) for op in ops])])


def _is_whole(op):
    return (
        op.src_slice is None and op.dst_slice is None and op.src.shape == op.dst.shape
    )


def _keeps_elements(self, op):
    if op.inc or op.dst_slice is None:
        return ()
    return (
        (0,)
        if len(np.unique(np.arange(op.dst.shape[0])[op.dst_slice])) < (op.dst.shape[0])
        else ()
    )


def _copy(self, ops, reads, previous):
    (src,) = reads
    if _is_whole(ops[0]):
        value = src
    else:
        value = np.zeros((len(ops), *ops[0].dst.shape), dtype=src.dtype)
        if previous:
            value[...] = previous[0]
        for op, row, target in zip(ops, src, value, strict=True):
            row = row if op.src_slice is None else row[op.src_slice]
            if op.inc:
                index = np.arange(len(target))
                index = index if op.dst_slice is None else index[op.dst_slice]
                np.add.at(target, index, row)
            else:
                target[... if op.dst_slice is None else op.dst_slice] = row
    return writes(incs=[value]) if ops[0].inc else writes(sets=[value])


def _same_shapes(self, op):
    return op.A.shape == op.X.shape == op.Y.shape


def _elementwise(self, ops, reads, previous):
    a, x = reads
    if self.flat(ops[0]):
        return writes(incs=[a * x])
    return writes(incs=[np.stack([p * q for p, q in zip(a, x, strict=True)])])


def _dot(self, ops, reads, previous):
    products = [np.dot(a, x) for a, x in zip(*reads, strict=True)]
    shape = (len(ops), *ops[0].Y.shape)
    return writes(incs=[np.stack(products).reshape(shape)])


def _delay(self, ops, reads, previous):
    return writes(updates=[reads[0]])


def _integrate(self, ops, reads, previous):
    state = previous[0] * 0.5 + reads[0]
    return writes(sets=[state * state, state])


def _callback(self, ops, reads, previous):
    return writes(sets=[value + 1 for value in reads])


BUILDERS = {
    Reset: Kernel(_reset, flat=lambda self, op: True),
    Copy: Kernel(
        _copy,
        flat=lambda self, op: _is_whole(op),
        merge_key=lambda self, op: op.inc,
        state_sets=_keeps_elements,
    ),
    ElementwiseInc: Kernel(_elementwise, flat=_same_shapes),
    DotInc: Kernel(_dot),
    Delay: Kernel(_delay, flat=lambda self, op: True),
    Integrate: Kernel(
        _integrate, flat=lambda self, op: True, state_sets=lambda self, op: (1,)
    ),
    Callback: Kernel(_callback, is_callback=True),
}


def builder_of(op):
    """Return the builder of an operator."""
    return BUILDERS[type(op)]


# --------------------------------------------------------------------------------------
# Execution
# --------------------------------------------------------------------------------------


def compile_operators(operators, outputs=(), inputs=()):
    """Run all passes; return roles and layout."""
    roles = find_roles(operators, inputs, outputs, builder_of)
    left, aliases, _ = simplify(operators, roles, outputs, builder_of)
    verify_simplified(operators, left, aliases, roles, outputs, builder_of)
    before = dependencies(left, aliases, builder_of)
    groups = plan(left, before, builder_of)
    verify_plan(groups, left, before)
    states = [base for base in roles if base not in aliases]
    layout = lay_out(groups, roles, aliases, outputs, states)
    verify_layout(layout)
    return roles, layout


def core_steps(operators, n_steps, signals_to_record, feed=None):
    """Run operators as nengo's simulator does.

    Parameters
    ----------
    operators : list of Operator
        In any order.
    n_steps : int
        How many steps to run.
    signals_to_record : list of Signal
        Their values after each step are returned.
    feed : callable, optional
        ``feed(signal_values, step)`` sets inputs before each step.

    Returns
    -------
    list of list of ndarray
        For each step, the values of the signals.
    """
    signals = SignalDict()
    order = toposort(operator_dependency_graph(operators))
    for signal in signals_to_record:
        if signal not in signals:
            signals.init(signal)
    for op in order:
        op.init_signals(signals)
    steps = [op.make_step(signals, 0.001, None) for op in order]
    recorded = []
    for n in range(n_steps):
        if feed is not None:
            feed(signals, n)
        for step in steps:
            step()
        recorded.append([np.array(signals[s]) for s in signals_to_record])
    return recorded


class NumpyStore:
    """Values of a layout's blocks during one step: the reference of the value store.

    Every operation is written element by element, in the most obvious way.
    """

    def __init__(self, blocks, start):
        self.blocks = blocks
        self.start = {number: values.copy() for number, values in start.items()}
        self.current = {
            block.number: self.start[block.number].copy()
            if block.number in self.start
            else np.zeros(block.size, dtype=block.signals[0].dtype)
            for block in blocks
        }
        self.updated = {}

    def gather(self, plan, values):
        parts = []
        for piece in plan.pieces:
            block = values[piece.block]
            positions = piece.positions
            assert (positions >= 0).all()
            parts.append(block[positions])
        flat = np.concatenate(parts) if parts else np.zeros(0)
        return (flat if plan.order is None else flat[plan.order]).reshape(plan.shape)

    def read(self, plan):
        return self.gather(plan, self.current)

    def read_previous(self, plan):
        return self.gather(plan, self.start)

    def read_final(self, plan):
        return self.gather(plan, self.final())

    def _pairs(self, transfer, size):
        """Return sources in the result and targets in the block, in order."""
        if transfer.segments is not None:
            return transfer.segments
        if transfer.index is not None:
            target, column = np.nonzero(transfer.index < size)
            return transfer.index[target, column], target
        steps = np.arange(transfer.length)
        return transfer.source + steps, transfer.target + steps

    def _distribute(self, plan, value):
        flat = np.ravel(value)
        for transfer in plan.transfers:
            source, target = self._pairs(transfer, len(flat))
            block = self.blocks[transfer.block]
            written = np.zeros(block.size, dtype=bool)
            written[target] = True
            mask = np.ones(block.size, bool) if transfer.mask is None else transfer.mask
            np.testing.assert_array_equal(mask, written)
            yield transfer.block, target, flat[source]

    def set(self, plan, value):
        for number, target, values in self._distribute(plan, value):
            assert len(np.unique(target)) == len(target)
            self.current[number][target] = values

    def inc(self, plan, value):
        for number, target, values in self._distribute(plan, value):
            np.add.at(self.current[number], target, values)

    def update(self, plan, value):
        for number, target, values in self._distribute(plan, value):
            self.updated.setdefault(number, []).append((target, values))

    def final(self):
        result = {number: values.copy() for number, values in self.current.items()}
        for number, parts in self.updated.items():
            for target, values in parts:
                result[number][target] = values
        return result


class LayoutProgram:
    """Runs a layout with NumPy kernels.

    Parameters
    ----------
    layout : Layout
        Result of the compiler.
    """

    def __init__(self, layout):
        self.layout = layout
        self.values = {}
        for block in layout.blocks:
            if block.role is not Role.TEMPORARY:
                self.values[block.number] = np.concatenate(
                    [np.ravel(signal.initial_value) for signal in block.signals]
                ).astype(block.signals[0].dtype)

    def value_of(self, signal):
        """Return the value of a base signal that outlives a step."""
        block = self.layout.block_of[signal]
        start = block.starts[signal]
        flat = self.values[block.number][start : start + signal.size]
        return flat.reshape(signal.shape)

    def feed(self, signal, value):
        """Set the value of an input."""
        block = self.layout.block_of.get(signal)
        if block is not None:
            start = block.starts[signal]
            self.values[block.number][start : start + signal.size] = np.ravel(value)

    def step(self):
        """Run one step; return the outputs."""
        store = NumpyStore(self.layout.blocks, self.values)
        for bound in self.layout.groups:
            group = bound.group
            reads = [store.read(plan) for plan in bound.reads]
            previous = [store.read_previous(plan) for plan in bound.previous]
            for values, operands in (
                (reads, group.reads),
                (previous, group.previous),
            ):
                for value, operand in zip(values, operands, strict=True):
                    assert value.shape == operand.shape
            result = group.builder.step(group.ops, reads, previous)
            for kind, write in (
                ("sets", store.set),
                ("incs", store.inc),
                ("updates", store.update),
            ):
                operands = getattr(group, kind)
                for write_plan, value, operand in zip(
                    getattr(bound, kind), getattr(result, kind), operands, strict=True
                ):
                    assert np.shape(value) == operand.shape
                    write(write_plan, value)
        outputs = [
            store.read_final(plan) if updated else store.read(plan)
            for plan, updated in zip(
                self.layout.outputs, self.layout.after_updates, strict=True
            )
        ]
        final = store.final()
        for block in self.layout.blocks:
            if block.role is Role.STATE:
                self.values[block.number] = final[block.number]
        return outputs


def check_same_values(operators, outputs=(), inputs=(), n_steps=4):
    """Assert that the compiled form of operators computes what nengo's steps compute.

    Inputs get new values in each step; all outputs and all state must agree.
    """
    roles, layout = compile_operators(operators, outputs, inputs)
    states = [
        base
        for base, role in roles.items()
        if role in (Role.STATE, Role.CONSTANT) and not base.sparse
    ]
    rng = np.random.RandomState(0)
    fed = [[rng.randint(-4, 5, size=s.shape) for s in inputs] for _ in range(n_steps)]

    def feed(signals, n):
        for signal, value in zip(inputs, fed[n], strict=True):
            if signal in signals:
                signals[signal][...] = value

    expected = core_steps(operators, n_steps, [*outputs, *states], feed)
    program = LayoutProgram(layout)
    for n in range(n_steps):
        for signal, value in zip(inputs, fed[n], strict=True):
            program.feed(signal, value)
        found = program.step() + [program.value_of(base) for base in states]
        for signal, value, wanted in zip(
            [*outputs, *states], found, expected[n], strict=True
        ):
            np.testing.assert_allclose(
                np.reshape(value, wanted.shape),
                wanted,
                rtol=1e-12,
                atol=1e-12,
                err_msg=f"{signal} ({roles[signal.base]}) after step {n + 1}",
            )
    return layout


# --------------------------------------------------------------------------------------
# Generated programs
# --------------------------------------------------------------------------------------


def _describe(op):
    text = ", ".join(
        f"{kind} {[s.name for s in getattr(op, kind)]}"
        for kind in ("sets", "incs", "reads", "updates")
        if getattr(op, kind)
    )
    slices = [getattr(op, f"{side}_slice", None) for side in ("src", "dst")]
    return f"{type(op).__name__}: {text}" + (f" {slices}" if any(slices) else "")


@dataclass
class Generated:
    """Operators that read and write views of a few bases, in a scrambled order."""

    operators: list
    outputs: list
    inputs: list

    def __repr__(self):
        lines = [f"  {_describe(op)}" for op in self.operators]
        lines.append(f"  outputs {self.outputs}, inputs {self.inputs}")
        return "\n".join(["", *lines])


class _Generator:
    def __init__(self, draw, basic):
        self.draw = draw
        self.basic = basic
        self.operators = []
        self.n_signals = 0
        # signals whose values are final at this point of the step
        self.readable = []

    def choose(self, options):
        return self.draw(st.sampled_from(options))

    def number(self, low, high):
        return self.draw(st.integers(low, high))

    def base(self, shape, kind, dtype=np.float64):
        rng = np.random.RandomState(self.n_signals)
        self.n_signals += 1
        name = f"{kind}{self.n_signals}"
        return Signal(rng.randint(-3, 4, size=shape).astype(dtype), name=name)

    def view(self, signal):
        """Return a signal or a view of it, not of a view: nengo does not know those."""
        if signal.is_view or signal.ndim == 0:
            return signal
        how = self.choose(
            ["whole"] * 3 + ["slice", "step", "backwards", "column", "reshape"]
        )
        n = signal.shape[0]
        if how == "slice":
            low = self.number(0, n - 1)
            return signal[low : self.number(low + 1, n)]
        if how == "step" and n > 2:
            return signal[self.number(0, 1) :: 2]
        if how == "backwards":
            return signal[::-1]
        if how == "column" and signal.ndim == 2:
            column = self.number(0, signal.shape[1] - 1)
            return signal[:, column : column + 1]
        if how == "reshape":
            return signal.reshape((signal.size,))
        return signal

    def source(self, size=None):
        """Return a readable signal, or one with a given number of elements, or 1."""
        signal = self.view(self.choose(self.readable))
        if size is None or (signal.ndim == 1 and signal.size in (1, size)):
            return signal
        return self.base((size,), "constant")

    def write(self, target, increment):
        """Add operators that set or increment a one-dimensional view."""
        n = target.size
        if not increment:
            how = self.choose(
                ["copy"] * 3 + ["reset", "callback", "list", "reset and copy"]
            )
        else:
            how = self.choose(
                ["copy"] * 4 + ["list", "elementwise", "dot", "scalar", "nothing"]
            )
        if how == "copy":
            self.add(Copy(self.source(n), target, inc=increment))
        elif how == "list":
            source = self.source()
            source = source.reshape((source.size,)) if _contiguous(source) else source
            if source.ndim != 1:
                source = self.base((3,), "constant")
            chosen = [self.number(-source.size, source.size - 1) for _ in range(n)]
            into = None
            if self.draw(st.booleans()):
                into = list(self.draw(st.permutations(range(n))))
                if increment and n > 1 and self.draw(st.booleans()):
                    into[0] = into[-1] - n
            self.add(
                Copy(source, target, src_slice=chosen, dst_slice=into, inc=increment)
            )
        elif how == "reset":
            self.add(Reset(target, value=self.number(0, 2)))
        elif how == "reset and copy":
            self.add(Reset(target))
            self.write(target, increment=True)
        elif how == "callback" and self.basic:
            self.add(Reset(target, value=2))
        elif how == "callback":
            source = self.source(n)
            if source.size != n:
                source = self.base((n,), "constant")
            self.add(Callback(source, target))
        elif how == "elementwise":
            self.add(ElementwiseInc(self.source(n), self.full(n), target))
        elif how == "dot":
            x = self.source()
            x = x if x.ndim == 1 else self.base((2,), "constant")
            self.add(DotInc(self.base((n, x.size), "weights"), x, target))
        elif how == "scalar":
            self.add(DotInc(self.base((), "weights"), self.full(n), target))

    def full(self, n):
        source = self.source(n)
        return source if source.size == n else self.base((n,), "constant")

    def add(self, op):
        self.operators.append(op)


def _contiguous(signal):
    return not signal.is_view or signal.initial_value.flags.c_contiguous


@st.composite
def generated_programs(draw, basic=False):
    """Draw operators over bases that are written part by part.

    All operators are nengo's own if ``basic``.

    The parts of all bases are written in a random order, each from parts that were
    finished before; so bases can copy parts of each other in a circle, as passthrough
    Nodes do.
    """
    make = _Generator(draw, basic)
    inputs = [make.base((n,), "input") for n in draw(st.lists(st.integers(1, 4)))[:2]]
    constants = [
        make.base((3,), "constant"),
        make.base((2, 3), "constant"),
        make.base((2,), "integers", np.int64),
    ]
    make.readable += constants + inputs

    # states that change at the end of the step are readable at any time
    delayed = [
        make.base((make.number(1, 4),), "delayed") for _ in range(0 if basic else 2)
    ]
    make.readable += delayed

    parts, whole = [], {}
    for _ in range(make.number(1, 5)):
        n = make.number(1, 6)
        base = make.base((n,), "base")
        cuts = sorted({make.number(1, n) for _ in range(make.number(0, 2))} - {n})
        bounds = list(zip([0, *cuts], [*cuts, n], strict=True))
        style = make.choose(["set", "set", "reset all", "accumulate", "mixed"])
        if style == "reset all":
            make.add(Reset(base, value=make.choose([0, 0, 0, 1])))
        whole[base] = len(bounds)
        for low, high in bounds:
            target = base if high - low == n else base[low:high]
            parts.append((base, target, style))
    for base, target, style in draw(st.permutations(parts)):
        if style == "set" or (style == "mixed" and draw(st.booleans())):
            make.write(target, increment=False)
        else:
            for _ in range(make.number(1, 2)):
                make.write(target, increment=True)
        make.readable.append(target)
        whole[base] -= 1
        if whole[base] == 0 and target is not base:
            make.readable.append(base)

    if not basic and draw(st.booleans()):
        n = make.number(1, 4)
        state, output = make.base((n,), "voltage"), make.base((n,), "output")
        make.add(Integrate(make.full(n), state, output))
        make.readable += [state, output]
    for target in reversed(delayed):
        # all reads come before the update, so these must not read each other in turn
        make.readable.remove(target)
        if target.size > 1 and draw(st.booleans()):
            # the rest stays as it is
            target = target[: target.size - 1]
        make.add(Delay(make.full(target.size), target))

    make.readable += delayed
    outputs = [make.view(make.choose(make.readable)) for _ in range(make.number(1, 4))]
    operators = list(draw(st.permutations(make.operators)))
    return Generated(operators, outputs, inputs)
