"""Errors that speak to the user: one sentence that says what is wrong and what to do."""


class DrumjaxError(Exception):
    """The user's input cannot be used; the message is shown as it is and the exit status is 1."""


class AudioDecodeError(DrumjaxError):
    """A sound file cannot be read, or what it holds is no usable sound.

    Attributes:
        reason: the same in a few words and without the file's name, to count files by.
    """

    def __init__(self, message: str, reason: str = "unreadable"):
        super().__init__(message)
        self.reason = reason


class DataError(DrumjaxError):
    """A folder, table or prepared data set cannot be used."""


class ConfigError(DrumjaxError):
    """A configuration is unknown, out of range, or differs from the one a work directory holds."""


class CheckpointError(DrumjaxError):
    """A checkpoint is missing, incomplete or damaged."""


class InstrumentError(DrumjaxError):
    """An instrument file is missing, damaged, of another kind, or made by a newer drumjax."""


class TrainingError(DrumjaxError):
    """Training cannot go on, such as when a loss is not a finite number."""
