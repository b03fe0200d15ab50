"""One file per head adapter."""
