"""The driving domain's door: which inputs are ours, and who opens them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from banana_cli.adapter import InputItem, Source, SourceInfo, numbered, read_head
from banana_cli.errors import InputError
from banana_cli.options import ReadOptions
from banana_cli.types import Domain

from .sniff import Content, content


class DrivingAdapter:
    """Reads dashcam clips (through FFmpeg's libraries) and photographs."""

    name = "driving"
    domain = Domain.DRIVING
    accepts = frozenset(
        {"start", "end", "fps", "vid-stride", "no-audio", "no-steady", "bonnet", "focal", "fov"}
    )

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the first bytes are those of a clip or a photograph."""
        return content(head) is not None

    def follows(self, head: bytes) -> bool:
        """Clips are read while they come."""
        return content(head) is Content.VIDEO

    def group(self, paths: Sequence[Path], *, root: Path | None) -> Sequence[InputItem]:
        """One job a file, one for a pattern of numbered pictures; the tree below ``root`` is mirrored."""
        return [_item(p, _folder(p, root)) for p in paths]

    def inspect(self, item: InputItem, options: ReadOptions) -> SourceInfo:
        """Headers and the first frame's properties. InputError if it cannot be read."""
        if len(item.paths) > 1:
            from .sequence import inspect_sequence

            return inspect_sequence(item, options)
        if _kind(item) is Content.PICTURE:
            from .images import inspect_picture

            return inspect_picture(item, options)
        from .probe import inspect_video

        return inspect_video(item, options)

    def open(self, item: InputItem, options: ReadOptions) -> AbstractContextManager[Source]:
        """Open for reading frames. InputError if it cannot be read."""
        if len(item.paths) > 1:
            from .sequence import open_sequence

            return open_sequence(item, options)
        if _kind(item) is Content.PICTURE:
            from .images import open_picture

            return open_picture(item, options)
        from .read import open_video

        return open_video(item, options)


def _item(path: Path, folder: Path) -> InputItem:
    if path.exists() or len(numbered(path)) < 2:
        single = path if path.exists() else next((p for _, p in numbered(path)), path)
        return InputItem(paths=(single,), stem=single.stem, folder=folder)
    from .sequence import sequence_item

    return sequence_item(path, folder)


def _folder(path: Path, root: Path | None) -> Path:
    if root is None or not path.is_relative_to(root):
        return Path()
    return path.parent.relative_to(root)


def _kind(item: InputItem) -> Content:
    head = read_head(item.paths[0])
    if not head:
        raise InputError("the file is empty", subject=item.subject, remedy="copy it again from its origin")
    found = content(head)
    if found is None:
        raise InputError(
            "this is neither a video nor a PNG, JPEG, WebP or BMP picture",
            subject=item.subject,
            remedy="look at it with `file`, or leave it out",
        )
    return found


DRIVING = DrivingAdapter()
