"""The detached process that is a job's parent. It imports the standard library alone and nothing of ours from outside.

main → job_order → supervisor → launch → limits, landlock, watching, gpu and capped_log.
attempt_files, processes and scratch serve them all.
"""
