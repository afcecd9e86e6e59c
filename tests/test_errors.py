"""What a user can cause ends in one line, never in a traceback."""

import errno
import io
import sys
import types

import pytest

from physics_lm import restore, run_dir
from physics_lm.config import plain_config
from physics_lm.configs import default
from physics_lm.errors import BadInput, command
from physics_lm.evals import __main__ as evals
from physics_lm.evals import registry
from physics_lm.evals.records import Records


@pytest.mark.parametrize('raised,status,text', [
    (BadInput('found 3\n, wanted 4\n'), 2, 'error: found 3 , wanted 4\n'),
    (NotADirectoryError(errno.ENOTDIR, 'Not a directory', 'a/b'), 2,
     "error: [Errno 20] Not a directory: 'a/b'; wanted a path"),
    (PermissionError(errno.EACCES, 'Permission denied', 'c'), 2, "denied: 'c'"),
    (RuntimeError('tensorstore: No space left on device'), 2, 'No space left'),
    (KeyboardInterrupt(), 130, 'stopped by Ctrl-C')])
def test_command_ends_in_one_line(capsys, raised, status, text):
  def main():
    raise raised

  with pytest.raises(SystemExit) as stopped:
    command(main)()
  err = capsys.readouterr().err
  assert stopped.value.code == status
  assert text in err and err.count('\n') == 1


def test_command_keeps_the_traceback_of_a_bug():
  def main():
    return {}['a']

  with pytest.raises(KeyError):
    command(main)()


def test_command_prints_what_the_terminal_lacks_as_a_question_mark(
    monkeypatch):
  written = io.BytesIO()
  monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(written, 'ascii'))
  command(print)('1 ± 2 \ud83d')
  sys.stdout.flush()
  assert written.getvalue() == b'1 ? 2 ?\n'


def test_evals_name_a_folder_that_cannot_be_written(
    tmp_path, monkeypatch, capsys):
  run_dir.write_json(tmp_path / 'config.json',
                     plain_config(default.get_config()))
  (tmp_path / 'evals').touch()  # no folder
  monkeypatch.setattr(restore, 'load_run', lambda folder: (
      types.SimpleNamespace(data=None, params=None, step=4)))
  monkeypatch.setattr(registry, 'build', lambda *given: {
      'loss': lambda params, step: Records([], [])})
  with pytest.raises(SystemExit) as stopped:
    evals.main([str(tmp_path), '--eval=loss'])
  assert stopped.value.code == 2
  assert f'error: cannot write in {tmp_path}:' in capsys.readouterr().err
