"""What MCP has beside tools: prompts, resources and skills; asking the user; tasks with their task_store; watching."""
