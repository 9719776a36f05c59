"""What the tests stand on: stacks of real containers, a watcher upstream, waiting with deadlines."""
