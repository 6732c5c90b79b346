"""The file that parameters are saved in."""
