# Keeps a turn at the loop that the user asked for. Without a loop in the project nothing is started and nothing said.
[ -f "${CLAUDE_PROJECT_DIR:-.}/.progressive-training/loop.json" ] || exit 0
exec sh "$(dirname -- "$0")/program.sh" keep-going
