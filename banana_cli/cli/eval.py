"""``banana eval``: predictions beside the truth, or beside the clip they were made of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from banana_cli import inputs
from banana_cli.cli.console import Console
from banana_cli.cli.eval_table import show
from banana_cli.cli.options_eval import EvalArgs
from banana_cli.cli.reading import split
from banana_cli.cli.run import talking
from banana_cli.cli.world import World
from banana_cli.errors import BananaError, InputError, NoInputError, UsageError
from banana_cli.events import FrameDone, InputStarted
from banana_cli.inputs import Readers
from banana_cli.options import ReadOptions
from banana_cli.pipeline import exit_status
from banana_cli.types import Frame, Json, LayerKind

if TYPE_CHECKING:
    from banana_cli.metrics.files import Item
    from banana_cli.metrics.judge import Judge, Rules
    from banana_cli.metrics.pairs import Case, Matched
    from banana_cli.metrics.temporal import TemporalScores

_SHOWN = 10
_COCO = ".json"
_EPILOG = """Examples:

banana eval out/ labels/                          # mean IoU, Dice, boundaries; a row a class

banana eval out/ gtFine/val/                      # Cityscapes, with PQ where both sides give instances

banana eval out/ depth_selection/ --max-depth 80  # KITTI: 16 bit, metres = value / 256

banana eval out/ masks/ --classes 0=background,1=lung --json > scores.jsonl

banana eval out/clip.masks/ --clip clip.mp4       # no truth: how steady along the optical flow

