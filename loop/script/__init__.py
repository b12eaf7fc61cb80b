"""What a training script is and imports, what differs between two, and the way to move it to another version."""
