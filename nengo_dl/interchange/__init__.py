"""Networks from, and for, other libraries."""
