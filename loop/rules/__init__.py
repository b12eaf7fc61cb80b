"""What the user fixed: reading → schema (with execution and stop_when) → checks.

json_places says where in the file a fault lies.
"""
