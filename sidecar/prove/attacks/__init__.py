"""Every way out that we know of, one function each. A new one is a function beside these, decorated with `attack`."""
