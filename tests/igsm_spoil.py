"""Ways to spoil a right iGSM solution: (text, problem, rng) -> text, or None
where this solution cannot be spoiled so; and what the checker must say."""

import re


def _sentences(text):
  return re.findall(r' Define [^.]*\.', text)


def _own(text):
  """Sentences but for those taken back."""
  return [s for s in _sentences(text) if not s.endswith(' BACK.')]


def last_number(text, problem, rng):
  """One more than the answer."""
  number = int(re.search(r'(\d+)\.$', text)[1])
  return re.sub(r'\d+\.$', f'{(number + 1) % problem.modulus}.', text)


def missing_first(text, problem, rng):
  """Without its first step, which something later needs."""
  own = _own(text)
  letter = re.search(r' as (\w);', own[0])[1]
  if not any(re.search(rf' = [^;.]*\b{letter}\b', s) for s in own[1:]):
    return None
  return ''.join(own[1:])


def missing_last(text, problem, rng):
  own = _own(text)
  return ''.join(own[:-1]) if len(own) > 1 else None


def reversed_order(text, problem, rng):
  own = _own(text)
  return ''.join(own[::-1]) if len(own) > 1 and any(
      problem.sources(p) for p in [problem.query]) else None


def defined_too_early(text, problem, rng):
  """A step before those that it needs."""
  own = _own(text)
  found = [i for i, s in enumerate(own) if re.search(r' = [a-zA-Z]\b', s) and i]
  if not found:
    return None
  step = own.pop(found[int(rng.integers(len(found)))])
  return step + ''.join(own)


def wrong_constant(text, problem, rng):
  """Another first constant, all that follows recomputed."""
  match = re.search(r' so (\w) = (\d+)\.', text)
  if not match:
    return None
  shift = int(rng.integers(1, problem.modulus))
  other = (int(match[2]) + shift) % problem.modulus
  return recomputed(text[:match.start(2)] + str(other) + text[match.end(2):],
                    problem.modulus)


def wrong_factor(text, problem, rng):
  """Another constant in 'C + x' or 'C * x', all that follows recomputed."""
  found = list(re.finditer(r'[a-zA-Z] = (\d+) [+*] [a-zA-Z] =', text))
  if not found:
    return None
  match = found[int(rng.integers(len(found)))]
  other = (int(match[1]) + 1) % problem.modulus
  return recomputed(text[:match.start(1)] + str(other) + text[match.end(1):],
                    problem.modulus)


def wrong_sign(text, problem, rng):
  """'-' for '+' or '+' for '-', all that follows recomputed."""
  found = list(re.finditer(r' = [a-zA-Z] ([+-]) [a-zA-Z] = ', text))
  if not found or problem.modulus == 2:
    return None
  match = found[int(rng.integers(len(found)))]
  sign = '-' if match[1] == '+' else '+'
  return recomputed(text[:match.start(1)] + sign + text[match.end(1):],
                    problem.modulus)


def foreign_letter(text, problem, rng):
  """A letter that nothing defines, in place of one that is used."""
  free = set('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ') - set(
      re.findall(r'\b(\w) = ', text))
  found = list(re.finditer(r' = ([a-zA-Z])\b', text))
  if not free or not found:
    return None
  match = found[int(rng.integers(len(found)))]
  return text[:match.start(1)] + min(free) + text[match.end(1):]


def other_letter(text, problem, rng):
  """A letter of the solution that stands for something else."""
  found = list(re.finditer(r' so \w = ([a-zA-Z]) = ', text))
  for match in found:
    before = re.findall(r' as (\w);', text[:match.start()])[:-1]
    others = [x for x in before if x != match[1]]
    if others:
      return recomputed(text[:match.start(1)] + others[0]
                        + text[match.end(1):], problem.modulus)
  return None


def letter_twice(text, problem, rng):
  letters = re.findall(r' as (\w);', text)
  if len(letters) < 2:
    return None
  last = letters[-1]
  head, tail = text.rsplit(f' as {last};', 1)
  tail = re.sub(rf"(?<!')\b{last}\b", letters[0], tail)
  return f'{head} as {letters[0]};{tail}'


def wrong_number(text, problem, rng):
  """A number that is not the letter's value; the result fits the number."""
  found = list(re.finditer(
      r' = ([a-zA-Z]) \+ (\w+) = (\d+) \+ (\d+) = (\d+)', text))
  if not found:
    return None
  match = found[int(rng.integers(len(found)))]
  x, y = (int(match[3]) + 1) % problem.modulus, int(match[4])
  return text[:match.start(3)] + f'{x} + {y} = {(x + y) % problem.modulus}' + (
      text[match.end(5):])


def wrong_result(text, problem, rng):
  """A wrong sum or product in the middle."""
  found = list(re.finditer(r'= \d+ [+*-] \d+ = (\d+);', text))
  if not found:
    return None
  match = found[int(rng.integers(len(found)))]
  return text[:match.start(1)] + str(
      (int(match[1]) + 1) % problem.modulus) + text[match.end(1):]


