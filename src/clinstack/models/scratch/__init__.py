"""One file per model that is trained from nothing."""
