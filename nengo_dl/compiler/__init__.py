"""From a built Nengo model to an ordered list of grouped operators with a data layout.

Nothing in this package imports TensorFlow: every pass is a pure function on NumPy data
and Nengo's own operators and signals, which are never modified.
"""