def unknown_name(text, problem, rng):
  return text.replace(' Define ', ' Define Nothing', 1) if (
      not _sentences(text)[0].endswith(' BACK.')) else None


def edge_that_is_not(text, problem, rng):
  """A parameter that the structure has not got."""
  items = sorted({a for a, _ in problem.definitions})
  for a in items:
    for _, b in sorted(problem.definitions):
      p = problem.parameter(f"{a}'s {b}")
      if p and not problem.has(p):
        return f" Define {a}'s {b} as q; so q = 0." + text
  return None


def twice(text, problem, rng):
  """A step told again with another letter."""
  first = _own(text)[0]
  letter = re.search(r' as (\w);', first)[1]
  if '=' in first.split(' so ')[1].split(' = ', 1)[1]:
    return None  # not a constant: it would need its own letters
  free = next(x for x in 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
              if f' {x} =' not in text)
  return first + re.sub(rf"(?<!')\b{letter}\b", free, first) + text[
      text.index(first) + len(first):]


def wrong_query(text, problem, rng):
  """Right steps, but another parameter at the end."""
  for p, d in problem.definitions.items():
    if not d.sources and p not in problem.needed():
      free = next(x for x in 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTU'
                  if f' {x} =' not in text)
      name = f"{p[0]}'s {p[1]}"
      if name not in text:
        return f'{text} Define {name} as {free}; so {free} = {d.constant}.'
  return None


def unused_step(text, problem, rng):
  """A true step with a letter of its own, that nothing needs."""
  own = _own(text)
  told = re.search(r' so (\w) = (?:.* = )?(\d+)\.$', own[0])
  if len(own) < 2:
    return None
  free = next(x for x in 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
              if f' {x} =' not in text)
  return text.replace(own[1], own[1].replace(
      ';', f'; {free} = {told[1]} = {told[2]};', 1))


def leading_zero(text, problem, rng):
  found = list(re.finditer(r'\b\d', text))
  at = found[int(rng.integers(len(found)))].start()
  return f'{text[:at]}0{text[at:]}'


def no_parameter_as_back(text, problem, rng):
  own = _own(text)
  at = text.index(own[int(rng.integers(len(own)))])
  return f'{text[:at]} Define what comes to mind as BACK.{text[at:]}'


def cut_short(text, problem, rng):
  return text[:-1]


def garbage(text, problem, rng):
  return text.replace(' so ', ' sow ', 1)


def empty(text, problem, rng):
  return ''


def _value(symbol, values):
  return int(symbol) if symbol.isdigit() else values[symbol]


def recomputed(text, modulus):
  """Numbers made to fit the symbols, from left to right; constants stay."""
  values, out = {}, []
  for sentence in _sentences(text):
    if sentence.endswith(' BACK.'):
      out.append(sentence)
      continue
    head, *clauses = sentence[:-1].split('; ')
    for i, clause in enumerate(clauses):
      so = 'so ' if clause.startswith('so ') else ''
      name, *parts = clause.removeprefix('so ').split(' = ')
      if len(parts) == 1:
        result = int(parts[0])
      elif len(parts) == 2:
        result = _value(parts[0], values)
      else:
        a, sign, b = parts[0].split()
        x, y = _value(a, values), _value(b, values)
        parts[1] = f'{x} {sign} {y}'
        result = {'+': x + y, '-': x - y, '*': x * y}[sign] % modulus
      parts[-1] = str(result)
      values[name] = result
      clauses[i] = so + ' = '.join([name, *parts])
    out.append('; '.join([head, *clauses]) + '.')
  return ''.join(out)


SPOILERS = {
    'last number': (last_number, ': wanted|with constants'),
    'first step missing': (missing_first, 'used before it is defined'),
    'last step missing': (missing_last, 'is defined last'),
    'reversed': (reversed_order, 'used before it is defined'),
    'defined too early': (defined_too_early, 'used before it is defined'),
    'wrong constant': (wrong_constant, 'with constants'),
    'wrong factor': (wrong_factor, 'with constants'),
    'wrong sign': (wrong_sign, 'by another rule'),
    'foreign letter': (foreign_letter, 'used before it is defined'),
    'other letter': (other_letter, 'is computed from .*, wanted'),
    'letter twice': (letter_twice, 'is defined twice'),
    'wrong number': (wrong_number, 'is written as'),
    'wrong result': (wrong_result, ': wanted'),
    'unknown name': (unknown_name, 'is not in the problem'),
    'no such edge': (edge_that_is_not, 'is not in the problem'),
    'defined twice': (twice, 'is defined twice'),
    'another query': (wrong_query, 'is defined last'),
    'unused step': (unused_step, 'is not used'),
    'leading zero': (leading_zero, 'begins with 0'),
    'no parameter as BACK': (no_parameter_as_back,
                             'defined as BACK, is no parameter'),
    'cut short': (cut_short, 'has no full stop'),
    'garbage': (garbage, 'cannot read'),
    'empty': (empty, 'nothing is defined last'),
}
