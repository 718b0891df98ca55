"""When which worker did what: as a picture with a lane a worker, and in the format of Chrome's tracing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jpipe.render.humanize import brief
from jpipe.report.graph_svg import legible
from jpipe.report.run_document import Bar

__all__ = ["Lane", "chrome_trace", "lanes_of", "step_color", "timeline_svg"]

_WIDTH = 1000.0
_LANE = 22.0
_LABEL = 76.0
_MOST_BARS = 1500
_HUES = 12


class Lane(NamedTuple):
    """A worker: its number and name, what it did, and the share of the run in which it did nothing."""

    worker: int
    name: str
    bars: tuple[Bar, ...]
    idle: float


def lanes_of(bars: Sequence[Bar], seconds: float, jobs: int) -> list[Lane]:
    """The workers with what they did; also those that did nothing."""
    workers = {bar.worker for bar in bars}
    if any(workers):
        workers |= set(range(1, jobs + 1))
    span = max([seconds, *(bar.end for bar in bars)], default=0.0)
    lanes = []
    for worker in sorted(workers):
        own = tuple(bar for bar in bars if bar.worker == worker)
        busy = sum(bar.end - bar.start for bar in own)
        name = f"worker {worker}" if worker else "main process"
        lanes.append(Lane(worker, name, own, max(0.0, 1 - busy / span) if span else 0.0))
    return lanes


def timeline_svg(
    lanes: Sequence[Lane], seconds: float, steps: Sequence[str], place: Callable[[Bar], str] = lambda bar: ""
) -> str:
    """The picture: a lane a worker, a bar an item, the steps by colour and, where there is room, by name.

    `place` says where a click on a bar leads: a convenience, so the same has to be in reach by keyboard elsewhere.
    """
    span = max([seconds, *(bar.end for lane in lanes for bar in lane.bars), 1e-6])
    number = {step: position for position, step in enumerate(steps)}
    scale = (_WIDTH - _LABEL - 60) / span
    height = len(lanes) * _LANE + 28
    named = f'role="img" aria-label="What each worker did when, in {brief(span)}"'
    sides = f'viewBox="0 0 {_WIDTH:.0f} {height:.0f}" width="{_WIDTH:.0f}" height="{height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="jp-time" {named} {sides} font-family="sans-serif"'
    parts = [f'{head} font-size="11">']
    gap = span / (_MOST_BARS / max(1, len(lanes)))
    many = sum(len(lane.bars) for lane in lanes) > _MOST_BARS
    for row, lane in enumerate(lanes):
        y = row * _LANE + 4
        parts.append(f'<text x="0" y="{y + 12:.0f}" fill="var(--jp-ink, #222)">{lane.name}</text>')
        parts.append(
            f'<text x="{_WIDTH - 4:.0f}" y="{y + 12:.0f}" text-anchor="end" fill="var(--jp-soft, #555)">'
            f"{lane.idle * 100:.0f}% idle</text>"
        )
        bars = _joined(lane.bars, gap) if many else lane.bars
        parts += [_bar(bar, y, scale, number.get(bar.step, 0), place(bar)) for bar in bars]
    parts.append(_axis(span, scale, height))
    return "".join([*parts, "</svg>"])


def step_color(number: int) -> str:
    """The colour of a step's bars: well apart for steps that follow each other."""
    return f"hsl({(number * 5 % _HUES) * 360 // _HUES} 45% {48 if number % 2 else 40}%)"


def chrome_trace(bars: Sequence[Bar], pipeline: str) -> dict[str, Any]:
    """The timeline as Chrome's tracing and Perfetto read it; times in microseconds."""
    events: list[dict[str, Any]] = [
        {"ph": "M", "pid": 1, "tid": 0, "name": "process_name", "args": {"name": pipeline}},
    ]
    for worker in sorted({bar.worker for bar in bars}):
        name = f"worker {worker}" if worker else "main process"
        events.append({"ph": "M", "pid": 1, "tid": worker, "name": "thread_name", "args": {"name": name}})
    for bar in bars:
        when = {"ts": round(bar.start * 1e6), "dur": round((bar.end - bar.start) * 1e6)}
        told = {"name": bar.label, "cat": bar.step, "args": {"step": bar.step, "failed": bar.failed}}
        events += [{"ph": "X", "pid": 1, "tid": bar.worker, **when, **told}]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _bar(bar: Bar, y: float, scale: float, step: int, place: str) -> str:
    x, width = _LABEL + bar.start * scale, max(0.8, (bar.end - bar.start) * scale)
    color = "#b3261e" if bar.failed else step_color(step)
    tip = legible(f"{bar.label} · {brief(bar.end - bar.start)}{' · failed' if bar.failed else ''}")
    text = f"✗ {bar.step}" if bar.failed else bar.step
    room = int(width / 6.5)
    label = ""
    if room >= 4:
        shown = text if len(text) <= room else f"{text[: room - 1]}…"
        label = f'<text x="{x + 3:.1f}" y="{y + 12:.1f}" fill="#fff" font-size="10">{legible(shown)}</text>'
    rect = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_LANE - 6:.0f}" fill="{color}" rx="1.5"/>'
    leads = f' data-place="{legible(place)}"' if place else ""
    return f"<g{leads}><title>{tip}</title>{rect}{label}</g>"


def _joined(bars: Sequence[Bar], gap: float) -> list[Bar]:
    """Bars of one step that would be thinner than a line, as one."""
    joined: list[tuple[Bar, int]] = []
    for bar in bars:
        last = joined[-1] if joined else None
        alike = last is not None and last[0].step == bar.step and last[0].failed == bar.failed
        if last is not None and alike and bar.start - last[0].end < gap and bar.end - last[0].start < 4 * gap:
            joined[-1] = (last[0]._replace(end=bar.end), last[1] + 1)
        else:
            joined.append((bar, 1))
    return [bar if count == 1 else bar._replace(label=f"{bar.step}: {count} items", item=-1) for bar, count in joined]


def _axis(span: float, scale: float, height: float) -> str:
    step = 10.0 ** (len(str(int(span))) - 1) if span >= 1 else span / 4
    for finer in (0.2, 0.5, 1.0):
        if span / (step * finer) <= 10:
            step *= finer
            break
    parts = []
    count = int(span / step)
    for tick in range(count + 1):
        x = _LABEL + tick * step * scale
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="2" y2="{height - 18:.0f}" stroke="var(--jp-faint, #ddd)"/>'
            f'<text x="{x:.1f}" y="{height - 5:.0f}" text-anchor="middle" fill="var(--jp-soft, #555)">'
            f"{brief(tick * step) if span >= 1 else f'{tick * step * 1000:.0f}ms'}</text>"
        )
    return "".join(parts)
