"""Runs a training or an evaluation as a job that outlives the server that started it.

In the server: a Job (job) goes to an Executor (executor) by way of backends: local starts it on this machine, cluster/
hands it to Slurm or Ray; starting has the runner's command line. placing makes the job what the rules ask for, sandbox
wraps it, records and logs read what it left in its attempt's folder.

In a process of its own, the runner (runner/, in a bare interpreter, standard library only): starts the script, keeps
its log and its limits, and writes down how it ended.

Warm starts (warm/) have a part in each: next_jobs and server_keeper in the server, runner_main and runner_spare in a
runner that waits, user_interpreter in the interpreter that will run the script.
"""
