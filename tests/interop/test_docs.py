"""The stories in docs/ work by copy and paste."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.interop
STORIES = [ROOT / f'docs/{name}.md'
           for name in ('export', 'posttraining', 'seqio', 'text', 'training',
                        'transformers')]
# Flags that make a document's trainings small, in place of its own steps.
SMOKE = {
    'posttraining': '--config.steps=2 --config.optim.warmup_steps=0 '
                    '--config.checkpoint.every=2 --config.data.batch_size=16 '
                    '--config.evals.policy.num_problems=2',
    'training': '--config.steps=8 --config.optim.warmup_steps=0 '
                '--config.checkpoint.every=2 --config.data.batch_size=4'}
_BLOCK = re.compile(r'^```(\w+)\n(.*?)^```$', re.M | re.S)


def blocks(path):
  """[(language, text)], a story's Python blocks joined where no command
  is between them: a reader keeps one session."""
  out = []
  for language, text in _BLOCK.findall(path.read_text()):
    if out and language == out[-1][0]:
      out[-1] = (language, out[-1][1] + '\n' + text)
    else:
      out.append((language, text))
  return out


def test_every_story_has_blocks_of_known_languages():
  assert all(blocks(p) for p in STORIES)
  assert {language for p in STORIES for language, _ in blocks(p)} == {
      'bash', 'python'}


@pytest.mark.timeout(900)
@pytest.mark.parametrize('path', STORIES, ids=lambda p: p.stem)
def test_story_works_by_copy_and_paste(path, tmp_path):
  # A reader stands in the repository's root; ours is a copy with no runs.
  for name in ('physics_lm', 'configs', 'experiments', 'docs', 'README.md'):
    (tmp_path / name).symlink_to(ROOT / name)
  (tmp_path / 'bin').mkdir()
  (tmp_path / 'bin/python').write_text(
      f'#!/bin/sh\nexec {sys.executable} "$@"\n')
  (tmp_path / 'bin/python').chmod(0o755)
  env = dict(os.environ, PATH=f'{tmp_path}/bin:{os.environ["PATH"]}',
             PYTHONPATH=str(tmp_path), JAX_PLATFORMS='cpu',
             HF_HUB_OFFLINE='1', HF_HOME=str(tmp_path / 'cache'))
  session = ''
  for language, text in blocks(path):
    if flags := SMOKE.get(path.stem):
      text = re.sub(r'--config.steps=\d+', flags, text)
      text = text.replace('since=900', 'since=4')
    if language == 'bash':
      command = ['bash', '-euo', 'pipefail', '-c', text]
    else:  # the session so far again: what it prints is not compared
      session += text + '\n'
      command = [sys.executable, '-c', session]
    done = subprocess.run(command, cwd=tmp_path, env=env, text=True,
                          capture_output=True)
    assert done.returncode == 0, f'{text}\n{done.stdout}\n{done.stderr[-3000:]}'
    assert done.stdout.strip(), text
  shutil.rmtree(tmp_path / 'runs', ignore_errors=True)


def test_commands_of_the_readme_are_those_of_the_modules():
  """Every module that a document names can be run or imported."""
  for path in [*STORIES, ROOT / 'README.md']:
    for module in set(re.findall(r'python -m (physics_lm[\w.]*)',
                                 path.read_text())):
      at = ROOT / Path(*module.split('.'))
      assert at.with_suffix('.py').exists() or (at / '__main__.py').exists()
