"""Runs a training or an evaluation as a detached job that outlives the server.

job (what to run, how it ended) → executor (the seam) → local (one implementation) → runner (a process of its own, in
the user's interpreter) → supervisor (the job's parent) → logs (what to show). sandbox says what a job is wrapped in.

Warm starts: keeper (holds spares) → spare (the runner's side of one) → doorway (folders that become writable in a
sandbox that runs already) and warm (what the waiting interpreter does). Runner, supervisor, spare, doorway, warm,
attempt, processes, signals, capped_log, scratch, order, launch, limits, gpu and ending are standard library only.
"""
