"""Programs with traces: their law, checker, controls and the recipe."""

import collections

import numpy as np
import pytest

from physics_lm import mixture
from physics_lm.config import load_config
from physics_lm.configs import default
from physics_lm.errors import BadInput
from physics_lm.worlds.base import make_world
from physics_lm.worlds.symbolic import programs


def world(seed=0, **keys):
  config = default.programs()
  config.update(keys)
  return make_world(config, seed)


def statements(w, count=300):
  """[[name, a, sign, b, x, y, result] of each statement] of each program."""
  return [[[p.strip() for p in np.array(e.pieces)[i + np.array(
      [0, 2, 3, 4, 6, 8, 10])]] for i in range(0, len(e.pieces), 12)]
          for e in (w.example('train', i) for i in range(count))]


def test_a_trace_is_what_running_its_text_gives():
  """Python's own interpreter runs the statements."""
  w = world(1, modulus=7)
  for i in range(40):
    e, names = w.example('train', i), {}
    for line in e.text.split('.')[:-1]:
      name, source, operands, result = line.split(' = ')
      assert name.strip() not in names
      assert [eval(q, {}, names) for q in source.split()[::2]] == [
          int(x) for x in operands.split()[::2]]
      value = eval(source, {}, names) % 7
      assert value == eval(operands) % 7 == int(result)
      names[name.strip()] = value
    assert w.check(e, e.text).correct and len(e.meta['program']) == len(names)
    assert set(e.pieces) <= set(w.pieces())


def test_texts_follow_their_law():
  w = world(2, min_length=2, max_length=5, modulus=5)
  made = statements(w, 2000)
  lengths = np.bincount([len(p) for p in made])[2:]
  assert len(lengths) == 4 and abs(lengths / 2000 - 0.25).max() < 0.04
  signs = collections.Counter(s[2] for p in made for s in p)
  assert set(signs) == set('+-*') and min(signs.values()) > 0.3 * signs.total()
  later = [q for p in made for s in p[1:] for q in (s[1], s[3])]
  assert abs(np.mean([q.isdigit() for q in later]) - 1 / 3) < 0.02
  assert all(q.isdigit() for p in made for q in (p[0][1], p[0][3]))
  third = [[s[0] for s in p].index(p[2][1]) for p in made
           if len(p) > 2 and not p[2][1].isdigit()]
  assert abs(np.mean(third) - 0.5) < 0.06  # any name defined before
  assert w.example('train', 0).text != w.example('test', 0).text


@pytest.mark.parametrize('trace, repeated, computed',
                         [('copied', 1, 0.2), ('random', 0.2, 0.2)])
def test_controls_keep_the_programs_and_draw_the_values(
    trace, repeated, computed):
  made, true = statements(world(3, trace=trace)), statements(world(3))
  looked_up, right = [], []
  for a, b in zip(made, true):
    assert [s[:4] for s in a] == [s[:4] for s in b]
    known = {}
    for name, p, sign, q, x, y, result in a:
      looked_up += [known.get(p, p) == x, known.get(q, q) == y]
      right.append(programs.SIGNS[sign](int(x), int(y)) % 5 == int(result))
      known[name] = result
  assert np.mean(looked_up) == pytest.approx(repeated, abs=0.03)
  assert np.mean(right) == pytest.approx(computed, abs=0.03)


@pytest.mark.parametrize('wrong, right, reason', [
    ('= 1. Xu', '= 2. Xu', "statement 1 is ' Xi = 3 * 2 = 3 * 2 = 2.', wanted "
     "' Xi = 3 * 2 = 3 * 2 = 1.'"),
    ('1 * 3', '0 * 3', "statement 2 is ' Xu = Xi * 3 = 0 * 3 = 3.', wanted "),
    ('2 * Xi', '2 + Xi', 'statement 3 is '),
    (' Yo = 2 * Xi = 2 * 1 = 2.', '', '2 statements, wanted 3')])
def test_the_checker_finds(wrong, right, reason):
  w = world(0, min_length=3, max_length=3)
  e = w.example('train', 0)
  assert wrong in e.text
  found = w.check(e, e.text.replace(wrong, right))
  assert not found.correct and found.reason.startswith(reason)


@pytest.mark.parametrize('trace', programs.TRACES)
def test_sentences_have_the_form_of_compact_solutions(trace):
  """Name, sign, operand, its value, operand, its value, result."""
  w = world(4, form='sentences', trace=trace)
  for i, program in enumerate(statements(world(4, trace=trace), 30)):
    e = w.example('train', i)
    assert e.text == ''.join(f' {name} {sign} {a} {x} {b} {y} {result}.'
                             for name, a, sign, b, x, y, result in program)
    assert w.check(e, e.text).correct or trace != 'computed'
    assert [e.pieces[at] for kind, at in e.answers if kind == 'result'] == [
        f' {s[-1]}' for s in program]


@pytest.mark.parametrize('keys, message', [
    ({'trace': 'trace'}, "trace is 'trace'"),
    ({'max_length': 25}, 'each at most the next'),
    ({'names': 60}, 'names is 60, wanted'), ({'modulus': 1}, 'at least 2')])
def test_bad_keys_are_named(keys, message):
  with pytest.raises(BadInput, match=message):
    world(**keys)


def test_recipe_shares_the_symbols_of_problems():
  data = mixture.load_mixture(load_config('configs/programs.py'))
  problems, made = (set(data.worlds[k].pieces()) for k in ('igsm', 'programs'))
  assert made < problems and not set(data.worlds['people'].pieces()) & problems
