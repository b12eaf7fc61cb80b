"""Mirrors of the loop in the user's experiment trackers: one run a version, made from our files and after the fact.

trigger    a Step that changed something starts a detached process, and never waits for it
mirror     that process: one at a time, one child a tracker, what was sent is remembered
view       a version as a run: parameters, curves, scores, files, the action as its note
tracker    what a tracker is; mlflow_rest, tensorboard_files, trackio_runs and wandb_runs are the four
"""
