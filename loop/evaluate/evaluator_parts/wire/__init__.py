"""What the processes of an evaluation say to each other: messages, whose large arrays are blocks of shared memory."""
