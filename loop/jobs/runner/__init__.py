"""The detached process that is a job's parent. It imports the standard library alone and nothing of ours from outside.

command (how the server starts it) → main → job_files → supervisor → launch → limits, gpu and capped_log → signals.
attempt_files, processes and scratch serve them all.
"""
