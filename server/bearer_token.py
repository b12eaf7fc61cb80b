"""The one secret of those who may call over HTTP: what it must be like, and where it is kept."""

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..loop.errors import LoopError

VARIABLE = "PROGRESSIVE_TRAINING_TOKEN"
LEAST_CHARACTERS = 32
_MAKE_ONE = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
_OR_ANOTHER = f"or name another file with --token-file, or give a token in {VARIABLE}"
_NAME = "token"
_MOST_BYTES = 4096


@dataclass(frozen=True)
class Token:
    """A secret of which only the hash is kept, so that it is in no traceback."""

    digest: bytes

    @classmethod
    def of(cls, text: str, where: str, hint: str = _MAKE_ONE) -> "Token":
        """Raises `LoopError` for one that is too short to be a secret, or can't stand in a header."""
        if len(text) < LEAST_CHARACTERS:
            raise LoopError(f"the token has fewer than {LEAST_CHARACTERS} characters", where=where, hint=hint)
        if not text.isascii() or not text.isprintable() or " " in text:
            raise LoopError("the token holds more than printable ASCII characters", where=where, hint=hint)
        return cls(_digest(text))

    def matches(self, text: str) -> bool:
        """In the same time for every text."""
        return hmac.compare_digest(self.digest, _digest(text))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def find_token(file: str | None, project: Path) -> Token | None:
    """The token in the named file, else in the environment, from where it is taken away; None if neither is given.

    Raises `LoopError` for a file that can't be read, that others may read or write, that lies in the project, where
    the user's code would see it, or a token that is none.
    """
    given = os.environ.pop(VARIABLE, None)
    if file is None:
        return None if given is None else Token.of(given.strip(), VARIABLE)
    path = Path(file)
    _require_outside(path, project)
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise LoopError("is not a file", where=file, hint="give --token-file a file with the token in it")
        if mode & stat.S_IRWXO:
            raise LoopError("other users may read or change the token", where=file, hint=f"chmod 600 {file}")
        return Token.of(path.read_text(encoding="ascii").strip(), file)
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else "it holds no ASCII text"
        raise LoopError(f"the token can't be read: {told}", where=file, hint=_MAKE_ONE) from error


def own_file() -> Path:
    """Where the user's own token lies: in their configuration folder, which no sandbox shows and no project holds."""
    given = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    try:
        folder = given if given.is_absolute() else Path.home() / ".config"
    except RuntimeError as error:
        raise LoopError("there is no home folder to keep a token in", hint=f"set HOME, {_OR_ANOTHER}") from error
    return folder / "progressive-training" / _NAME


def own_token(file: Path, project: Path | None = None) -> str:
    """The user's own token in `file`, the same for ever; made at the first call, and nobody else can read it.

    Raises `LoopError` for a file that others could have read or put there, one that lies in the project, and a folder
    in which none can be made.
    """
    if project is not None:
        _require_outside(file, project)
    hint = f"remove it: the next start makes another, for which each client is set up again; {_OR_ANOTHER}"
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _folder(file.parent) as folder:
            with suppress(FileExistsError):
                _make(folder)
            content, found = _read(folder)
    except OSError as error:
        told = f"the token can't be kept there: {error.strerror}"
        raise LoopError(told, where=str(file), hint=f"see that the folder may be written, {_OR_ANOTHER}") from error
    if not stat.S_ISREG(found.st_mode):
        raise LoopError("is not a file", where=str(file), hint=hint)
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise LoopError("another user may know or have put the token there", where=str(file), hint=hint)
    text = content.decode("ascii", errors="replace").strip()
    Token.of(text, str(file), hint)
    return text


def _require_outside(path: Path, project: Path) -> None:
    if path.resolve().is_relative_to(project.resolve()):
        raise LoopError(
            "the token lies in the project, where trainings can read it",
            where=str(path),
            hint=f"keep it elsewhere, with --token-file or in {VARIABLE}",
        )


@contextmanager
def _folder(path: Path) -> Generator[int]:
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield opened
    finally:
        os.close(opened)


def _make(folder: int) -> None:
    """Raises FileExistsError where there is one. Two servers that start at once agree on the first one's."""
    with suppress(FileNotFoundError):
        os.stat(_NAME, dir_fd=folder, follow_symlinks=False)
        raise FileExistsError
    written = f".{_NAME}-{secrets.token_hex(8)}"
    opened = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        os.write(opened, f"{secrets.token_urlsafe(32)}\n".encode())
        os.fsync(opened)
        os.link(written, _NAME, src_dir_fd=folder, dst_dir_fd=folder)  # all of it at once, and over nothing
    finally:
        os.close(opened)
        os.unlink(written, dir_fd=folder)


def _read(folder: int) -> tuple[bytes, os.stat_result]:
    opened = os.open(_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        found = os.fstat(opened)
        return os.read(opened, _MOST_BYTES) if stat.S_ISREG(found.st_mode) else b"", found
    finally:
        os.close(opened)
