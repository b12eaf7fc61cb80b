"""The folder that PYTHONPATH names: only `sitecustomize.py` may be found there, so that no name of ours shadows a user's."""
