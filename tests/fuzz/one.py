"""One target in this process, until its time is over or something fails: what `tests.fuzz.run` starts.

python -m tests.fuzz.one NAME CORPUS SECONDS        the libFuzzer's own words go to stderr
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # type: ignore[import-not-found,unused-ignore]


def main(name: str, corpus: Path, seconds: int) -> None:
    """Instrument what the target imports, write its seeds, and fuzz. Doesn't return."""
    with atheris.instrument_imports(include=["autorouter"]):
        from tests.fuzz.atheris import target

        found = target(name)
    for number, seed in enumerate(found.seeds):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    limits = [f"-max_total_time={seconds}", f"-max_len={found.longest}", "-timeout=20", "-rss_limit_mb=2048"]
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={corpus.parent}/{name}-", str(corpus)], found.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
