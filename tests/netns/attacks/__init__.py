"""Every way out that we know of, one function each, and the scene that they are tried in."""
