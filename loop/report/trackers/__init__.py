"""Mirrors of the loop in the user's experiment trackers: one run a version, made from our files and after the fact.

start_mirror     a Step that changed something starts a detached process, and never waits for it
mirror_process   that process: one at a time, one child a tracker, what was sent is remembered
version_as_run   a version as a run: parameters, curves, scores, files, the action as its note
tracker          what a tracker is; mlflow, tensorboard, trackio and wandb are the four
notifications/   beside them, the user: told of what they would want to be woken for
"""
