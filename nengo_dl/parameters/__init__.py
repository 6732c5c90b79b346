"""Parameters of a simulated network: reading, saving, loading, and storing back."""
