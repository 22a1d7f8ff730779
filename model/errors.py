"""The two kinds of failure that are not bugs: what a user can mend, and an image that cannot be read."""


class LookalikeError(Exception):
    """Something a user can mend, said in one sentence: what was expected, what came, where.

    The command line prints it without a stack trace and exits non-zero.
    """


class GateError(LookalikeError):
    """A run did not pass a check that guards publication; what was served before still is.

    Args:
        message: what was found, and what is allowed.
        gates: name of each gate that failed, one or more.
        exit_code: what the command line exits with.
    """

    def __init__(self, message: str, gates: tuple[str, ...], exit_code: int) -> None:
        super().__init__(message)
        self.gates = gates
        self.exit_code = exit_code


class ImageError(ValueError):
    """An image that cannot be turned into pixels; the message is the reason, for a row in `rejects`."""


class TooManyPixelsError(ImageError):
    """A picture larger than the limit of pixels, told from its header."""


class NotEnoughMemoryError(ImageError):
    """A picture for which the memory did not suffice that its decoder may take."""
