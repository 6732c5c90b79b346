"""Starting the processes of a training: ``python -m nengo_dl.launch script.py``."""
