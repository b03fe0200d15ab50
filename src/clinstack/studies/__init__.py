"""Several runs -> one table and one report."""
