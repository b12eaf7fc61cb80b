"""What MCP has beside tools: prompts, resources, skills, tasks (kept in task_store), watching (subscriptions), asking."""
