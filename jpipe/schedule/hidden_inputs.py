"""Refuse the result of an item that read, or wrote, what one step handed to another by the name of a file alone."""

from __future__ import annotations

from jpipe.decide.file_traffic import FileTraffic
from jpipe.schedule.chunks import Chunk
from jpipe.system.error_record import ErrorRecord
from jpipe.worker.messages import ItemReceipt, Receipt

__all__ = ["finished_items"]


def finished_items(traffic: FileTraffic, chunk: Chunk, receipt: Receipt) -> list[ItemReceipt]:
    """The items of a chunk that came to an end; those that are refused have failed, and no record of them is filed."""
    over = [item for item in receipt.items if not item.interrupted]
    for item in over:
        hidden = traffic.saw(*chunk.items[item.position], item.reads) if item.stored is not None else None
        if hidden is not None:
            item.stored, item.error = None, ErrorRecord("hidden", "HiddenInputError", hidden.message)
            receipt.records = [(position, record) for position, record in receipt.records if position != item.position]
    return over
