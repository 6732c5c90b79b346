"""The numbers that decide between ways to compute the same, all of them.

Each has its unit, and what was measured, on two cores of an x86 processor with
TensorFlow 2.21. Results never depend on them, beyond rounding. ``python -m
nengo_dl.benchmarks tuning`` measures those of the first two parts again, on the machine
that it runs on. The others say which networks to run with another value, by ``python -m
nengo_dl.benchmarks``.
"""

from __future__ import annotations

__all__ = [
    "CALLBACK_FUNCTION_SECONDS",
    "CALLBACK_SECONDS",
    "CHUNK_BYTES",
    "CHUNK_SECONDS",
    "COLUMNS_AT_ONCE",
    "COMPARED_VALUES",
    "COMPILE_SECONDS",
    "FEWEST_EVENT_COLUMNS",
    "FEWEST_EVENT_ROWS",
    "FEWEST_EVENT_WEIGHTS",
    "FEWEST_PATCH_FILTERS",
    "FEW_BYTES",
    "FEW_ELEMENTS",
    "FEW_SLICES",
    "FEW_TERMS",
    "GATHERED_ELEMENTS",
    "GROUP_COMPILE_SECONDS",
    "KEPT_ELEMENTS",
    "LARGE_ITEM_BYTES",
    "LARGE_RESULT",
    "LONGEST_FUSED_SUM",
    "LONGEST_LITERAL",
    "LONG_ROW",
    "LONG_STEP_SECONDS",
    "MANY_NEURONS",
    "MORE_EVENTS",
    "MOST_ALIKE",
    "MOST_EVENTS",
    "MOST_EVENT_ITEMS",
    "MOST_FUSED_TAPS",
    "MOST_LARGE_APART",
    "MOST_PADDED",
    "MOST_PATCH_CHANNELS",
    "MOST_PATCH_TAPS",
    "MOST_PIECES",
    "MOST_SHAPES",
    "MOST_SLICED_RUNS",
    "MOST_STACKED",
    "MOST_STEPS",
    "MOST_UNROLLED",
    "MOST_ZEROS",
    "NEURONS_SECONDS",
    "NEURON_SECONDS",
    "OPERATOR_SECONDS",
    "PIECE_SECONDS",
    "SHORT_RUN_SECONDS",
    "SMALL_CHUNK_BYTES",
    "SMALL_OUTPUT",
    "SMALL_OVERWRITTEN",
    "SMALL_STATE",
    "SMALL_SUMMED_BLOCK",
    "TENSOR_NODE_SECONDS",
    "WEIGHTS_PER_ITEM",
    "WEIGHT_SECONDS",
    "WORTH_A_CALL_SECONDS",
    "WORTH_HOISTING",
    "in_use",
]

# -- NumPy or a compiled program

#: Seconds that NumPy takes for an operator or a group of them, more for the equations
#: of neurons (those of LIF), and besides for each neuron and each weight.
OPERATOR_SECONDS = 3e-6
NEURONS_SECONDS = 1.5e-5
NEURON_SECONDS = 2e-8
WEIGHT_SECONDS = 3e-10

#: Weights of a matrix. NumPy multiplies stacks of smaller ones at once. (20 of 1 x 50:
#: 2 µs, one by one 36; 5 of 100 x 100: 10 and 20 µs.)
MOST_STACKED = 2**14

#: Seconds of an eager call of TensorFlow code: more than a compiled step.
TENSOR_NODE_SECONDS = 1e-3

#: Seconds of a callback in a graph loop, for each further function that it calls, and
#: of a compiled piece between two callbacks.
CALLBACK_SECONDS = 1.5e-4
CALLBACK_FUNCTION_SECONDS = 2e-5
PIECE_SECONDS = 3e-5

#: Seconds to compile a loop over steps, and more for each group of operators. (One
#: ensemble, 6 groups: 0.3; a basal ganglia with memories, 21 groups: 1.5; 40 ensembles
#: of different sizes, 80 groups: 2.9.) Runs that NumPy steps finish before are not
#: compiled.
COMPILE_SECONDS = 0.2
GROUP_COMPILE_SECONDS = 0.035

