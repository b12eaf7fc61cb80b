"""The command line: main → options → steps, run, serve, dashboard, track, demo, setup or doctor (with probe_job).

clients are the agents that setup knows, and token; progress_display shows a running job; invocation is this program's
name as it can be pasted.
"""
