"""Losses of all tasks on a mixed batch, masked by what each source labels, and the router's target.

B pictures, K classes, S label sets. Every term returns a per-pixel map too: the router learns where the
network errs (supervised by the loss itself, RESEARCH 2.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from banana_cli.classes import TABLE_OF, possible_ids
from banana_cli.model.codes import GUESS_PX, code_from_depth
from banana_cli.model.net import Features, NetOutput, Phase
from banana_cli.types import Modality

IGNORE = 255
FAR_M = 200.0
_MEDIAN_MM = 20.0  # of every picture in visible light
_FLAT_COSINE = 0.97  # of the angle between a surface and the ground
_RAISED_M = 0.5  # what is lower is the ground
_FEW_MIDDLES = 1 / 200  # of the known pixels
# Thin and rare things count more; full inverse frequency would drown the rest (ENet, Paszke et al. 2016).
_RARE: dict[str, float] = {
    "pole": 2.5,
    "traffic light": 3.0,
    "traffic sign": 3.0,
    "person": 3.0,
    "rider": 3.0,
    "bicycle": 3.0,
    "motorcycle": 3.0,
    "cone or barrier": 2.5,
    "fence": 1.5,
    "wall": 1.5,
    "truck": 1.5,
    "bus": 1.5,
    "car": 1.2,
    "left ventricle": 3.0,
    "vessel": 2.5,
    "nerve": 2.5,
    "tumour": 2.5,
    "bone": 1.5,
    "vehicle": 2.5,
    "building": 1.2,
    "water": 1.5,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Labels of a batch of one modality, on the network's device.

    ``label`` (B, H, W) int64 into each picture's ``sets``; ``depth`` (B, 1, H, W) physical, NaN unknown;
    ``normals`` (B, 3, H, W), 0 unknown; ``focal_px`` (B,) at this resolution, NaN unknown; ``things``
    (B, 3, H, W) as ``things.things_truth`` says, None if nobody has counted in any of the pictures.
    """

    modality: Modality
    label: Tensor
    sets: tuple[tuple[tuple[int, ...], ...], ...]
    depth: Tensor
    normals: Tensor
    focal_px: Tensor
    things: Tensor | None = None

    def at(self, phase: Phase) -> Targets:
        """The labels of every second pixel."""
        return replace(
            self,
            label=phase.of(self.label),
            depth=phase.of(self.depth),
            normals=phase.of(self.normals),
            things=None if self.things is None else phase.of(self.things),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Sums over pixels and their counts, so that groups of a batch add up; maps (B, H, W) for the router."""

    segment: Tensor
    dice: Tensor
    depth: Tensor
    edges: Tensor
    normals: Tensor
    focal: Tensor
    middle: Tensor
    offset: Tensor
    pixel_loss: Tensor


def set_log_probability(logits: Tensor, modality: Modality, sets: tuple[tuple[int, ...], ...]) -> Tensor:
    """(K, H, W) logits -> (S, H, W) log of the probability of each set, among the possible classes."""
    possible = torch.tensor(possible_ids(modality), device=logits.device)
    log_p = logits.index_select(0, possible).log_softmax(0)
    place = {int(c): i for i, c in enumerate(possible_ids(modality))}
    inside = [[place[c] for c in members if c in place] for members in sets]
    if all(len(m) == 1 for m in inside):
        return log_p.index_select(0, torch.tensor([m[0] for m in inside], device=logits.device))
    member = torch.zeros(len(sets), len(place), device=logits.device)
    for row, places in enumerate(inside):
        member[row, places] = 1.0
    return torch.log(torch.einsum("sk,khw->shw", member, log_p.exp()) + 1e-9)


def _set_weights(modality: Modality, sets: tuple[tuple[int, ...], ...]) -> list[float]:
    names = TABLE_OF[modality].names
    return [min((_RARE.get(names[c], 1.0) for c in members), default=1.0) for members in sets]


def segment_terms(logits: Tensor, targets: Targets) -> tuple[Tensor, Tensor, Tensor]:
    """Mean cross-entropy over sets, mean soft Dice loss of the sets present, and the (B, H, W) map."""
    maps, dices, weights = [], [], []
    for item, label, sets in zip(logits.float(), targets.label, targets.sets, strict=True):
        known = label != IGNORE
        log_set = set_log_probability(item, targets.modality, sets)
        safe = label.masked_fill(~known, 0)
        weight = torch.tensor(_set_weights(targets.modality, sets), device=label.device)[safe] * known
        maps.append(-log_set.gather(0, safe[None])[0] * weight)
        weights.append(weight)
        dices.append(_dice(log_set.exp() * known, safe, known))
    loss_map, weight_map = torch.stack(maps), torch.stack(weights)
    return loss_map.sum() / weight_map.sum().clamp_min(1.0), torch.stack(dices).mean(), loss_map


def _dice(p: Tensor, label: Tensor, known: Tensor) -> Tensor:
    truth = torch.zeros_like(p).scatter_(0, label[None], known[None].to(p.dtype))
    overlap, total = (p * truth).sum((1, 2)), (p + truth).sum((1, 2))
    present = truth.sum((1, 2)) > 0
    loss = 1 - (2 * overlap + 10) / (total + 10)
    return (loss * present).sum() / present.sum().clamp_min(1)


def depth_terms(code: Tensor, targets: Targets) -> tuple[Tensor, Tensor, Tensor]:
    """Mean absolute error of the code, multi-scale gradient error (MiDaS, Ranftl et al. 2020), the map."""
    focal = targets.focal_px[:, None, None, None]
    depth = targets.depth
    if targets.modality is Modality.STREET:
        depth = depth.where((depth > 0) & (depth < FAR_M), torch.nan)
    if targets.modality is Modality.VISIBLE:
        depth = _of_free_scale(depth)
    truth = code_from_depth(depth, targets.modality, focal)
    known = torch.isfinite(truth)
    gap = torch.where(known, code.float() - truth, 0.0)
    edges = code.new_zeros((), dtype=torch.float32)
    for step in (1, 2, 4, 8):
        edges = edges + _gradient(gap[..., ::step, ::step], known[..., ::step, ::step])
    return gap.abs().sum() / known.sum().clamp_min(1), edges, gap.abs()[:, 0]


def height_terms(raised: Tensor, code: Tensor, targets: Targets) -> tuple[Tensor, Tensor, Tensor]:
    """As ``depth_terms`` for heights, which are zero nearly everywhere: is it raised, and if so how high.

    One absolute error over both would be least at zero wherever a roof is less sure than not.
    """
    truth = code_from_depth(targets.depth, targets.modality)
    known, up = torch.isfinite(truth), targets.depth > _RAISED_M
    sure = F.binary_cross_entropy_with_logits(raised.float(), up.float(), reduction="none") * known
    gap = torch.where(up, code.float() - truth, 0.0)
    height = gap.abs().sum() / up.sum().clamp_min(1)
    edges = sum((_gradient(gap[..., ::n, ::n], up[..., ::n, ::n]) for n in (1, 2, 4, 8)), torch.zeros(()))
    return sure.sum() / known.sum().clamp_min(1) + 0.5 * height, edges, (sure + gap.abs())[:, 0]


def _of_free_scale(depth: Tensor) -> Tensor:
    """Each picture scaled to the same median: without a calibration only the shape can be known."""
    middle = depth.flatten(1).nanmedian(1).values[:, None, None, None]
    return depth * (_MEDIAN_MM / middle.clamp_min(1e-3))


def _raised(above: Tensor) -> Tensor:
    """Weights for scenes: most of a scene is flat, and the median of a mostly flat cell is flat."""
    return 1.0 + 5.0 * above.float()


def _gradient(gap: Tensor, known: Tensor) -> Tensor:
    dx, kx = gap[..., 1:] - gap[..., :-1], known[..., 1:] & known[..., :-1]
    dy, ky = gap[..., 1:, :] - gap[..., :-1, :], known[..., 1:, :] & known[..., :-1, :]
    total = (dx.abs() * kx).sum() + (dy.abs() * ky).sum()
    return total / (kx.sum() + ky.sum()).clamp_min(1)


def normal_terms(normals: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """Mean squared distance of what was said, at its own length, from the unit normal; the map of distances.

    Judged after normalising, an answer only grows longer and its gradient smaller with it. And the median
    of walls on the left and on the right is neither until a network is sure which, so with plain distances
    it never began to tell them apart; the mean leans as soon as there is anything to lean on
    (weights/LOG.md). Scenes are flat nearly everywhere, and the median keeps them so.
    """
    known = targets.normals.abs().sum(1) > 0.5
    square = (normals.float() - targets.normals).square().sum(1) * known
    distance = (square + 1e-6).sqrt()
    error, weight = square, known.float()
    if targets.modality is Modality.AERIAL:
        error, weight = distance, weight * _raised(targets.normals[:, 2] > -_FLAT_COSINE)
    return (error * weight).sum() / weight.sum().clamp_min(1), distance


def focal_term(log_focal: Tensor, targets: Targets) -> Tensor:
    """Smooth absolute error of the guessed log focal length, where the true one is known."""
    truth = torch.log(targets.focal_px / GUESS_PX)
    known = torch.isfinite(truth)
    gap = torch.where(known, log_focal.float() - truth, 0.0)
    return F.smooth_l1_loss(gap, torch.zeros_like(gap), beta=0.1, reduction="sum") / known.sum().clamp_min(1)


def thing_terms(said: Tensor | None, targets: Targets) -> tuple[Tensor, Tensor]:
    """Squared error of the middles as a share of their own squares, mean absolute error of the ways there.

    Where there are few it is the mean over all pixels times 200, as in Panoptic-DeepLab; a town of roofs
    would drown all else at that, so it never costs more than 1 to see no middle at all.
    """
    truth = targets.things
    if said is None or truth is None:
        nothing = targets.depth.new_zeros(())
        return nothing, nothing
    known = torch.isfinite(truth)
    middle, truth = known[:, 0], torch.where(known, truth, 0.0)
    gap = torch.where(known, said.float() - truth, 0.0)
    size = truth[:, 0].square().sum() + _FEW_MIDDLES * middle.sum()
    way = gap[:, 1:].abs().sum() / known[:, 1].sum().clamp_min(1)
    return gap[:, 0].square().sum() / size.clamp_min(1), way


def all_terms(out: NetOutput, targets: Targets) -> Terms:
    """Every term for one modality's part of a batch; ``out`` must hold all heads, but that for things."""
    if out.logits is None or out.depth_code is None or out.normals is None:
        raise ValueError("the loss needs all heads")
    segment, dice, segment_map = segment_terms(out.logits, targets)
    if out.raised is None or out.raised_code is None:
        depth, edges, depth_map = depth_terms(out.depth_code, targets)
    else:
        depth, edges, depth_map = height_terms(out.raised, out.raised_code, targets)
    normals, normal_map = normal_terms(out.normals, targets)
    middle, offset = thing_terms(out.things, targets)
    # Depth enters with its own weight, else segmentation owns the small tokens (MODEL decision 2).
    pixel = segment_map.detach() + 1.5 * depth_map.detach() + 0.5 * normal_map.detach()
    return Terms(
        segment=segment,
        dice=dice,
        depth=depth,
        edges=edges,
        normals=normals,
        focal=focal_term(out.log_focal, targets),
        middle=middle,
        offset=offset,
        pixel_loss=pixel,
    )


def soft_term(logits: Tensor, dense: Tensor, modality: Modality, valid: Tensor) -> Tensor:
    """Mean KL divergence, over valid pixels, of class probabilities from those of the dense budget.

    ``logits`` and ``dense`` (B, K, H, W), ``valid`` (B, 1, H, W) 0 or 1.
    """
    possible = torch.tensor(possible_ids(modality), device=logits.device)
    log_p, log_q = (x.float().index_select(1, possible).log_softmax(1) for x in (logits, dense))
    gap = (log_q.exp() * (log_q - log_p)).sum(1, keepdim=True)
    return (gap * valid).sum() / valid.sum().clamp_min(1)


def router_term(features: Features, pixel_loss: Tensor) -> Tensor:
    """SmoothL1 between the router's score and the log of the loss of each 8-px cell.

    ``pixel_loss`` (B, H, W) at full resolution or at every second pixel.
    """
    cell = round((pixel_loss[0].numel() / features.score.shape[1]) ** 0.5)
    cells = F.avg_pool2d(pixel_loss[:, None], cell).flatten(1)
    return F.smooth_l1_loss(features.score, torch.log(0.02 + cells))


def total(terms: Terms) -> Tensor:
    """The weighted sum that is trained (without the router)."""
    return (
        terms.segment
        + 0.5 * terms.dice
        + terms.depth
        + 0.25 * terms.edges
        + 2.0 * terms.normals
        + 0.3 * terms.focal
        + terms.middle
        + terms.offset
    )
