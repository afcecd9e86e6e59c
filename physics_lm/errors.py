"""One clear line for bad input: what was found, what was wanted, exit 2."""

import difflib
import functools
import os
import sys


class BadInput(ValueError):
  """The user can mend this; the message is one line: found, then wanted."""


def nearest(word: str, known) -> str:
  """' (nearest: ...)' for a misspelt name, or the list when none is near."""
  known = [str(k) for k in known]
  close = difflib.get_close_matches(word, known, n=1)
  return f'nearest: {close[0]}' if close else f'known: {", ".join(known)}'


def command(main):
  """Wraps a command's main: BadInput becomes one line on stderr and exit 2."""

  @functools.wraps(main)
  def wrapped(*args, **kwargs):
    try:
      return main(*args, **kwargs)
    except BadInput as e:
      print(f'error: {e}', file=sys.stderr)
      sys.exit(2)
    except BrokenPipeError:  # `... | head`: the reader has seen enough
      os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
      sys.exit(0)

  return wrapped
