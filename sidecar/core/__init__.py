"""The pure core: it decides; it knows no clock, no I/O, no randomness, no log and no thread."""
