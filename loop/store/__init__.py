"""How a project's files are found, read and written.

paths → tree → records → transaction. A change holds lock and is written into journal. cache, digest and manifest save
reading a file twice, durable syncs what a job wrote, json_object reads what others wrote.
"""
