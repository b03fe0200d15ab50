"""Library of runs -> answers."""
