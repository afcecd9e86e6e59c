"""One clear line for bad input: what was found, what was wanted, exit 2."""

import contextlib
import difflib
import errno
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

# Errors of a disk or a path. Any other error is a bug and keeps its traceback.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS,
         errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG,
         errno.ELOOP, errno.EIO)
INTERRUPTED = 130  # exit status after Ctrl-C, as of a shell


class BadInput(ValueError):
  """Input that the user can correct. The message is one line that names what
  was found, then what was wanted."""


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
  """A context in which a full or read-only disk raises BadInput. tensorstore,
  which writes checkpoints, raises its own exceptions, whose text is searched.
  """
  try:
    yield
  except BadInput:
    raise
  except Exception as e:
    if not _is_of_disk(e):
      raise
    reason = (str(e).strip().splitlines() or [''])[0][:300]
    raise BadInput(f'cannot write in {folder}: {reason}; wanted a writable '
                   'folder with space. What was saved before is kept: run '
                   'again to resume') from e


def _is_of_disk(e: Exception) -> bool:
  """Whether an exception is about a disk or a path, not a bug."""
  return 'No space left' in str(e) or 'Disk quota' in str(e) or (
      isinstance(e, OSError) and e.errno in _DISK)


def need(module: str, extra: str) -> ModuleType:
  """Imports an optional module. Raises BadInput that names the extra."""
  try:
    return importlib.import_module(module)
  except ImportError as e:
    raise BadInput(f'{module} cannot be imported ({e}); wanted '
                   f"pip install 'physics_lm[{extra}]'") from e


def nearest(word: str, known: Iterable) -> str:
  """' (nearest: ...)' for a misspelt name, or the list when none is near."""
  known = [str(k) for k in known]
  close = difflib.get_close_matches(word, known, n=1)
  return f'nearest: {close[0]}' if close else f'known: {", ".join(known)}'


def command(main: Callable) -> Callable:
  """Wraps a command's main, so that what a user can cause ends in one line on
  stderr: BadInput and errors of a disk or path (exit 2), Ctrl-C (exit 130).
  Characters that the terminal's encoding lacks are printed as '?'."""

  @functools.wraps(main)
  def wrapped(*args, **kwargs):
    for stream in (sys.stdout, sys.stderr):
      if hasattr(stream, 'reconfigure'):
        stream.reconfigure(errors='replace')
    try:
      return main(*args, **kwargs)
    except BadInput as e:
      print(f'error: {one_line(e)}', file=sys.stderr)
      sys.exit(2)
    except BrokenPipeError:  # `... | head`: the reader has closed the pipe
      os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
      sys.exit(0)
    except KeyboardInterrupt:
      print('stopped by Ctrl-C; what was written before is complete',
            file=sys.stderr)
      sys.exit(INTERRUPTED)
    except Exception as e:
      if not _is_of_disk(e):
        raise
      print(f'error: {one_line(e)}; wanted a path that can be read and written',
            file=sys.stderr)
      sys.exit(2)

  return wrapped


def one_line(e: Exception) -> str:
  """The message of an exception, its lines joined by blanks."""
  return ' '.join(str(e).split('\n')).strip()
