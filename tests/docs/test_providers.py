"""The table of profiles is on its page.

python -m tests.docs.test_providers      writes it into docs/providers.md
"""

from __future__ import annotations

import re
from pathlib import Path

from autorouter.upstream.profiles import PROFILES, SOURCES_READ_ON, ProviderProfile

PAGE = Path(__file__).resolve().parents[2] / "docs" / "providers.md"
TABLE = re.compile(
    r"(?<=<!-- profiles: made by `python -m tests.docs.test_providers` -->\n).*?(?=<!-- end of profiles)", re.S
)


def left_out(profile: ProviderProfile) -> str:
    names = [*sorted(profile.drops), *sorted(f"messages.{name}" for name in profile.message_drops)]
    return ", ".join(
        f"`{name}`" + (f" without `{profile.unless[name]}`" if name in profile.unless else "") for name in names
    )


def renamed(profile: ProviderProfile) -> str:
    found = [
        f"`{old}` to `{new}`" + (f" without `{profile.unless[old]}`" if old in profile.unless else "")
        for old, new in sorted(profile.renames.items())
    ]
    return ", ".join(found + (["the role `developer` to `system`"] if profile.developer_as_system else []))


def table() -> str:
    lines = ["| profile | left out | renamed |", "|---|---|---|"]
    lines += [f"| `{p.name}` | {left_out(p) or '-'} | {renamed(p) or '-'} |" for p in PROFILES.values()]
    return "\n".join(lines) + "\n"


def test_every_profile_is_on_its_page() -> None:
    found = TABLE.search(PAGE.read_text("utf-8"))
    assert found is not None
    assert found[0] == table(), "run: python -m tests.docs.test_providers"


def test_the_page_says_when_its_sources_were_read() -> None:
    assert SOURCES_READ_ON in PAGE.read_text("utf-8")


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text("utf-8")), "utf-8")
