"""Runs a training or an evaluation as a detached job that outlives the server.

placing (where it goes) → job (what to run, how it ended) → executor (the seam) → backends, which chooses local or
cluster/ → runner/ (a process of its own, the job's parent) → records and logs (what to show). sandbox says what a job
is wrapped in; warm/ has interpreters ready that have imported what the next job needs.
"""
