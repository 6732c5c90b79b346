"""The neuromorphic intermediate representation (NIR), from and to Nengo networks."""
