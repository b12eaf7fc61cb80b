"""How a project's files are found, read and written.

paths → tree → records → transaction, all under lock and told in journal; digest, manifest and cache know what was
read before, durable syncs it, json_object reads what others wrote.
"""
