"""The shared dynamic-sparse network: a glance everywhere, attention where it pays.

Stem (stride 8) -> router -> quadtree tokens on a Hilbert curve -> chunk attention -> un-pooling -> one
pixel embedding at full resolution, read by banks of queries: a class is a query, so are depth and each
axis of the normals. Queries are folded into the last convolution, so a task costs only its own channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from banana_cli.classes import TABLE_OF, TABLES, thing_ids
from banana_cli.model.blocks import Block, ConvBN, Res, one_by_one
from banana_cli.model.cells import Expand, Fine
from banana_cli.model.folded import FoldedBlock
from banana_cli.model.queries import Queries, QueryBank, pixels_of, queries_of
from banana_cli.model.strips import STRIP_PX, strips, whole_like
from banana_cli.model.tokens import (
    Grid,
    TokenPlan,
    Tree,
    build_tree,
    cell_levels,
    flat_rows,
    grid_maps,
    plan_tokens,
)
from banana_cli.specs import ModelSpec
from banana_cli.types import Modality

CELL_PX = 32
_HEIGHT_SPREAD = 0.36  # of codes of what stands, as measured on training scenes: mean error / (2 ln 2)
MODALITIES = tuple(Modality)
_RAISED = "raised"
_IN_FULL = ("prompt", "router", "level", "position", "banks", "geometry", "globals", "things")
"""Parts that compute in fp32 in a network that was made ready for another type."""
THING_PX = 64.0
"""Network pixels from a pixel to the middle of its thing that are 1 in ``NetOutput.things``."""


class Head(StrEnum):
    """What can be read from the pixel embedding."""

    LOGITS = "logits"
    DEPTH = "depth"
    NORMALS = "normals"
    THINGS = "things"


class Routing(StrEnum):
    """Where small tokens go: the learned router, image gradients (no learning), or a baseline.

    The baselines are chance, and 16-px tokens everywhere (a quarter of the dense tokens, at any budget).
    """

    LEARNED = "learned"
    GRADIENT = "gradient"
    RANDOM = "random"
    UNIFORM = "uniform"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetInput:
    """A batch. H and W are multiples of 32; all tensors on one device.

    ``image`` (B, 3, H, W) in [0, 1]; ``valid`` (B, 1, H, W) 0 or 1; ``rays`` (B, 2, H, W)
    ((x-cx)/f, (y-cy)/f), zeros for an unknown camera or none; ``modality`` (B,) int64 index into
    MODALITIES; ``log_pitch`` (B,) log of m or mm a pixel, NaN if unknown. ``lean`` (B, H/8 * W/8): factors of
    what cells are worth, row by row, so that tokens stay where they were; None: nothing is known.
    """

    image: Tensor
    valid: Tensor
    rays: Tensor
    modality: Tensor
    log_pitch: Tensor
    lean: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetOutput:
    """What was read for a batch of one class table; absent heads are None.

    ``logits`` (B, K, H, W); ``depth_code`` (B, 1, H, W), see ``codes``; ``normals`` (B, 3, H, W), not
    unit length; ``log_focal`` (B,) guess of the focal length, see ``codes.GUESS_PX``; ``kept`` share of
    the dense tokens. Heights of scenes are zero nearly everywhere, so they are a hurdle model: ``raised``
    (B, 1, H, W) is the logit of standing above the ground, ``raised_code`` the code if it does, and
    ``depth_code`` the median of both. ``things`` (B, 3, H, W): how much a pixel is the middle of a
    countable thing (1 = it is), and the way (down, right) to the middle of its own in units of THING_PX.
    ``whole``, where no gradients are asked for, is what was read in one piece: logits, depth, normals and
    things.
    """

    logits: Tensor | None
    depth_code: Tensor | None
    normals: Tensor | None
    log_focal: Tensor
    kept: float
    raised: Tensor | None = None
    raised_code: Tensor | None = None
    things: Tensor | None = None
    whole: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Everything before the queries. ``f4`` (B, C4, H/4, W/4), ``registers`` (B, R, D), ``score`` (B, n8)
    the router's log of the expected loss of each 8-px cell, in raster order; ``own_row`` as in ``Tree``."""

    f4: Tensor
    registers: Tensor
    score: Tensor
    kept: float
    own_row: Tensor | None = None
    plan: TokenPlan | None = None

    def levels(self) -> Tensor:
        """(B, H/8, W/8) uint8: 0, 1, 2 where a token covers 8, 16, 32 px. ValueError where nobody knows."""
        if self.own_row is None or self.plan is None:
            raise ValueError("these features do not tell where their tokens are")
        grid = self.plan.grid
        levels = cell_levels(self.own_row, self.plan).index_select(
            1, grid_maps(grid, self.own_row.device).curve8
        )
        return levels.view(-1, 4 * grid.rows, 4 * grid.cols)