Files are paired by name (a.masks.png with a.png, a_gtFine_labelIds.png, ...); class id 255 is not judged.
Exit code 3: some truths have no prediction, or some pairs cannot be compared."""


@dataclass(slots=True)
class _Outcome:
    """What could be judged, and what could not."""

    done: int = 0
    errors: list[BananaError] = field(default_factory=list)

    def fail(self, error: BananaError, console: Console) -> None:
        """Tell of something that cannot be judged, and go on."""
        self.errors.append(error)
        console.problem(error)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    text = "Compare predictions with the truth: masks, instances, depth, heights, normals."
    talking(app, "eval", EvalArgs, evaluate, help=text, epilog=_EPILOG)


def evaluate(args: EvalArgs, world: World, console: Console) -> int:
    """Judge all pairs and show the scores; the exit status tells of those that could not be."""
    if args.predictions is None or (args.truth is None and args.clip is None):
        raise UsageError(
            "nothing to compare with", subject="eval", remedy="banana eval PREDICTIONS TRUTH; see --help"
        )
    rules = _rules(args)
    from banana_cli.metrics.judge import Judge

    ours = _told(args.predictions, rules, world)
    outcome, judge, matched = _Outcome(), Judge(rules, world.formats), None
    console.expect((args.truth is not None) + (args.clip is not None))
    if args.truth is not None:
        matched = _judged(judge, ours, args, world, console, outcome)
    steady = _steady(args.clip, ours, world, console) if args.clip is not None else None
    console.clear()
    show(judge, steady, matched, console, as_json=args.as_json)
    return exit_status(outcome.done + (steady is not None), outcome.errors)


def _rules(args: EvalArgs) -> Rules:
    """UsageError for a number out of its range."""
    from banana_cli.metrics import naming
    from banana_cli.metrics.files import Kind
    from banana_cli.metrics.judge import Rules

    if args.tolerance < 0 or args.tolerance > 100:
        raise UsageError("must be 0 to 100", subject=f"--tolerance {args.tolerance}", remedy="leave it out")
    if args.max_depth is not None and not 0 < args.max_depth < math.inf:
        raise UsageError("must be above 0", subject=f"--max-depth {args.max_depth}", remedy="leave it out")
    return Rules(
        classes=naming.parse(split(args.classes)),
        only=Kind(args.layer.value) if args.layer is not None else None,
        tolerance=args.tolerance,
        far=math.inf if args.max_depth is None else args.max_depth,
        align=args.align,
    )


def _told(path: Path, rules: Rules, world: World) -> list[Item]:
    """All files of one side. NoInputError if there are none."""
    from banana_cli.metrics import coco, files, pairs

    is_coco = path.suffix.lower() == _COCO and path.is_file()
    found = coco.items(path) if is_coco else [*files.find(path, rules.only), *coco.below(path)]
    if not found:
        raise NoInputError(
            "holds no .png, .npy or .tif to compare",
            subject=str(path),
            remedy="name a folder of them; of clips, write --format frames",
        )
    return pairs.told(found, world.formats)


def _judged(
    judge: Judge, ours: Sequence[Item], args: EvalArgs, world: World, console: Console, outcome: _Outcome
) -> Matched:
    """Judge every pair, one in memory at a time."""
    from banana_cli.metrics import pairs

    truth, mine = Path(args.truth or ""), Path(args.predictions or "")
    theirs = _told(truth, judge.rules, world)
    if truth.is_file() and mine.is_file() and truth.suffix.lower() != _COCO:
        ours, theirs = (pairs.called(mine.name, side) for side in (ours, theirs))
    matched = pairs.match(ours, theirs, judge.rules.only)
    if not matched.cases:
        raise _nothing(matched, args)
    console.report(InputStarted(subject=str(truth), total=len(matched.cases)))
    for index, case in enumerate(matched.cases):
        try:
            _tell(case, judge, args, console)
            outcome.done += 1
        except InputError as exc:
            outcome.fail(exc, console)
        console.report(FrameDone(subject=case.name, index=index, seconds=0.0, kept=1.0))
    if matched.missing:
        outcome.fail(_missing(matched, truth), console)
    if matched.spare:
        console.notice(str(args.predictions), f"{len(matched.spare)} without truth: {_some(matched.spare)}")
    return matched


def _tell(case: Case, judge: Judge, args: EvalArgs, console: Console) -> None:
    from banana_cli.metrics.score import numbers_of

    for layer, sums in judge.add(case).items():
        facts: dict[str, Json] = {"input": case.name, "layer": layer.value, **numbers_of(sums)}
        if args.as_json:
            console.record(facts)
        elif args.verbose:
            numbers = ", ".join(f"{m.text} {m.value:.3f}" for m in sums.measures())
            console.line(f"{case.name}: {numbers or 'nothing to judge'}")


def _missing(matched: Matched, truth: Path) -> InputError:
    count = len(matched.missing)
    return InputError(
        f"{count} of {count + len(matched.cases)} have no prediction: {_some(matched.missing)}",
        subject=str(truth),
        remedy="predict them too, or name a folder with fewer truths",
    )


def _nothing(matched: Matched, args: EvalArgs) -> NoInputError:
    ours, theirs = _some(matched.spare[:1]) or "nothing", _some(matched.missing[:1]) or "nothing"
    return NoInputError(
        f"no file of it fits one of {args.truth} ({ours} beside {theirs})",
        subject=str(args.predictions),
        remedy="names must be equal but for endings such as .masks; say --layer if files do not tell theirs",
    )


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _steady(clip: Path, ours: Sequence[Item], world: World, console: Console) -> TemporalScores:
    """How steady the masks of a clip are. NoInputError if no two frames that follow each other have masks."""
    from banana_cli.metrics.clip import Steadiness

    steadiness = Steadiness(ours, world.formats)
    console.report(InputStarted(subject=str(clip), total=steadiness.left))
    for name, frame in _frames(clip, world):
        if steadiness.add(name, frame):
            index = frame.provenance.index
            console.report(FrameDone(subject=str(clip), index=index, seconds=0.0, kept=1.0))
        if not steadiness.left:
            break
    found = steadiness.scores()
    if not found.pairs:
        raise NoInputError(
            "no two frames that follow each other have masks",
            subject=str(clip),
            remedy="predict the whole clip with --format frames, and name the folder of its masks",
        )
    return found


def _frames(clip: Path, world: World) -> Iterator[tuple[str, Frame]]:
    """The frames of a clip, or of a folder of pictures, with the name that their masks have."""
    readers = Readers(adapters=world.adapters, broken=world.broken)
    finding = inputs.find([str(clip)], readers)
    if finding.failed:
        raise finding.failed[0].error
    read = ReadOptions(layers=frozenset({LayerKind.MASKS}))
    for found in finding.found:
        with found.adapter.open(found.item, read) as source:
            for frame in source:
                if isinstance(frame, Frame):
                    many = source.info.frames != 1
                    yield f"{frame.provenance.index:06d}" if many else found.item.stem, frame
