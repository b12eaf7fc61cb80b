"""Says what a score means: how each metric moved, and whether that is more than noise.

comparison → noise/ → labels → tables → analysis; lineage shows every version's label in one line.
"""
