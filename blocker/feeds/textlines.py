"""The lines of a document that is a text, one at a time: bounded, decoded, and each with its end. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocker.feeds.extract import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

CHARSETS = {"utf-8": "UTF-8", "ascii": "ASCII"}


def cut(octets: bytes, charset: str, most: int) -> Iterator[tuple[int, str]]:
    """Every line with its number. Raises Damaged for one that is longer than `most` octets, or has no end: a
    list says by nothing else that it is whole, and half a name is another name.
    """
    if not octets.endswith(b"\n"):
        raise Damaged(
            "feed-cut-off",
            "the last line has no end, as when a download is cut off; fetch it anew, or end the line if the "
            "list is whole.",
            octets.count(b"\n") + 1,
        )
    at, number = 0, 0
    while at < len(octets):
        number += 1
        end = octets.find(b"\n", at)
        if end - at > most:
            raise Damaged("feed-format", f"the line has more than {most} octets; fetch it anew.", number)
        try:
            yield number, octets[at:end].decode(charset)
        except UnicodeDecodeError as error:
            raise Damaged(
                "feed-charset", f"the line is not {CHARSETS[charset]}; fetch it anew, or convert it.", number
            ) from error
        at = end + 1
