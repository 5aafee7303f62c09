"""What a run will write, decided and checked before the first frame is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from banana_cli import atomic, sidecar
from banana_cli.adapter import SinkFormat, SourceInfo
from banana_cli.errors import BananaError, InputError, OutputError, UsageError
from banana_cli.inputs import Found
from banana_cli.jobs import ATTENTION
from banana_cli.options import ReadOptions
from banana_cli.pipeline import Job, Output
from banana_cli.types import Json, LayerKind

ORDER = tuple(LayerKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where outputs go: below ``folder``, or to exactly ``file``."""

    folder: Path
    file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user asked of every input; ``weights_sha256`` of the weights that would answer, if known.

    ``attention``: also a picture of where the tokens went.
    """

    layers: tuple[LayerKind, ...]
    formats: tuple[str, ...] = ()
    overwrite: bool = False
    resume: bool = False
    attention: bool = False
    options: Mapping[str, Json] | None = None
    weights_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An input whose header was read."""

    found: Found
    info: SourceInfo


def chosen_formats(
    opened: Opened, layer: LayerKind, wish: Wish, formats: Mapping[str, SinkFormat]
) -> list[SinkFormat]:
    """The formats for one layer of one input; UsageError if none of the named ones can hold it."""
    fitting = _fitting(opened.info, layer, formats)
    names = wish.formats or (opened.info.formats[layer],)
    chosen = [fitting[name] for name in dict.fromkeys(names) if name in fitting]
    if chosen:
        return chosen
    raise UsageError(
        f"its {layer.value} ({opened.info.domain.value}, {opened.info.kind}) cannot be {' or '.join(names)}",
        subject=opened.found.item.subject,
        remedy=f"leave it out, or say --format with one of: {', '.join(sorted(fitting)) or 'none installed'}",
    )


def _fitting(info: SourceInfo, layer: LayerKind, formats: Mapping[str, SinkFormat]) -> dict[str, SinkFormat]:
    """The formats that can hold a layer of an input; some say of one input only that they cannot."""
    offered = (f for f in formats.values() if layer in f.layers and info.domain in f.domains)
    return {f.name: f for f in offered if _takes(f, layer, info)}


def _takes(chosen: SinkFormat, layer: LayerKind, info: SourceInfo) -> bool:
    try:
        chosen.suffix(layer, info)
    except UsageError:
        return False
    return True


def outputs_of(opened: Opened, wish: Wish, target: Target, formats: Mapping[str, SinkFormat]) -> list[Output]:
    """All outputs of one input. InputError if it can give none of the layers asked for."""
    item, info = opened.found.item, opened.info
    layers = [layer for layer in ORDER if layer in wish.layers and layer in info.formats]
    if not layers:
        asked = " or ".join(layer.value for layer in wish.layers)
        raise InputError(f"gives no {asked} ({info.kind})", subject=item.subject, remedy="see `banana info`")
    outputs = []
    for layer in layers:
        for chosen in chosen_formats(opened, layer, wish, formats):
            name = f"{item.stem}.{layer.value}{chosen.suffix(layer, info)}"
            outputs.append(Output(layer=layer, format=chosen, path=target.folder / item.folder / name))
    return outputs


def _attention(opened: Opened, layer: LayerKind, target: Target, formats: Mapping[str, SinkFormat]) -> Output:
    """The picture of where the tokens went: in the first format, named as formats of it are, that fits."""
    item, info = opened.found.item, opened.info
    offered = (f for name, f in sorted(formats.items(), reverse=True) if name.split("-")[0] == ATTENTION)
    fitting = [f for f in offered if info.domain in f.domains and _takes(f, layer, info)]
    if not fitting:
        raise UsageError(
            f"cannot be shown of this {info.kind}",
            subject=f"--attention ({item.subject})",
            remedy="leave it out; scenes must not be too large for one picture",
        )
    folder = target.folder if target.file is not None else target.folder / item.folder
    path = folder / f"{item.stem}.{ATTENTION}{fitting[0].suffix(layer, info)}"
    return Output(layer=layer, format=fitting[0], path=path, attention=True)


