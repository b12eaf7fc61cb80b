"""What runs the version's own code, in processes that hold no score: script, data, model.

In the order in which they are used: script, validation, checkpoint, tracing, probe, process.
"""
