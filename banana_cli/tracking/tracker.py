"""Numbers that things keep through a clip, though a mask drops them, joins them or hides them for a while.

Regions of the frame before are carried along the optical flow. First those that lie over each other are
the same thing (ByteTrack, OC-SORT and their like compare boxes; masks tell neighbours apart that boxes do
not). Then what is left is compared by where things were going, up to ``PATIENCE_S`` after they were seen
last. A region that holds several known things is shared out among them, and parts of one thing are put
together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.tracking import match, regions
from banana_cli.tracking.course import Course, size_of
from banana_cli.types import F32, F64, U16, Bool, Instances

PATIENCE_S: Final = 1.2
"""How long a thing that is not seen keeps its number."""
SURE_HITS: Final = 3
"""A thing gets its number when it was seen in so many frames; those of the first frame have one at once."""
SURE_SCORE: Final = 0.5
"""Regions below it, or smaller than ``SURE_PX`` of the grid, go on with a known thing but begin none."""
SURE_PX: Final = 40
CUT_BELOW: Final = 0.02
"""Share of pixels with a past below which the picture was cut: all things are new."""

_UNSURE_S: Final = 0.2  # how long one without a number is waited for
_RIPE_S: Final = 0.3  # how old one must be to be told apart within a region
_MOST_VOTES: Final = 20.0
_PARTED_S: Final = 0.8  # how long one in several pieces stays one
_MORE: Final = 1.2  # how much larger they may be than it was in one piece
_LOST_PX: Final = 0.5  # of another region, which a thing that it is said to be a part of must have lost
_NEW_COLOUR: Final = 0.2  # how much of a look enters the colour that is remembered
_GHOST_IOU: Final = 0.5  # what is left of the place of a thing that is not seen says little of it
_NOBODY: Final = -1


@dataclass(slots=True, eq=False)
class Thing:
    """One followed thing. ``number`` 0: not sure yet. Times are seconds of the clip.

    ``whole_px``: how large it was when it was last in one piece, at ``whole_s``.
    """

    number: int
    cls: int
    vote: float
    hits: int
    born_s: float
    seen_s: float
    course: Course
    colour: F64
    whole_px: float
    whole_s: float

    def votes(self, cls: int, weight: float) -> None:
        """Keep the class that most looks agree on (Boyer and Moore, with a bound so that it can change)."""
        if cls == self.cls:
            self.vote = min(self.vote + weight, _MOST_VOTES)
        elif self.vote > weight:
            self.vote -= weight
        else:
            self.cls, self.vote = cls, weight


@dataclass(slots=True, eq=False)
class _Look:
    """The regions of one frame on the grid, (h, w) ``ids`` 1..n; ``owner``: who each is (place in the list).

    ``origin``: the instance that each is or is a part of; ``shares``: of a parted one, the number of the
    nearest part for every pixel around.
    """

    ids: U16
    classes: list[int]
    scores: list[float]
    sure: list[bool]
    origin: list[int]
    owner: list[int]
    shares: dict[int, U16]
    picture: F32

    @classmethod
    def of(cls, found: Instances, grid: tuple[int, int], picture: F32 | None) -> _Look:
        count = len(found)
        ids = regions.resampled(found.ids, grid)
        area = regions.areas(ids, count)
        return cls(
            ids=ids,
            classes=list(found.classes),
            scores=list(found.scores),
            sure=[
                score >= SURE_SCORE and px >= SURE_PX for score, px in zip(found.scores, area, strict=True)
            ],
            origin=list(range(count)),
            owner=[_NOBODY] * count,
            shares={},
            picture=np.zeros((*grid, 1), np.float32) if picture is None else regions.thinned(picture, grid),
        )

    def __len__(self) -> int:
        return len(self.classes)

    def free(self, *, sure: bool | None = None) -> list[int]:
        """Regions without an owner; only those that may begin a thing, or only the others."""
        nobodys = [k for k, owner in enumerate(self.owner) if owner == _NOBODY]
        return [k for k in nobodys if sure is None or sure == self.sure[k]]

    def part(self, region: int, seeds: U16) -> None:
        """Cut a region into one for each of the ``seeds`` (h, w) 1..m in it: to each the nearest pixels."""
        here = self.ids == region + 1
        window = regions.windows(here.astype(np.uint16), 1)[0]
        if window is None:
            return
        rows, cols = (slice(max(0, s.start - 1), s.stop + 1) for s in window)
        share = regions.nearest(np.where(here, seeds, 0).astype(np.uint16), (rows, cols))
        numbers = np.array([0, region + 1, *range(len(self) + 1, len(self) + int(seeds.max()))], np.uint16)
        share = numbers[share]
        self.ids = np.where(here, share, self.ids)
        self.shares[region] = share
        for _ in numbers[2:]:
            self.classes.append(self.classes[region])
            self.scores.append(self.scores[region])
            self.sure.append(self.sure[region])
            self.origin.append(region)
            self.owner.append(_NOBODY)

    def owned(self) -> U16:
        """(h, w) the owners' places + 1; 0 for nobody."""
        of = np.array([0, *(owner + 1 for owner in self.owner)], np.uint16)
        return of[self.ids]


