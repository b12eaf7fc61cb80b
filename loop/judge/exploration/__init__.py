"""A look at a version's samples, predictions and model by a short Python snippet, which changes nothing.

exploration → exploration_job → user_python/run_snippet.py; findings is what is kept of one.
"""
