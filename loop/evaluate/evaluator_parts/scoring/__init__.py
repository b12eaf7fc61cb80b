"""What holds targets and computes scores, and never runs the version's code.

In the order in which they are used: session, frozen, reading, acceptance, walk, versions; for texts spelling, reader,
texts; then measure, output, hardest, external.
"""
