"""The whole road on built-in data."""
