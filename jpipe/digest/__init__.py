"""Value to digest: equal content gives equal digests, in every process and memory layout."""

from __future__ import annotations

from jpipe.digest.value import Code, ValueDigest, combine, combine_joined, complete, digest, digest_scalars

__all__ = ["Code", "ValueDigest", "combine", "combine_joined", "complete", "digest", "digest_scalars"]
