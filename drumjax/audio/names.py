"""Names of sounds that can stand in the names of files, and strangers' words in sentences."""

import re
import unicodedata
from typing import Any


def file_word(text: str, longest: int) -> str:
    """A text as part of a file's name: small ASCII letters, digits and _, at most `longest`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    word = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    return word[:longest].strip("_") or "sound"


def is_name(text: object, longest: int) -> bool:
    """Whether it is a text of letters, digits, spaces, - and _ that can be part of a file's name.

    It begins with a letter or a digit, ends in no space, and has 1 to `longest` signs.
    """
    if not isinstance(text, str) or not 1 <= len(text) <= longest:
        return False
    return re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9 _-]*[A-Za-z0-9_-])?", text) is not None


def brief(value: Any) -> str:
    """A stranger's value as text that can be printed, cut where it is long."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
