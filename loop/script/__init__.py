"""What a training script is and imports; the way to move it to another version.

`source` holds the script itself and `changes` what differs between two: both are to be imported from here.
"""

from .changes import Changes, changed_statements, changed_symbols, symbol_shapes
from .imports import code_files, local_imports
from .source import MAIN, MODULE, Constant, Script, Symbol, SymbolKind, decode_script, read_script
from .version import with_version

__all__ = [
    "MAIN",
    "MODULE",
    "Changes",
    "Constant",
    "Script",
    "Symbol",
    "SymbolKind",
    "changed_statements",
    "changed_symbols",
    "code_files",
    "decode_script",
    "local_imports",
    "read_script",
    "symbol_shapes",
    "with_version",
]
