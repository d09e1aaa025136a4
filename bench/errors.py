"""The one error that is the user's to mend."""


class RequestError(Exception):
    """A request that cannot be carried out: one line that names the thing and the remedy.

    The command line prints it and ends with exit code 2.
    """
