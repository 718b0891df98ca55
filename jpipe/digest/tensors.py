"""SciPy's sparse arrays and torch's tensors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jpipe.digest.canonical import Node, Refused, Tag, field
from jpipe.digest.instances import reduce_state

if TYPE_CHECKING:
    from jpipe.digest.engine import Encoder

__all__ = ["scipy_rule", "torch_rule"]

Rule = Callable[[Any, "Encoder"], "bytes | Node"]

# What each sparse format keeps; the flags beside it only remember what was found out about it.
_SPARSE = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "bsr": ("data", "indices", "indptr"),
    "coo": ("data", "coords"),
    "dia": ("data", "offsets"),
    "lil": ("rows", "data"),
}


def scipy_rule(kind: type, _base: type) -> Rule | None:
    """The rule for a sparse array or matrix, whose parts count as they are; None for anything else of SciPy's."""
    sparse = sys.modules.get("scipy.sparse")
    if sparse is None or not issubclass(kind, (sparse.sparray, sparse.spmatrix)):
        return None
    return _reduce_sparse


def _reduce_sparse(array: Any, _encoder: Encoder) -> Node:
    if array.format == "dok":
        return Node(Tag.KIND + field("sparse dok"), [type(array), array.shape, array.dtype, dict(array.items())])
    names = _SPARSE[array.format]
    children = [type(array), array.shape, *(getattr(array, name) for name in names)]
    return Node(Tag.KIND + field(("sparse", array.format)), children)


def torch_rule(kind: type, _base: type) -> Rule | None:
    """The rule for a tensor, a type of elements or a random generator; None for anything else of torch's."""
    torch = sys.modules["torch"]
    if issubclass(kind, torch.Tensor):
        return _reduce_tensor
    if issubclass(kind, (torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Size)):
        return _reduce_name
    return _reduce_generator if issubclass(kind, torch.Generator) else None


def _reduce_name(value: Any, _encoder: Encoder) -> bytes:
    return Tag.KIND + field((f"torch {type(value).__name__}", str(value)))


def _reduce_generator(generator: Any, _encoder: Encoder) -> Node:
    return Node(Tag.KIND + field("torch generator"), [str(generator.device), generator.get_state()])


def _reduce_tensor(tensor: Any, encoder: Encoder) -> Node:
    """A tensor: kind of element, shape, device, whether it takes gradients, and its elements in C order."""
    torch = sys.modules["torch"]
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise Refused(tensor, f"is a tensor of layout {tensor.layout}", "pass its parts, or tensor.to_dense()")
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    raw = plain.reshape(-1).view(torch.uint8).numpy() if plain.numel() else None
    head = field(("tensor", str(tensor.dtype), tuple(tensor.shape), str(tensor.device.type), tensor.requires_grad))
    content = Node(Tag.KIND + head, [raw])
    return content if type(tensor) is torch.Tensor else reduce_state(tensor, "tensor", content, encoder)
