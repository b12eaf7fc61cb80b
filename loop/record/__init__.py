"""What really ran: measured inside the user's interpreter, read here without trust.

injection         starts the recorder in a job: variables, or install() in an interpreter that runs already
recorder/         what runs there; standard library only
facts             the files that it leaves, read as values; whatever is wrong with one is a problem, not an error
ranks             the facts of several processes as those of one run
checkpoint_facts  what a checkpoint says of itself; run in a child, like everything that opens one
disagreements     where the two say different things
"""
