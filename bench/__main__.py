"""`python -m bench` and `disentanglement-bench` are `bench`."""

import sys

from bench.errors import RequestError, check_package


def main() -> None:
    """Entry point of both commands, which holds even where another package is called `bench`."""
    try:
        check_package()
    except RequestError as error:
        print(f"bench: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    from bench import cli  # only now: it may be the other package's

    cli.main()


if __name__ == "__main__":
    main()
