"""The scene in which the attacks of `sidecar.prove` are tried, and what only a test can try."""
