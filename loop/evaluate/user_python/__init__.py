"""What an evaluation runs in the user's interpreter, with the standard library alone.

project_copy → run_evaluator → read_checkpoint; run_external_model answers for a model of Models/external/.
"""
