"""What MCP has beside tools: prompts, resources, skills_extension; user_decisions asks the user; tasks_extension with
job_tasks and task_records; status_subscriptions says when something changed.
"""