#: Seconds of a step in NumPy. Of networks with shorter ones, single steps are never
#: compiled: a robot does not wait half a second for its first command.
LONG_STEP_SECONDS = 2e-2

#: Seconds. Runs whose NumPy steps would take less are not worth a call of the compiled
#: loop.
SHORT_RUN_SECONDS = 5e-4

# -- Products

#: Terms. A sum of up to so many fuses with the multiplication in XLA's CPU compiler; a
#: longer one becomes a slow tree of windows, and matrix products win.
LONGEST_FUSED_SUM = 32

#: Columns that are added in one iteration of a product with spikes. (2,000 x 2,000, 60
#: spikes: 1 column 106 µs, 2 columns 71, 8 columns 63.)
COLUMNS_AT_ONCE = 8

#: Part of all elements that may differ from zero before spikes are multiplied as any
#: other vector; and how much more may differ in all for each further item of a
#: minibatch. ``run recurrent dense_recurrent``
MOST_EVENTS = 1 / 8
MORE_EVENTS = 0.3

#: Items of a minibatch, and weights that there have to be for each of them, so that
#: spikes are looked for in each item. (2,000 x 2,000, 52 spikes: 32 items 1,000 µs
#: instead of 1,900, 64 items 2,280 instead of 2,900; 1,000 x 1,000: 16 items 260 µs
#: instead of 300, 32 items 470 instead of 440.)
MOST_EVENT_ITEMS = 32
WEIGHTS_PER_ITEM = 2**16

#: Rows, columns and weights of a matrix that is multiplied by columns where few
#: elements of the vector differ from zero. (2,000 x 2,000 with 52 spikes: 60 µs, all of
#: it 330.) Vectors of few elements are those of encoders, not spikes.
FEWEST_EVENT_ROWS = 128
FEWEST_EVENT_COLUMNS = 256
FEWEST_EVENT_WEIGHTS = 2**18

#: Weights per output. Kernels of convolutions of up to so many are applied by
#: elementwise multiplications, which XLA fuses into one loop; larger ones by
#: convolution routines. Twice as many where several groups would need one call of the
#: routine each. (32 x 32 x 3, 16 filters: 3 x 3 fused 50 µs, routine 180 µs; 5 x 5
#: fused 400 µs, routine 240.)
MOST_FUSED_TAPS = 32

#: Filters. A single kernel with so many or more, and few weights, is applied by one
#: product of matrices, in which what each output sees is a row. (28 x 28, 3 x 3 in
#: steps of 2, 16 filters, 16 items: 99 µs, fused 206, routine 166; 32 x 32 x 3, 3 x 3,
#: 16 filters: 46, 234, 77 µs; 5 x 5: 83, routine 201. With 4 filters, fused is faster.)
FEWEST_PATCH_FILTERS = 8

#: How many weights per output are few, if the input has at most so many channels. (With
#: 16 channels, 3 x 3, the routine takes half as long.)
MOST_PATCH_TAPS, MOST_PATCH_CHANNELS = 80, 4

#: Columns. Products with matrices of up to so many are not worth keeping for the way
#: back. ``training lmu mlp-varying-spiking``
FEW_TERMS = 8

#: Neurons, of all items. Of so many, voltages are written before they are compared with
#: the threshold: one more division, but fewer passes over memory. (LIF neurons of equal
#: ensembles: 300,000, 494 µs instead of 664; 34,000, 86 instead of 106. With 16,000 it
#: takes longer, since XLA divides the kernel among threads.) ``run
#: large_brain:n_ensembles=4000``
MANY_NEURONS = 2**15

# -- Merging, and where signals lie

#: Kernels of products of different shapes. Where there would be more, matrices of up to
#: so many weights are filled up with zeros, and those of up to so many operators of one
#: shape. (40 ensembles of different sizes: a first run of 2.9 s, padded 0.9.)
MOST_SHAPES = 12
MOST_PADDED = 2**13
MOST_ALIKE = 16

#: Values of a result (of all items), by kind of processor. More take longer to compute
#: than merging them with others could save. (GPUs: a guess, from how much longer a
#: launch takes.) ``run convnet``
LARGE_RESULT = {"CPU": 2**14, "GPU": 2**20}

#: Large operators of one kind. Kernels take time to compile: more of them are merged.
#: ``run convnet``
MOST_LARGE_APART = 16

