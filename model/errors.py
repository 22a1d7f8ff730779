"""The two kinds of failure that are not bugs: what a user can mend, and an image that cannot be read."""


class LookalikeError(Exception):
    """Something a user can mend, said in one sentence: what was expected, what came, where.

    The command line prints it without a stack trace and exits non-zero.
    """


class GateError(LookalikeError):
    """A run did not pass a check that guards publication; what was served before still is."""


class ImageError(ValueError):
    """An image that cannot be turned into pixels; the message is the reason, for a row in `rejects`."""
