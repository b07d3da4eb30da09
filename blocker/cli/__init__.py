"""The command line: one small module per verb, which parses, calls and prints, and decides nothing."""