@dataclass(frozen=True, slots=True)
class Phase:
    """Every second row from ``row`` and column from ``col`` (each 0 or 1): a quarter of the pixels."""

    row: int
    col: int

    def sub_pixels(self) -> list[int]:
        """The four of the sixteen sub-pixels of a stride-4 cell."""
        return [4 * y + x for y in (self.row, self.row + 2) for x in (self.col, self.col + 2)]

    def of(self, maps: Tensor) -> Tensor:
        """(..., H, W) -> (..., H / 2, W / 2), the pixels that ``read`` computes."""
        return maps[..., self.row :: 2, self.col :: 2]


class Prompt(nn.Module):
    """What the network is told: the modality, and the size of a pixel where it is known."""

    def __init__(self, out: int) -> None:
        super().__init__()
        self.modality = nn.Embedding(len(MODALITIES), 64)
        self.pitch = nn.Linear(2, 64)
        self.mix = nn.Linear(64, out)

    def forward(self, inp: NetInput) -> Tensor:
        """(B, out)."""
        known = torch.isfinite(inp.log_pitch)
        pitch = torch.where(known, inp.log_pitch, 0.0)
        facts = torch.stack([pitch, known.to(pitch.dtype)], -1)
        return one_by_one(self.mix, F.gelu(self.modality(inp.modality) + one_by_one(self.pitch, facts)))


class Router(nn.Module):
    """Predicts the log of each cell's loss from features that it does not train; always fp32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(channels, 32, 3, padding=1)
        self.far = nn.Linear(channels, 32)
        self.score = nn.Conv2d(32, 1, 1)

    def forward(self, f8: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, h * w)."""
        with torch.autocast(f8.device.type, enabled=False):
            x = f8.detach().float()
            hidden = self.near(x) + one_by_one(self.far, x.mean((2, 3)))[:, :, None, None]
            out: Tensor = self.score(F.relu(hidden)).flatten(1)
        return out


def _whole(read: Mapping[str, Tensor], maps: Tensor, depth: Tensor | None) -> Tensor:
    """All heads in the piece of memory in which they were read, with the final depth."""
    if depth is not None:
        read[Head.DEPTH].copy_(depth)
    return maps[:, : maps.shape[1] - (_RAISED in read)]


def geometry_queries(modality: Modality) -> int:
    """Depth, three axes of the normal, and for scenes whether anything is raised at all."""
    return 5 if modality is Modality.AERIAL else 4


def median_code(raised: Tensor, code: Tensor) -> Tensor:
    """The median height code where something stands with probability sigmoid(``raised``), else the ground.

    If it stands, its code is logistic around ``code``: for P > 1/2 the quantile (P - 1/2) / P of that is
    code + spread * log(2 P - 1), and 2 P - 1 = tanh(raised / 2).
    """
    lean = torch.log(torch.tanh(raised.float().clamp_min(1e-3) / 2))
    return (code + _HEIGHT_SPREAD * lean).clamp_min(0.0).where(raised > 0, 0.0)


