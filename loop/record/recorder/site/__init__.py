"""The folder that PYTHONPATH names. Nothing else may be found there, so that no name of ours shadows a user's."""
