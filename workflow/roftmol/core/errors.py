"""The one error that a user is meant to read."""


class UserError(Exception):
    """Bad input, named so that it can be mended: the file, the row, the value, and what to do.

    The command line prints it as one line without a traceback and exits with status 2.
    """
