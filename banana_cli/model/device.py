"""Which device and which number format: what a user may choose of the machine."""

from __future__ import annotations

import torch

from banana_cli.errors import UsageError
from banana_cli.options import Precision


def choose_device(name: str) -> torch.device:
    """ "auto", "cpu", "cuda", "cuda:N" or "mps". UsageError if there is no such device here."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    there = {
        "cpu": name == "cpu",
        "cuda": torch.cuda.is_available() and (not index or index.isdigit()),
        "mps": torch.backends.mps.is_available() and not index,
    }
    if not there.get(kind, False) or (index and int(index) >= torch.cuda.device_count()):
        raise UsageError(f"there is no {name!r} here", subject="--device", remedy="try --device cpu")
    return torch.device(name)


def choose_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The autocast type, None for fp32. "auto" is bf16 where the hardware multiplies it faster.

    UsageError for a word that is no Precision, and for one that this machine cannot do.
    """
    if precision not in list(Precision):
        words = ", ".join(Precision)
        raise UsageError(f"{precision!r} is no precision", subject="--precision", remedy=f"choose of {words}")
    if precision == Precision.INT8:
        remedy = "use bf16 or auto; for smaller weights see `banana export --format int8`"
        raise UsageError("nothing computes in int8", subject="--precision", remedy=remedy)
    if precision == Precision.FP16 and device.type == "cpu":
        raise UsageError("a CPU is slow in fp16", subject="--precision", remedy="use bf16 or auto")
    if precision == Precision.AUTO:
        return torch.bfloat16 if _fast_bf16(device) else None
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)


def _fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private: absent from other versions
    return any(getattr(torch.cpu, test, bool)() for test in tests)


def precision_word(dtype: torch.dtype | None) -> str:
    """The word for an autocast type in facts."""
    return {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(dtype, "fp32") if dtype else "fp32"
