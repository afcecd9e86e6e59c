"""Progress of long commands, and stopping them without loss. No JAX."""

import os
import signal
import sys
import threading
import time


class Stop:
  """A context that notes SIGTERM and Ctrl-C in `signal`, so that a loop can
  save and return; a second signal kills the process. Signals are noted in the
  main thread only. `promise`: the text to print, what will happen."""

  def __init__(self, promise: str = 'it will save and stop'):
    self.signal, self._promise = '', promise

  def __enter__(self):
    self._before = {}
    if threading.current_thread() is threading.main_thread():
      self._before = {s: signal.signal(s, self._note)
                      for s in (signal.SIGTERM, signal.SIGINT)}
    return self

  def __exit__(self, *_):
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _note(self, number, frame):
    self.signal = signal.Signals(number).name
    signal.signal(number, signal.SIG_DFL)
    # print() would fail where the signal came in the middle of another one.
    os.write(2, f'{self.signal}: {self._promise}; press again to kill\n'
             .encode())


class Progress:
  """A progress bar on a terminal, a plain line at intervals (seconds)
  elsewhere, or with bar=False."""

  def __init__(self, total: int, first: int, name: str, unit: str,
               interval: float = 15.0, bar: bool = True):
    self.total, self.name, self.unit = total, name, unit
    self._interval, self._first = interval, first
    self._began = self._shown = time.time()
    self._bar = None
    if bar and sys.stderr.isatty():
      from tqdm import tqdm
      self._bar = tqdm(total=total, initial=first, desc=name, unit=unit,
                       leave=False, dynamic_ncols=True)

  def update(self, at: int, note: str = ''):
    """Shows that step `at` is done; `note` is appended."""
    if self._bar is not None:
      self._bar.set_postfix_str(note, refresh=False)
      self._bar.update(at - self._bar.n)
    elif time.time() - self._shown >= self._interval:
      self._shown = time.time()
      parts, done = [f'{self.name}: {self.unit} {at}/{self.total}'], (
          at - self._first)
      if note:
        parts.append(note)
      if done > 0:  # else there is no pace yet
        pace = (self._shown - self._began) / done
        parts.append(f'about {clock(pace * (self.total - at))} left')
      print(', '.join(parts), flush=True)

  def close(self):
    """Removes the bar."""
    if self._bar is not None:
      self._bar.close()


def clock(seconds: float) -> str:
  """'45s', '3m20s' or '2h05m'."""
  s = round(seconds)
  if s < 60:
    return f'{s}s'
  return f'{s // 60}m{s % 60:02d}s' if s < 3600 else (
      f'{s // 3600}h{s % 3600 // 60:02d}m')
