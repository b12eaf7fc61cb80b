"""Mirrors of the loop in the user's experiment trackers: one run a version, made from our files and after the fact.

start_mirror        a Step that changed something starts a detached process, and never waits for it
mirror_process      that process: one at a time, one child a tracker, what was sent is remembered
version_as_run      a version as a run: curves, scores, files · run_params, run_note: its parameters and its note
tracker             what a tracker is; mlflow (with mlflow_answers), tensorboard, trackio and wandb are the four
"""
