"""The two kinds of failure that are not bugs: what a user can mend, and an image that cannot be read."""


class LookalikeError(Exception):
    """Something a user can mend, said in one sentence: what was expected, what came, where.

    The command line prints it without a stack trace and exits non-zero.
    """


class ImageError(ValueError):
    """An image that cannot be turned into pixels; the message is the reason, for a row in `rejects`."""
