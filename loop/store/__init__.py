"""How a project's files are found, read and written.

paths → tree → records → transaction. A change holds lock and is written into journal. cache, digest and manifest save
reading a file twice, durable syncs what a job wrote, leftovers reads what a job left.
"""