class Tracker:
    """The things of one clip; frames in the order of time."""

    def __init__(self, kin: Mapping[int, int] | None = None) -> None:
        """``kin``: the family of a class, where a mask may take its members for each other."""
        self._kin = dict(kin or {})
        self.things: list[Thing] = []
        self.before: U16 | None = None
        """(h, w) the things of the last frame, place in the list + 1."""
        self.time_s: float | None = None
        self.count = self.steps = 0
        self._step_s = 0.0

    def step(
        self, found: Instances, flow: F32 | None, time_s: float, picture: F32 | None = None
    ) -> Instances:
        """The instances of the next frame with their tracks; some may be parted or joined.

        ``flow`` (h, w, 2): for each pixel the way (x, y) back to where it was one frame before, in pixels
        of that grid, NaN where it was not seen; None: not known. ``picture`` (C, H, W) of any size and in
        levels of 255 tells things apart that come back.
        """
        look = _Look.of(found, regions.grid_of((found.ids.shape[0], found.ids.shape[1]), flow), picture)
        warped = self._carried(look.ids.shape, flow)
        self._step_s = max(0.0, time_s - (self.time_s or 0.0))
        for thing in self.things:
            thing.course.ahead(self._step_s)
        first, self.time_s, self.steps = warped is None, time_s, self.steps + 1
        if warped is None:
            warped = np.zeros_like(look.ids)
        self._share_out(look, warped)
        self._begin(look, self._match(look, warped), sure=first)
        self._know_again(self._look(look, flow))
        told = self._told(found, look)
        self._keep(look, warped)
        return told

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """All that the next step depends on; ``from_arrays`` gives an equal tracker."""
        names = [f.name for f in fields(Thing) if f.name not in ("course", "colour")]
        facts = [[float(getattr(t, name)) for name in names] for t in self.things]
        known = {} if self.before is None else {"before": self.before.copy()}
        return known | {
            "facts": np.array(facts, np.float64).reshape(-1, len(names)),
            "courses": np.array([t.course.to_array() for t in self.things]).reshape(-1, 5, 4),
            "colours": np.array([t.colour for t in self.things]).reshape(
                len(self.things), self.things[0].colour.size if self.things else 1
            ),
            "count": np.array([self.count, self.steps]),
            "time_s": np.array(np.nan if self.time_s is None else self.time_s),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]], kin: Mapping[int, int]) -> Tracker:
        """Inverse of ``to_arrays``; KeyError or ValueError if it is none."""
        tracker = cls(kin)
        tracker.count, tracker.steps = (int(n) for n in arrays["count"])
        time_s = float(arrays["time_s"])
        tracker.time_s = None if np.isnan(time_s) else time_s
        tracker.before = arrays["before"].astype(np.uint16) if "before" in arrays else None
        kept = zip(arrays["facts"], arrays["courses"], arrays["colours"], strict=True)
        for facts, course, colour in kept:
            number, kind, vote, hits, born_s, seen_s, *whole = (float(v) for v in facts)
            way, shade = Course.from_array(course), np.array(colour, np.float64)
            times = (born_s, seen_s)
            tracker.things.append(Thing(int(number), int(kind), vote, int(hits), *times, way, shade, *whole))
        return tracker

    def _carried(self, grid: tuple[int, ...], flow: F32 | None) -> U16 | None:
        """What was seen before, where it is now; None (and all is forgotten) at the start and after a cut."""
        cut = flow is not None and float(np.isfinite(flow[..., 0]).mean()) < CUT_BELOW
        if self.before is None or cut:
            self.things = []
            return None
        before = regions.resampled(self.before, (grid[0], grid[1]))
        return before if flow is None else regions.carried(before, flow, self.steps)

    def _family(self, cls: int) -> int:
        return self._kin.get(cls, -1 - cls)

    def _are_kin(self, things: list[int], classes: list[int]) -> NDArray[np.bool_]:
        ours = np.array([self._family(self.things[i].cls) for i in things], np.int64)
        theirs = np.array([self._family(c) for c in classes], np.int64)
        same: NDArray[np.bool_] = ours[:, None] == theirs[None]
        return same

    def _unseen_s(self, thing: Thing) -> float:
        return (self.time_s or 0.0) - thing.seen_s

    def _share_out(self, look: _Look, warped: U16) -> None:
        """Part regions that hold two or more things which were apart in the last frame."""
        now, last = self.time_s or 0.0, (self.time_s or 0.0) - self._step_s - 1e-6
        ripe = np.array(
            [t.number > 0 and now - t.born_s > _RIPE_S and t.seen_s >= last for t in self.things], np.bool_
        )
        shared = regions.table(warped, look.ids, (len(self.things), len(look)))
        before, area = regions.areas(warped, len(self.things)), regions.areas(look.ids, len(look))
        kin = self._are_kin(list(range(len(self.things))), look.classes)
        held = (shared >= 0.6 * before[:, None]) & (shared >= 0.08 * area[None]) & (shared >= 8)
        held &= ripe[:, None] & kin
        was = self._was(look.ids.shape)
        for region in np.flatnonzero(held.sum(0) > 1):
            inside = np.where(look.ids == region + 1, warped, 0).astype(np.uint16)
            members = self._alike(np.flatnonzero(held[:, region]), inside, look.picture)
            mine = was[members]
            if len(mine) < 2 or area[region] < mine.max() + _LOST_PX * (mine.sum() - mine.max()):
                continue  # as large as one of them: the others are behind it
            numbers = np.zeros(len(self.things) + 1, np.uint16)
            numbers[members + 1] = np.arange(1, len(members) + 1)
            look.part(int(region), numbers[warped])

    def _alike(self, things: regions.I64, places: U16, picture: F32) -> regions.I64:
        """Those that look as the ``picture`` does at their ``places``."""
        seen = regions.mean_colours(places, len(self.things), picture)[things]
        known = np.stack([self.things[i].colour for i in things])
        return things[match.unlike(known, seen) <= match.MOST_UNLIKE]

    def _was(self, grid: tuple[int, ...]) -> regions.I64:
        """(n,) pixels of the things in the last frame."""
        if self.before is None:
            return np.zeros(len(self.things), np.int64)
        return regions.areas(regions.resampled(self.before, (grid[0], grid[1])), len(self.things))

    def _match(self, look: _Look, warped: U16) -> match.Seen:
        """Find the owners of regions: by overlap, by course, and as parts of a thing that has one."""
        shared = regions.table(warped, look.ids, (len(self.things), len(look)))
        before, area = regions.areas(warped, len(self.things)), regions.areas(look.ids, len(look))
        everyone = list(range(len(self.things)))
        fit = match.by_overlap(shared, before, area, self._are_kin(everyone, look.classes))
        seen = match.Seen.of(look.ids, len(look), look.picture)
        lost = self._lost()
        fit *= 1 - lost * match.other_colour([t.colour for t in self.things], seen)
        fit[(lost > 0) & (fit < _GHOST_IOU)] = 0
        for sure in (True, False):  # as ByteTrack: poor regions get what good ones leave
            self._pair(look, fit, look.free(sure=sure), match.LEAST_IOU)
            free = [k for k in look.free(sure=sure) if area[k]]
            self._pair(look, self._course_fit(look, free, seen), free, 0.0)
        self._join(look, shared, area, seen.sides)
        return seen

    def _lost(self) -> F64:
        """(n, 1) 1 for things that were not seen in the last frame, 0 for others."""
        last = (self.time_s or 0.0) - self._step_s
        return np.array([[float(t.seen_s < last - 1e-6)] for t in self.things]).reshape(-1, 1)

    def _pair(self, look: _Look, fit: F64, free: list[int], least: float) -> None:
        """Give free regions the things that have none, where ``fit`` (things, regions) is above ``least``."""
        taken = set(look.owner)
        idle = [i for i in range(len(self.things)) if i not in taken]
        part = fit[np.ix_(idle, free)]
        for row, col in match.best_pairs(part, max(least, 1e-6)):
            look.owner[free[col]] = idle[row]

    def _course_fit(self, look: _Look, free: list[int], seen: match.Seen) -> F64:
        fit = np.zeros((len(self.things), len(look)))
        everyone = list(range(len(self.things)))
        kin = self._are_kin(everyone, [look.classes[k] for k in free])
        unseen = [self._unseen_s(t) for t in self.things]
        courses, colours = [t.course for t in self.things], [t.colour for t in self.things]
        fit[:, free] = match.by_course(courses, colours, unseen, seen.some(free), kin)
        return fit

    def _join(self, look: _Look, shared: regions.I64, area: regions.I64, boxes: F64) -> None:
        """Regions that mostly come from a thing which has an owner's region nearby belong to it too."""
        was = self._was(look.ids.shape)
        for k in look.free():
            if not len(self.things) or not area[k]:
                continue
            thing = int(shared[:, k].argmax())
            main = [j for j, owner in enumerate(look.owner) if owner == thing]
            of_it = shared[thing, k] >= 0.5 * area[k] and self._was_whole(thing, area[[*main, k]].sum())
            lost = was[thing] - area[main].sum() >= _LOST_PX * area[k]
            if main and of_it and lost and _near(boxes[k], boxes[main[0]]):
                look.owner[k] = thing

    def _was_whole(self, thing: int, area: int) -> bool:
        """Whether parts of ``area`` pixels can be one thing: what comes out behind it makes them more."""
        known = self.things[thing]
        lately = (self.time_s or 0.0) - known.whole_s <= _PARTED_S
        return lately and area <= _MORE * known.whole_px

    def _begin(self, look: _Look, seen: match.Seen, *, sure: bool) -> None:
        """Regions of nobody are new things; ``sure``: they have their numbers at once."""
        now = self.time_s or 0.0
        for k in look.free(sure=True):
            if not np.isfinite(seen.sides[k]).all():
                continue
            look.owner[k] = len(self.things)
            course = Course.first(seen.sides[k])
            hits = SURE_HITS - 1 if sure else 0
            kind, colour = look.classes[k], seen.colours[k]
            self.things.append(Thing(0, kind, 0.0, hits, now, now, course, colour, 0.0, now))

    def _look(self, look: _Look, flow: F32 | None) -> match.Seen:
        """Take in what is seen of all things, and give it."""
        owned, now = look.owned(), self.time_s or 0.0
        seen = match.Seen.of(owned, len(self.things), look.picture)
        area = regions.areas(owned, len(self.things))
        ways = None if flow is None else regions.side_ways(owned, len(self.things), flow)
        for i, thing in enumerate(self.things):
            mine = [k for k, owner in enumerate(look.owner) if owner == i]
            if not mine or not np.isfinite(seen.sides[i]).all():
                thing.course.unseen(self._step_s)
            else:
                if ways is not None and not _is_covered(seen.hidden[i], seen.sides[i], look.ids.shape):
                    thing.course.carry(ways[i], self._step_s, float(area[i]) / max(1.0, thing.whole_px))
                hidden = seen.hidden[i] | thing.course.covered(seen.sides[i])
                if len(mine) == 1:
                    thing.whole_px = max(float(area[i]), thing.whole_px * bool(hidden.any()))
                    thing.whole_s = now
                thing.course.look(seen.sides[i], hidden)
                thing.course.unseen(self._step_s, hidden)
                thing.colour = thing.colour + _NEW_COLOUR * (seen.colours[i] - thing.colour)
                thing.hits, thing.seen_s = thing.hits + 1, now
                for k in mine:
                    thing.votes(look.classes[k], look.scores[k] / len(mine))
        return seen

    def _know_again(self, seen: match.Seen) -> None:
        """Things that are sure now are one that was lost, or get a new number."""
        now = self.time_s or 0.0
        fresh = [i for i, t in enumerate(self.things) if not t.number and t.hits >= SURE_HITS]
        lost = [i for i, t in enumerate(self.things) if t.number and t.seen_s < now]
        kin = self._are_kin(lost, [self.things[i].cls for i in fresh])
        unseen = [self._unseen_s(self.things[i]) for i in lost]
        courses, colours = [self.things[i].course for i in lost], [self.things[i].colour for i in lost]
        fit = match.by_course(courses, colours, unseen, seen.some(fresh), kin)
        for row, col in match.best_pairs(fit, 1e-6):
            old, new = self.things[lost[row]], self.things[fresh[col]]
            new.number, new.born_s, old.number, old.seen_s = old.number, old.born_s, 0, -np.inf
        for i in fresh:
            if not self.things[i].number:
                self.count += 1
                self.things[i].number = self.count

    def _told(self, found: Instances, look: _Look) -> Instances:
        """The regions as instances of the picture's size: parts of one thing together, with its track."""
        keys = [owner if owner != _NOBODY else -2 - k for k, owner in enumerate(look.owner)]
        order = {key: n for n, key in enumerate(dict.fromkeys(keys))}
        number = np.array([0, *(order[key] + 1 for key in keys)], np.uint16)
        whole = [keys.index(key) for key in order]
        things = [self.things[look.owner[k]] if look.owner[k] != _NOBODY else None for k in whole]
        ids = number[: len(found) + 1][found.ids]
        for region, share in look.shares.items():
            here = found.ids == region + 1
            ids[here] = number[regions.resampled(share, (ids.shape[0], ids.shape[1]))[here]]
        return Instances(
            ids=ids,
            classes=tuple(
                t.cls if t and t.number else look.classes[k] for t, k in zip(things, whole, strict=True)
            ),
            scores=tuple(look.scores[k] for k in whole),
            tracks=tuple(t.number if t else 0 for t in things),
        )

    def _keep(self, look: _Look, warped: U16) -> None:
        """Remember where things are, also those that a mask dropped, and forget those long gone."""
        now, grid = self.time_s or 0.0, look.ids.shape
        seen = look.owned()
        lost = np.array([False, *(t.seen_s < now for t in self.things)])
        still = np.where((look.ids == 0) & lost[warped], warped, seen)
        kept = [i for i, t in enumerate(self.things) if self._is_kept(t, grid)]
        place = np.zeros(len(self.things) + 1, np.uint16)
        place[np.array(kept, np.int64) + 1] = np.arange(1, len(kept) + 1)
        self.things = [self.things[i] for i in kept]
        self.before = place[still]

    def _is_kept(self, thing: Thing, grid: tuple[int, ...]) -> bool:
        unseen = self._unseen_s(thing)
        left, top, right, bottom = thing.course.sides
        inside = right > 0 and left < grid[1] and bottom > 0 and top < grid[0]
        return unseen <= 0 or (inside and unseen <= (PATIENCE_S if thing.number else _UNSURE_S))


def _is_covered(hidden: Bool, sides: F64, grid: tuple[int, ...]) -> bool:
    """Whether another thing hides some of the sides: the flow there is that of the other."""
    at_edge = np.array([sides[0] <= 0, sides[1] <= 0, sides[2] >= grid[1], sides[3] >= grid[0]])
    return bool((hidden & ~at_edge).any())


def _near(a: F64, b: F64) -> bool:
    """Whether the gap between two boxes is small beside the larger of the two."""
    gap = np.maximum(a[:2], b[:2]) - np.minimum(a[2:], b[2:])
    return float(gap.max()) <= 0.3 * max(size_of(a), size_of(b))
