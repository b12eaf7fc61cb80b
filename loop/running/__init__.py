"""Runs a training or an evaluation as a detached job that outlives the server.

job (what to run, how it ended) → executor (the seam) → local (one implementation) → runner (the job's parent, in the
user's interpreter; with attempt, processes, capped_log, scratch, order, launch, limits, gpu and ending it is standard
library only) → logs (what to show). sandbox says what a job is wrapped in.
"""
