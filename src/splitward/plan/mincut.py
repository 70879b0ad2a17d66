"""Minimum cuts of directed graphs with real capacities, by Dinic's algorithm."""

from __future__ import annotations

import math
from collections import deque


class Graph:
    """Arcs in arrays; arc ``i ^ 1`` is the reverse of arc ``i``."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes
        self.arcs: list[list[int]] = [[] for _ in range(nodes)]
        self.head: list[int] = []
        self.room: list[float] = []

    def node(self) -> int:
        """A new node."""
        self.arcs.append([])
        self.nodes += 1
        return self.nodes - 1

    def arc(self, tail: int, head: int, capacity: float, back: float = 0.0) -> None:
        """An arc with its capacity, and that of its reverse."""
        self.arcs[tail].append(len(self.head))
        self.arcs[head].append(len(self.head) + 1)
        self.head += [head, tail]
        self.room += [capacity, back]

    def source_side(self, source: int, sink: int) -> list[bool]:
        """Which nodes lie on the source's side of a minimum cut. No path from source to sink may be unbounded."""
        finite = sum(c for c in self.room if not math.isinf(c))
        self.tiny = 1e-15 * finite
        while (levels := self._levels(source, sink)) is not None:
            self._augment(source, sink, levels)
        return [level >= 0 for level in self._reached]

    def _levels(self, source: int, sink: int) -> list[int] | None:
        levels = [-1] * self.nodes
        levels[source] = 0
        waiting = deque([source])
        head, room, arcs, tiny = self.head, self.room, self.arcs, self.tiny
        while waiting:
            node = waiting.popleft()
            for arc in arcs[node]:
                other = head[arc]
                if levels[other] < 0 and room[arc] > tiny:
                    levels[other] = levels[node] + 1
                    waiting.append(other)
        self._reached = levels
        return levels if levels[sink] >= 0 else None

    def _augment(self, source: int, sink: int, levels: list[int]) -> None:
        """A blocking flow: paths of shortest length until there is none."""
        position = [0] * self.nodes
        head, room, arcs, tiny = self.head, self.room, self.arcs, self.tiny
        path: list[int] = []
        node = source
        while True:
            if node == sink:
                flow = min(room[arc] for arc in path)
                for arc in path:
                    room[arc] -= flow
                    room[arc ^ 1] += flow
                full = next(i for i, arc in enumerate(path) if room[arc] <= tiny)
                node = head[path[full] ^ 1]
                del path[full:]
                continue
            while position[node] < len(arcs[node]):
                arc = arcs[node][position[node]]
                if room[arc] > tiny and levels[head[arc]] == levels[node] + 1:
                    break
                position[node] += 1
            if position[node] < len(arcs[node]):
                path.append(arcs[node][position[node]])
                node = head[path[-1]]
            elif path:
                node = head[path.pop() ^ 1]
                position[node] += 1
            else:
                return
