"""The detached process that is a job's parent. It imports the standard library alone and nothing of ours from outside.

main → job_order → supervisor → launch → limits, watching, gpu and capped_log → signals.
attempt_files, processes and scratch serve them all.
"""
