"""The command line: main → options → steps, run, serve, dashboard, track, demo, setup (with clients) or doctor (with probe_job).

progress_display shows a running job; invocation is this program's name as it can be pasted.
"""