def lacking(opened: Opened, wish: Wish) -> str | None:
    """What to tell of an input that gives only some of the layers asked for; None if it gives all."""
    missing = [layer.value for layer in wish.layers if layer not in opened.info.formats]
    return f"gives no {' or '.join(missing)} ({opened.info.kind})" if missing else None


def to_file(one: Opened, wish: Wish, file: Path, formats: Mapping[str, SinkFormat], *, inputs: int) -> Output:
    """The single output of a run that names its file; the suffix may choose the format."""
    layers = [layer for layer in ORDER if layer in wish.layers]
    if inputs != 1 or len(layers) != 1:
        raise UsageError(
            f"is one file for {inputs} inputs and {len(layers)} layers",
            subject=str(file),
            remedy="name a folder (end it with /), or ask for one layer of one input",
        )
    layer = layers[0]
    if not wish.formats:
        wish = replace(wish, formats=_by_suffix(one, layer, file, formats))
    output, *more = outputs_of(one, wish, Target(folder=file.parent), formats)
    suffix = output.format.suffix(layer, one.info)
    if more or (suffix and not file.name.lower().endswith(suffix)):
        raise UsageError(
            f"cannot be {' and '.join(wish.formats)} ({suffix})",
            subject=str(file),
            remedy=f"name it *{suffix}, or a folder (end it with /)",
        )
    return replace(output, path=file)


def _by_suffix(
    opened: Opened, layer: LayerKind, file: Path, formats: Mapping[str, SinkFormat]
) -> tuple[str, ...]:
    info = opened.info
    by_name = {name: f.suffix(layer, info) for name, f in _fitting(info, layer, formats).items()}
    names = sorted(
        (n for n, suffix in by_name.items() if suffix and file.name.lower().endswith(suffix)),
        key=lambda n: n != info.formats.get(layer),
    )
    if names:
        return (names[0],)
    known = ", ".join(sorted({s for s in by_name.values() if s}))
    raise UsageError(
        f"no format for {layer.value} of this input has that suffix",
        subject=str(file),
        remedy=f"use one of {known}, or name a folder (end it with /)",
    )


def inspect(found: Found, read: ReadOptions) -> Opened:
    """Read the header of one input. InputError if it cannot be read."""
    return Opened(found=found, info=found.adapter.inspect(found.item, read))


def refuse_collisions(jobs: Iterable[Job]) -> None:
    """UsageError if two inputs would write one output, or an output would replace an input."""
    writers: dict[Path, tuple[Job, Output]] = {}
    jobs = tuple(jobs)
    sources = {path.resolve(): job for job in jobs for path in job.item.paths}
    for job in jobs:
        for output in job.outputs:
            path = output.path.resolve()
            if path in sources:
                raise UsageError(
                    f"is itself an input, and would be written for {job.item.subject}",
                    subject=str(output.path),
                    remedy="name another folder with -o",
                )
            other, first = writers.setdefault(path, (job, output))
            if first is not output:
                raise UsageError(
                    f"would be written for both {_whose(other, first)} and {_whose(job, output)}",
                    subject=str(output.path),
                    remedy="run them one by one, each with its own -o",
                )


def _whose(job: Job, output: Output) -> str:
    return f"{job.item.subject} ({output.format.name})"


def refuse_existing(jobs: Iterable[Job]) -> None:
    """OutputError if an output, or a stranger's file in its sidecar's place, stands already, or its folder
    cannot be written."""
    taken: list[BananaError] = []
    for output in (output for job in jobs for output in job.outputs):
        try:
            atomic.refuse_unwritable(output.path.parent)
            atomic.refuse_existing(output.path, overwrite=output.overwrite)
            side = sidecar.sidecar_path(output.path)
            atomic.refuse_existing(side, overwrite=output.overwrite or sidecar.read(side) is not None)
        except OutputError as exc:
            taken.append(exc)
    if len(taken) > 1:
        first = taken[0]
        raise OutputError(
            f"{first.message} (and {len(taken) - 1} more)", subject=first.subject, remedy=first.remedy
        )
    if taken:
        raise taken[0]