#: Switches between blocks. Beyond, one gather is cheaper than a concatenation. ``run
#: separate spa``
MOST_PIECES = 16

#: Elements. So many are gathered in the time that another kernel takes.
#: ``run large_brain spa``
GATHERED_ELEMENTS = 2**10

#: Values of a block. In larger ones, several terms for an element are added by a
#: segment sum, two to three times faster in a compiled loop than a table of sources.
#: ``run spa``
SMALL_SUMMED_BLOCK = 64

#: Slices, and elements of their rows. Up to so many of at least so long rows are read
#: one by one. (What several connections read of one ensemble is then computed once, and
#: copied.) ``run channel spa``
FEW_SLICES = 4
LONG_ROW = 64

#: Elements. Longer tables are passed to compiled functions instead of being written
#: into them. ``run array``
LONGEST_LITERAL = 4096

#: Runs of equally large signals. Up to so many are rearranged by slices, which XLA
#: fuses; beyond by gathers, which are as fast from about ten runs on and keep the
#: number of instructions, and so the time to compile them, constant. ``run separate``
MOST_SLICED_RUNS = 4

#: Zeros for each shape that is merged with others by filling up matrices. So many take
#: 5 µs in a step, and the kernel that they save 35 ms to compile.
#: ``run large_brain:n_ensembles=4000``
MOST_ZEROS = 2**15

# -- The loop over steps

#: Steps of one call of an executor. ``run integrator``
MOST_STEPS = 1024

#: Bytes of inputs and outputs that one call of the compiled loop may hold. ``run
#: array``
CHUNK_BYTES = 2**25

#: Bytes that a call may always hold, and seconds of NumPy steps that are worth a call:
#: room for more makes short runs slow. (ResNet-20, 4 images in one step: 18.5 ms with
#: room for 340 steps, 8 with room for 20.) ``run array``
SMALL_CHUNK_BYTES = 2**21
WORTH_A_CALL_SECONDS = 0.3

#: Elements of a parameter. To arrange so many takes longer than to find out whether the
#: parameter has changed since the last call (20 µs). ``run large_brain``
KEPT_ELEMENTS = 2**14

#: Seconds that a call may take, so that a run can be watched and interrupted.
CHUNK_SECONDS = 0.5

#: Steps in the body of a loop that XLA compiles. It gains nothing from more, and
#: compile time explodes: fifty steps of a network of two ensembles took more than ten
#: minutes.
MOST_UNROLLED = 4

#: Multiplications in a step that are worth a loop around the loop over steps, which
#: takes about a microsecond whenever an input changes. ``run mlp convnet``
WORTH_HOISTING = 2**17

#: Elements of an input that are compared before all of them are. ``run mlp``
FEW_ELEMENTS = 16

#: Values of all items. State of up to so many can take the step number along. In the
#: loop of an integrator of 100 neurons that saves two kernels of eleven (the increment,
#: and a copy of what it would overwrite): 1.5 times as fast. As a part of larger state,
#: steps of seven other networks took as long as before. ``run integrator``
SMALL_STATE = 64

#: Values of a matrix of the state, of all items. Larger ones are computed after what is
#: computed from the old ones, so that XLA need not copy either: that takes some
#: operations on numbers. (Weight changes, CPU time of a step, on a busy machine: PES,
#: 8 x 1,000: 20 µs with copies, 15 without; BCM, 300 x 300: 150 and 87.) ``run pes``
SMALL_OVERWRITTEN = 2**11

#: Values. Outputs of up to so many share an array; of larger ones, each has its own,
#: since joining their values takes longer than writing them one by one. ``run spa``
SMALL_OUTPUT = 64

# -- Minibatches

#: Bytes of minibatches that are made one after the other. ``training convnet``
FEW_BYTES = 2**21

#: Bytes. Items of so many take longer to copy than to find. ``training convnet``
LARGE_ITEM_BYTES = 2**13

#: Values that are compared at once, about. ``training mlp-constant``
COMPARED_VALUES = 2**17


def in_use() -> tuple[object, ...]:
    """Return all numbers: programs that were made with others are not the same."""
    return tuple(repr(globals()[name]) for name in __all__ if name.isupper())
