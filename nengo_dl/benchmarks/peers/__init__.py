"""Programs for other libraries, to compare with.

Each file is read by a worker process in an interpreter that has its library, such as
``--simulator nest_simulator.py:Simulator --python nest/bin/python``. Files import their
neighbours as scripts do, and nothing else of nengo_dl.
"""
