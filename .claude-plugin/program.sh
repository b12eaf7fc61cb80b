# Runs progressive-training with the arguments given, from whichever installation there is, for the project that is open.
#
# The project's own .venv is left alone on purpose: opening a folder must not run a program that lies in it.
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

for program in "$(command -v progressive-training)" "$HOME/.local/bin/progressive-training" "$here/.venv/bin/progressive-training"; do
    [ -x "$program" ] && exec "$program" "$@" --project "${CLAUDE_PROJECT_DIR:-.}"
done
command -v uvx >/dev/null && exec uvx --from "$here" progressive-training "$@" --project "${CLAUDE_PROJECT_DIR:-.}"

cat >&2 <<END
progressive-training is not installed, and there is no uvx to run it from $here.
Next: pip install "$here", in an environment whose programs are on the PATH of Claude Code; then restart it
END
exit 127
