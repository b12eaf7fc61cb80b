"""Warm starts: an interpreter that has imported what the next job needs, and waits for it.

leading_imports → server_keeper (in the server) → runner_main and runner_spare (in the waiting runner) →
user_interpreter (in the user's Python); late_mounts opens folders to a sandbox that runs already.
"""
