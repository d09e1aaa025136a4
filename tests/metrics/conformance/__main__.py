"""Write the conformance table: `python -m tests.metrics.conformance [METRIC ...] [--output FILE]`.

Exit code 0 if all values are within their bounds, 1 if one is not, 2 for a wrong request.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.console import say, stderr
from bench.errors import RequestError
from tests.metrics.conformance.engine import in_one_line, markdown, measure

PAGE = Path(__file__).resolve().parents[3] / "results" / "reference" / "conformance.md"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.metrics.conformance",
        description="Measure metrics on codes whose quality is known in advance.",
    )
    parser.add_argument("metrics", nargs="*", metavar="METRIC", help="default: all")
    parser.add_argument(
        "--output",
        type=Path,
        help="default: results/reference/conformance.md for all metrics, else standard output",
    )
    options = parser.parse_args(arguments)
    talk = stderr()
    try:
        with talk.status("conformance") as status:
            cells = measure(options.metrics or None, status.update)
    except RequestError as error:
        parser.error(str(error))
    page, path = markdown(cells), options.output
    if path is None and not options.metrics:
        path = PAGE
    if path is None:
        print(page)
    else:
        path.write_text(page, encoding="utf-8", newline="\n")
        say(talk, f"wrote {path}")
    failed = [cell for cell in cells if not cell.holds]
    for cell in failed:
        say(talk, in_one_line(cell))
    say(talk, f"{len(cells) - len(failed)} of {len(cells)} values are within their bounds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
