"""Asks whether every list of a source may be read, before a run finds out."""

from collections.abc import AsyncGenerator

from connectors.base import Abort, Source


async def require_lists(name: str, source: Source) -> None:
    """Ask for the first page of each list. Raises Abort naming those that are refused, and Retry.

    `name` is what the vendor is called.
    """
    refusals: list[str] = []
    for stream in source.streams:
        pages = source.pages(stream, None)
        try:
            await anext(pages, None)
        except Abort as refusal:
            if not refusal.is_of_one_list:
                raise
            refusals.append(f"The list {stream} was refused: {refusal}")
        finally:
            if isinstance(pages, AsyncGenerator):
                await pages.aclose()
    if refusals:
        raise Abort(
            f"{name} answers, and not every list may be read. {' '.join(refusals)}",
            todo="A sync reads the other lists, and ends as failed.",
        )
