"""Seeds as they are asked for on the command line."""

import re

from bench.errors import RequestError

MOST = 1_000


def parse_seeds(text: str) -> list[int]:
    """`5` is the seeds 0 to 4, `0-4` likewise, `3,7` these two. Raises RequestError."""
    wrong = RequestError(
        f"--seeds {text[:40]!r}: give a number of seeds (5), a range (0-4) or a list (3,7), "
        f"at most {MOST} of them"
    )
    seeds: list[int] = []
    # no more digits than a 64-bit number has: others read the seed from the records
    if re.fullmatch(r"\s*\d{1,18}\s*", text):
        seeds = list(range(min(int(text), MOST + 1)))
    else:
        for part in text.split(","):
            if not (match := re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part)):
                raise wrong
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first or last - first >= MOST:
                raise wrong
            seeds += range(first, last + 1)
    if not seeds or len(seeds) > MOST:
        raise wrong
    return sorted(set(seeds))
