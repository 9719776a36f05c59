"""How fast, how cheap, how much gets out: numbers of real containers, printed and never asserted."""