def settle(output: Output, opened: Opened, wish: Wish) -> Output | None:
    """The output with its leave to replace what stands there; None if ``resume`` finds it done."""
    if wish.overwrite:
        output = replace(output, overwrite=True)
    if not wish.resume:
        return output
    _mend(output.path)
    facts = sidecar.read(sidecar.sidecar_path(output.path))
    if facts is None:
        return output
    if not facts.get("complete"):
        return replace(output, overwrite=True)
    same_input = facts.get("input") == sidecar.describe_input(opened.found.item)
    same_options = facts.get("options") == sidecar.to_json(wish.options or {})
    same = same_input and same_options and _same_weights(facts, wish)
    return None if output.path.exists() and same else output


def _mend(path: Path) -> None:
    """Give an output its sidecar if a run was killed between the renames of the two."""
    side = sidecar.sidecar_path(path)
    if os.path.lexists(side) or not path.exists():
        return
    for part in atomic.parts_of(side):
        facts = sidecar.read(part) or {}
        if facts.get("output") == path.name and facts.get("bytes") == atomic.bytes_of(path):
            with atomic.writing(side):
                os.replace(part, side)
            return


def _same_weights(facts: Mapping[str, Json], wish: Wish) -> bool:
    """Whether the weights that would answer now made the output; measured layers need none."""
    model = facts.get("model")
    made = model.get("weights_sha256") if isinstance(model, dict) else None
    return not made or wish.weights_sha256 in (None, made)


@runtime_checkable
class Obeys(Protocol):
    """A format that obeys options of the command line, named without dashes in ``obeys``."""

    obeys: frozenset[str]


_OF_DEPTH = frozenset({"depth-encoding"})


def refuse_idle(names: Iterable[str], jobs: Sequence[Job]) -> None:
    """UsageError for an option on how values are stored that no output of the run can obey."""
    outputs = [o for job in jobs for o in job.outputs]
    for name in names:
        depth = name in _OF_DEPTH
        formats = [o.format for o in outputs if not depth or o.layer is LayerKind.DEPTH]
        if jobs and not any(isinstance(f, Obeys) and name in f.obeys for f in formats):
            raise _idle(name, "depth" if depth else "outputs", sorted({f.name for f in formats}))


def _idle(name: str, what: str, used: Sequence[str]) -> UsageError:
    instead = "png" if name in _OF_DEPTH else "xyz, mbtiles or pmtiles"
    return UsageError(
        f"cannot act on {what} as {', '.join(used)}" if used else f"no {what} is written",
        subject=f"--{name}",
        remedy=f"add --format {instead}, or leave it out" if used else f"ask for {what}, or leave it out",
    )


def refuse_unknown(names: Sequence[str], formats: Mapping[str, SinkFormat]) -> None:
    """UsageError for a format that nobody offers."""
    for name in names:
        if name not in formats:
            known = ", ".join(sorted(formats)) or "none installed"
            raise UsageError("is no format", subject=f"--format {name}", remedy=f"formats: {known}")


def job_of(
    opened: Opened, wish: Wish, target: Target, formats: Mapping[str, SinkFormat], *, inputs: int
) -> Job:
    """One input's job. InputError if it gives no such layer, UsageError if a format or name cannot be."""
    if target.file is None:
        outputs = outputs_of(opened, wish, target, formats)
    else:
        outputs = [to_file(opened, wish, target.file, formats, inputs=inputs)]
    if wish.attention:
        outputs.append(_attention(opened, outputs[0].layer, target, formats))
    return Job(item=opened.found.item, adapter=opened.found.adapter, outputs=tuple(outputs))
