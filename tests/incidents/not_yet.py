"""The cases that intact does not get right yet, each with the reason; one that turns right must leave this list."""

NOT_YET: dict[str, str] = {}
