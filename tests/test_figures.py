"""Figures: intervals of percent are cut, numbers lie on no mark."""

import math

import pandas as pd

from physics_lm import figures


def _rows(**columns) -> pd.DataFrame:
  return pd.DataFrame({f'accuracy_{k}': v for k, v in columns.items()})


def _numbers(ax) -> list:
  return [t for t in ax.texts if t.get_gid() == figures.NUMBER]


def test_intervals_of_percent_end_at_0_and_100_and_the_caption_says_so():
  fig, ((ax,),) = figures.grid(width=8)
  rows = _rows(mean=[90.0, 5.0, 50.0], low=[60.0, -20.0, 40.0],
               high=[120.0, 30.0, 60.0])
  figures.bars(ax, rows, 'accuracy', ['a', 'b', 'c'])
  figures.percent_axis(ax)
  drawn, = (c for c in ax.containers if hasattr(c, 'has_yerr'))
  spans = [sorted(path.vertices[:, 1])
           for line in drawn[2] for path in line.get_paths()]
  assert spans == [[60, 100], [0, 30], [40, 60]]
  low, high = (cap.get_data()[1] for cap in drawn[1])
  # No cap where an interval is cut.
  assert [[not math.isnan(v) for v in x] for x in (low, high)] == [
      [True, False, True], [False, True, True]]
  assert _numbers(ax)[0].xy[1] == 100
  figures.finish(fig, 'title', 'caption')
  assert any('no cap: interval cut at 0 or 100' in t.get_text()
             for t in fig.texts)


def test_a_number_moves_off_the_papers_mark():
  """Upward; to the right of a horizontal bar; a number that is free stays."""
  for horizontal in (False, True):
    fig, ((ax,),) = figures.grid(1)
    rows = _rows(mean=[50.0, 50.0], low=[49.0, 49.0], high=[51.0, 51.0])
    paper = [54.0, 20.0]  # on the first number; far below the second
    figures.bars(ax, rows, 'accuracy', ['a', 'b'], paper=paper,
                 horizontal=horizontal, width=0.1)
    (ax.set_xlim if horizontal else ax.set_ylim)(0, 100)
    before = [t.xyann for t in _numbers(ax)]
    figures.finish(fig, 'title', 'caption')
    after = [t.xyann for t in _numbers(ax)]
    assert after[1] == before[1]
    k = 0 if horizontal else 1
    fig.draw_without_rendering()
    marks = [m.get_window_extent() for m in ax.lines
             if m.get_gid() == figures.MARK]
    assert marks
    assert not any(t.get_window_extent().overlaps(m)
                   for t in _numbers(ax) for m in marks)
    assert after[0][k] > before[0][k]
