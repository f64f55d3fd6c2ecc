"""The compilation cache: a program compiled once is read back at the next start."""

import os
from pathlib import Path

from drumjax import __version__


def cache_folder() -> Path:
    """$DRUMJAX_CACHE, or drumjax below the user's cache folder."""
    if chosen := os.environ.get("DRUMJAX_CACHE"):
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(home) if home else Path.home() / ".cache") / "drumjax" / __version__


def use_cache() -> None:
    """Keep what JAX compiles from now on in `cache_folder`; commands call this, libraries do not.

    A folder that cannot be written to costs nothing but the time to compile anew.
    """
    import jax

    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return
    if not os.access(folder, os.W_OK):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
