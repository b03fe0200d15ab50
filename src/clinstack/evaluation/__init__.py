"""A run -> findings."""