class BananaNet(nn.Module):
    """The network of one preset."""

    def __init__(self, spec: ModelSpec, *, things: bool = True, fine: bool = True) -> None:
        """``things`` and ``fine``: older weights lack those parts, see ``add_things`` and ``add_fine``."""
        super().__init__()
        self.spec = spec
        c2, c4, c8 = spec.stem
        self.stem2 = ConvBN(6, c2, 3, stride=2)
        self.stem4, self.res4 = ConvBN(c2, c4, 3, stride=2), Res(c4)
        self.stem8, self.res8 = ConvBN(c4, c8, 3, stride=2), nn.Sequential(Res(c8), Res(c8))
        self.to16, self.to32 = nn.Conv2d(c8, c8, 2, 2), nn.Conv2d(c8, c8, 2, 2)
        self.prompt = Prompt(2 * c8 + spec.width)
        self.router = Router(c8)
        self.embed = nn.Linear(c8, spec.width)
        self.level = nn.Embedding(3, spec.width)
        self.position = nn.Linear(16, spec.width)
        self.registers = nn.Parameter(torch.randn(spec.registers, spec.width) * 0.02)
        self.blocks = nn.ModuleList(Block(spec, i) for i in range(spec.depth))
        self.expand = Expand(spec.width, c8)
        self.fine: Fine | None = None
        self.merge8, self.down4 = Res(c8), nn.Conv2d(c8, c4, 1)
        self.merge4 = nn.Sequential(Res(c4), Res(c4))
        # (embed, 16 sub-pixels, C4): pixel embedding of each of the 4x4 pixels of a stride-4 cell.
        # All 16 begin alike, or their differences stay as a grid in smooth maps (ICNR, Aitken et al. 2017).
        shared = torch.randn(spec.embed, 1, c4) * c4**-0.5
        self.pixels = nn.Parameter(shared + 0.05 * torch.randn(spec.embed, 16, c4) * c4**-0.5)
        self.banks = nn.ModuleDict({t.name: QueryBank(len(t), spec.embed) for t in TABLES.values()})
        self.geometry = nn.ModuleDict(
            {m.value: QueryBank(geometry_queries(m), spec.embed) for m in MODALITIES}
        )
        self.globals = nn.Linear(spec.width, 2)  # depth code offset, log focal
        self.things = nn.ModuleDict()
        if things:
            self.add_things()
        if fine:
            self.add_fine()
        self.folded: tuple[FoldedBlock, ...] = ()

    def fold(self, dtype: torch.dtype) -> None:
        """Make ready for inference in ``dtype`` without autocast: weights are cast once, see ``folded``.

        What was folded is used where nothing asks for gradients; weights that change later must be folded
        again. A network in another type than fp32 cannot be saved or trained any more.
        """
        self.folded = tuple(FoldedBlock(cast(Block, block), dtype) for block in self.blocks)
        for name, part in self.named_children():
            if name not in _IN_FULL:
                part.to(dtype)

    def add_fine(self) -> None:
        """Layers between small tokens and stride 4; untrained ones change nothing."""
        self.fine = Fine(self.spec.width, self.spec.stem[1])

    def add_things(self) -> None:
        """Queries for countable things, which older weights lack; untrained ones say that there is none."""
        counted = [m for m in MODALITIES if thing_ids(m)]
        self.things = nn.ModuleDict({m.value: QueryBank(3, self.spec.embed) for m in counted})
        for bank in self.things.values():
            nn.init.zeros_(cast(QueryBank, bank).queries)

    def forward(self, inp: NetInput, budget: float, heads: frozenset[Head]) -> NetOutput:
        """Read ``heads`` for a batch of one modality. ValueError if modalities are mixed."""
        first = int(inp.modality[0])
        if bool((inp.modality != first).any()):
            raise ValueError("a batch must hold one modality; read mixed features group by group")
        return self.read(self.features(inp, budget), MODALITIES[first], heads)

    def features(self, inp: NetInput, budget: float, routing: Routing = Routing.LEARNED) -> Features:
        """Encoder and decoder up to stride 4; modalities may be mixed. ValueError on a wrong size."""
        H, W = inp.image.shape[-2:]
        if H % CELL_PX or W % CELL_PX:
            raise ValueError(f"{H}x{W} is not a multiple of {CELL_PX}")
        grid = Grid(H // CELL_PX, W // CELL_PX)
        plan = TokenPlan(grid, grid.n32, 0) if routing is Routing.UNIFORM else plan_tokens(grid, budget)
        prompt = self.prompt(inp)
        f4, f8 = self._stem(inp, prompt)
        score = self.router(f8)
        with torch.no_grad():
            tree = build_tree(self._gain(score, inp, plan, routing), plan)
        x = self._trunk(self._tokens(f4, f8, tree, plan, prompt))
        tokens = x[:, self.spec.registers : self.spec.registers + plan.count]
        f4, up = self._unpool(f4, tokens, tree, grid)
        return Features(
            f4=self._decode(f4, f8, up),
            registers=x[:, : self.spec.registers],
            score=score,
            kept=plan.kept,
            own_row=tree.own_row,
            plan=plan,
        )

    def read(
        self, features: Features, modality: Modality, heads: frozenset[Head], phase: Phase | None = None
    ) -> NetOutput:
        """Queries on the features of pictures of one modality.

        With a ``phase`` only every second row and column from there on is computed (training).
        """
        parts = self._parts(modality, heads)
        facts = one_by_one(self.globals, features.registers.float().mean(1))
        if not parts:
            return NetOutput(
                logits=None, depth_code=None, normals=None, log_focal=facts[:, 1], kept=features.kept
            )
        maps = self._query(features.f4, list(parts.values()), phase)
        widths = [len(part.bias) for part in parts.values()]
        read = dict(zip(parts, torch.split(maps, widths, 1), strict=True))
        raised, depth = read.get(_RAISED), read.get(Head.DEPTH)
        raised_code = None
        if depth is not None:
            depth = depth + facts[:, 0, None, None, None]
            if raised is not None:
                raised_code, depth = depth, median_code(raised, depth)
        return NetOutput(
            logits=read.get(Head.LOGITS),
            depth_code=depth,
            normals=read.get(Head.NORMALS),
            log_focal=facts[:, 1],
            kept=features.kept,
            raised=raised,
            raised_code=raised_code,
            things=read.get(Head.THINGS),
            whole=None if torch.is_grad_enabled() else _whole(read, maps, depth),
        )

    def counts(self, modality: Modality, heads: frozenset[Head]) -> bool:
        """Whether ``read`` gives ``things``: they are asked for, and these weights know them."""
        return Head.THINGS in heads and modality.value in self.things

    def _parts(self, modality: Modality, heads: frozenset[Head]) -> dict[str, Queries]:
        """What is read of the embedding, in the order of its channels: heads as ``maps.widths`` has them."""
        parts: dict[str, Queries] = {}
        if Head.LOGITS in heads:
            parts[Head.LOGITS] = queries_of(self.banks[TABLE_OF[modality].name])
        geometry = self.geometry[modality.value]
        if Head.DEPTH in heads:
            parts[Head.DEPTH] = queries_of(geometry, slice(0, 1))
        if Head.NORMALS in heads:
            parts[Head.NORMALS] = queries_of(geometry, slice(1, 4))
        if self.counts(modality, heads):
            parts[Head.THINGS] = queries_of(self.things[modality.value])
        if Head.DEPTH in heads and modality is Modality.AERIAL:
            parts[_RAISED] = queries_of(geometry, slice(4, 5))
        return parts

    def _stem(self, inp: NetInput, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C4, H/4, W/4) and (B, C8, H/8, W/8)."""
        H, W = inp.image.shape[-2:]
        if torch.is_grad_enabled() or H * W <= STRIP_PX:
            return self._stem_of(inp.image, inp.valid, inp.rays, prompt)
        f4 = f8 = None
        for strip in strips(H, W):
            image, valid, rays = (strip.seen(t, 1) for t in (inp.image, inp.valid, inp.rays))
            part4, part8 = self._stem_of(image, valid, rays, prompt)
            if f4 is None or f8 is None:
                f4, f8 = whole_like(part4, H // 4), whole_like(part8, H // 8)
            strip.keep(part4, f4, 4)
            strip.keep(part8, f8, 8)
        return cast(Tensor, f4), cast(Tensor, f8)

    def _stem_of(self, image: Tensor, valid: Tensor, rays: Tensor, prompt: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.cat([(image - 0.45).mul_(4).mul_(valid), rays, valid], 1)
        x = x.to(cast(nn.Conv2d, self.stem2[0]).weight.dtype)  # first: then there is half to turn
        x = x.contiguous(memory_format=torch.channels_last)
        f4 = self.res4(F.relu(self.stem4(F.relu(self.stem2(x)))))
        f8 = self.res8(F.relu(self.stem8(f4)))
        c8 = self.spec.stem[2]
        told = prompt.to(f8.dtype)
        scale, shift = told[:, :c8, None, None], told[:, c8 : 2 * c8, None, None]
        return f4, f8 * (1 + scale) + shift

    def _gain(self, score: Tensor, inp: NetInput, plan: TokenPlan, routing: Routing) -> Tensor:
        order = grid_maps(plan.grid, score.device).raster8
        if routing in (Routing.RANDOM, Routing.UNIFORM):
            gain = torch.rand_like(score)
        elif routing is Routing.GRADIENT:
            gain = gradient_energy(inp.image)
        else:
            gain = score.detach().float().clamp(-8, 8).exp()
            if self.training:  # some chance in where cells split, so that every level is trained everywhere
                gain = gain * torch.randn_like(gain).mul(0.4).exp()
        if inp.lean is not None:
            gain = gain * inp.lean
        # Padding and nodata never deserve small tokens.
        return (gain * F.avg_pool2d(inp.valid.float(), 8).flatten(1)).index_select(1, order)

    def _tokens(self, f4: Tensor, f8: Tensor, tree: Tree, plan: TokenPlan, prompt: Tensor) -> Tensor:
        where = grid_maps(plan.grid, f8.device).centre[tree.row]
        tokens = self.embed(self._picked(f8, tree, plan))
        if self.fine is not None:
            tokens = tokens + self.fine.read(f4, tree, plan)
        tokens = tokens + self.level(where[..., 2].long()) + self.position(fourier(where[..., :2]))
        return cast(Tensor, tokens + prompt[:, None, -self.spec.width :])

    def _picked(self, f8: Tensor, tree: Tree, plan: TokenPlan) -> Tensor:
        """(B, N, C8): what each token is made of."""
        maps = grid_maps(plan.grid, f8.device)
        f16 = self.to16(f8)
        f32 = self.to32(f16)
        n8, n16 = plan.grid.n8, plan.grid.n8 // 4
        bank = torch.cat([f.flatten(2).transpose(1, 2) for f in (f8, f16, f32)], 1)
        to_raster = torch.cat([maps.raster8, maps.raster16 + n8, maps.raster32 + n8 + n16])
        rows = flat_rows(to_raster[tree.row], bank.shape[1])
        return bank.reshape(-1, bank.shape[-1]).index_select(0, rows).view(len(f8), plan.count, -1)

    def _trunk(self, tokens: Tensor) -> Tensor:
        # A last partial chunk is filled with copies of the last token, dropped again by the caller.
        fill = -tokens.shape[1] % self.spec.chunk
        parts = [self.registers.expand(tokens.shape[0], -1, -1).to(tokens.dtype), tokens]
        x = torch.cat([*parts, tokens[:, -1:].expand(-1, fill, -1)], 1)
        if self.folded and not torch.is_grad_enabled():
            x = x.to(self.folded[0].dtype)
            for folded in self.folded:
                folded(x, self.spec.registers)
            return x
        for block in self.blocks:
            x = block(x, self.spec.registers)
        return x

    def _unpool(self, f4: Tensor, tokens: Tensor, tree: Tree, grid: Grid) -> tuple[Tensor, Tensor]:
        """``f4`` with what small tokens tell it, and what all tokens give the cells of 8 px."""
        normed = self.expand.norm(tokens)
        if self.fine is not None:
            f4 = f4 + self.fine.write(normed, tree, grid)
        return f4, self.expand(normed, tree, grid)

    def _decode(self, f4: Tensor, f8: Tensor, up: Tensor) -> Tensor:
        """(B, C4, H/4, W/4) of the stem's two and of the cells' tokens."""
        H, W = 4 * f4.shape[-2], 4 * f4.shape[-1]
        if torch.is_grad_enabled() or H * W <= STRIP_PX:
            return self._decode_of(f4, f8, up)
        whole = whole_like(f4, H // 4)
        for strip in strips(H, W):
            strip.keep(self._decode_of(strip.seen(f4, 4), strip.seen(f8, 8), strip.seen(up, 8)), whole, 4)
        return whole

    def _decode_of(self, f4: Tensor, f8: Tensor, up: Tensor) -> Tensor:
        x = self.down4(self.merge8(f8 + up))
        out: Tensor = self.merge4(F.interpolate(x, scale_factor=2, mode="nearest") + f4)
        return out

    def _query(self, f4: Tensor, banks: list[Queries], phase: Phase | None) -> Tensor:
        pixels = self.pixels if phase is None else self.pixels[:, phase.sub_pixels()]
        queries = torch.cat([b.queries for b in banks]).float()
        bias = torch.cat([b.bias for b in banks])
        if phase is None and not torch.is_grad_enabled():
            return pixels_of(f4, torch.einsum("ke,esc->skc", queries, pixels.float()), bias)
        weight = torch.einsum("ke,esc->ksc", queries, pixels.float()).flatten(0, 1)
        bias = bias.repeat_interleave(pixels.shape[1])
        out = F.conv2d(f4, weight[:, :, None, None].to(f4.dtype), bias.to(f4.dtype))
        return F.pixel_shuffle(out, 4 if phase is None else 2)


def fourier(xy: Tensor) -> Tensor:
    """(..., 2) positions -> (..., 16) sines and cosines of four octaves, the slowest of period 2."""
    octaves = math.pi * 2.0 ** torch.arange(4, device=xy.device)
    angles = (xy[..., None] * octaves).flatten(-2)
    return torch.cat([angles.sin(), angles.cos()], -1)


def gradient_energy(image: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, n8) mean absolute luminance gradient of each 8-px cell, raster order."""
    grey = image.float().mean(1, keepdim=True)
    dx = (grey[..., 1:] - grey[..., :-1]).abs()
    dy = (grey[..., 1:, :] - grey[..., :-1, :]).abs()
    energy = F.pad(dx, (0, 1)) + F.pad(dy, (0, 0, 0, 1))
    return F.avg_pool2d(energy, 8).flatten(1)
