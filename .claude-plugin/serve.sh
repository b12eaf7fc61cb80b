# Starts the loop's MCP server for the project that Claude Code has open.
exec sh "$(dirname -- "$0")/program.sh" serve
