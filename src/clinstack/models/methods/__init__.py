"""One file per PEFT method."""
