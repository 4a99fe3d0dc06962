"""A potential as one compiled file that runs without tribond: traced, compiled, packed, and read again."""
