"""Refuse the result of an item that read, or wrote, what one step handed to another by the name of a file alone."""

from __future__ import annotations

from jpipe.decide.call_state import CallState
from jpipe.decide.file_traffic import FileTraffic
from jpipe.system.error_record import ErrorRecord
from jpipe.worker.messages import ItemReceipt, Receipt

__all__ = ["refuse_hidden_inputs"]


def refuse_hidden_inputs(
    traffic: FileTraffic, state: CallState, index: int, item: ItemReceipt, receipt: Receipt
) -> None:
    """Make the item a failed one where it is so; its record is not filed then."""
    if item.stored is None or not item.reads:
        return
    hidden = traffic.saw(state, index, item.reads)
    if hidden is not None:
        item.stored, item.error = None, ErrorRecord("hidden", "HiddenInputError", hidden.message)
        receipt.records = [(position, record) for position, record in receipt.records if position != item.position]
