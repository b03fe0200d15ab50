"""Raw files -> notes -> tasks and corpora."""
