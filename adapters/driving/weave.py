"""Interlaced pictures made whole: one picture for each that was stored, at its own time."""

from __future__ import annotations

import av
from av.filter import Graph


class Weaver:
    """FFmpeg's bwdif over the pictures of one clip; progressive pictures pass unchanged.

    A picture needs its neighbours, so each comes out one later than it went in.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None

    def push(self, picture: av.VideoFrame) -> list[av.VideoFrame]:
        """Take a picture, give those that are ready. Its time is read from where it came."""
        if self._graph is None:
            self._graph = _graph(picture)
        self._graph.push(picture)
        return self._pull(self._graph)

    def flush(self) -> list[av.VideoFrame]:
        """The pictures that still wait; the next push begins anew."""
        graph, self._graph = self._graph, None
        if graph is None:
            return []
        graph.push(None)
        return self._pull(graph)

    @staticmethod
    def _pull(graph: Graph) -> list[av.VideoFrame]:
        ready = []
        while True:
            try:
                ready.append(graph.pull())
            except (av.BlockingIOError, av.EOFError):
                return ready


def _graph(picture: av.VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
    )
    # One picture for each (not one for each field), and only of those that say that they are interlaced.
    weave = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    source.link_to(weave)
    weave.link_to(graph.add("buffersink"))
    graph.configure()
    return graph
