"""What the user fixed: reading → schema (with execution) → checks. json_places says where in the file a fault lies."""
