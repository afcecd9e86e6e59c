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
    if not d.sources and d.second is None and p not in problem.needed():
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
  """Without the last number."""
  return text.rstrip('. 0123456789')


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


# In symbols. A sentence is a list of tokens: a name of one or two, then
# operations.


def _symbols(text, problem):
  """[tokens] of the sentences, without errors."""
  found = map(problem.tokens, text.split('.')[:-1])
  return [t for t in found if t[-1] != 'BACK']


def _joined(sentences):
  return ''.join(f' {" ".join(t)}.' for t in sentences)


def _shifted(number, problem):
  return str((int(number) + 1) % problem.modulus)


def compact_last_number(text, problem, rng):
  own = _symbols(text, problem)
  own[-1][-1] = _shifted(own[-1][-1], problem)
  return _joined(own)


def compact_missing_first(text, problem, rng):
  own = _symbols(text, problem)
  return _joined(own[1:]) if len(own) > 1 and _uses(own[1:], own[0]) else None


def _uses(sentences, first):
  """Whether a later sentence has the name of the first as an operand."""
  name = f' {_name(first)} '
  return any(name in ' '.join(t).partition(_name(t))[2] for t in sentences)


def _name(tokens):
  return ' '.join(tokens[:min(tokens.index(s) for s in '=+-*' if s in tokens)])


def compact_missing_last(text, problem, rng):
  own = _symbols(text, problem)
  return _joined(own[:-1]) if len(own) > 1 else None


def compact_defined_too_early(text, problem, rng):
  own = _symbols(text, problem)
  step = own.pop()
  return _joined([step, *own]) if problem.sources(problem.query) else None


def _recomputed(sentences, problem):
  """Numbers made to fit the symbols; constants stay."""
  values = {}
  for t in sentences:
    results, head = {}, len(problem.tokens(_name(t)))
    i = head
    while i < len(t):
      sign, sides = t[i], []
      i += 1
      for _ in range(1 if sign == '=' else 2):
        j = i + 1 if t[i].isdigit() or t[i][0] == '#' else i + head
        symbol = ' '.join(t[i:j])
        x = int(symbol) if symbol.isdigit() else (results | values)[symbol]
        t[j] = str(x)
        sides.append(x)
        i = j + 1
      if sign == '=':
        value = sides[0]
      else:
        x, y = sides
        value = {'+': x + y, '-': x - y, '*': x * y}[sign] % problem.modulus
        t[i] = str(value)
        i += 1
      results[f'#{len(results) + 1}'] = value
    values[_name(t)] = value
  return _joined(sentences)


def _first_sign(sentences, wanted):
  """(sentence, index of its first sign) of the first with such tokens."""
  for t in sentences:
    i = min(t.index(s) for s in '=+-*' if s in t)
    if wanted(t, i):
      return t, i
  return None, 0


def compact_wrong_constant(text, problem, rng):
  """Another constant, all that follows recomputed."""
  own = _symbols(text, problem)
  t, i = _first_sign(own, _has_constant)
  if t is None or (t[i] == '=' and t[i + 1] == '0'):
    return None
  t[i + 1] = _shifted(t[i + 1], problem)
  return _recomputed(own, problem)


def _has_constant(t, i):
  return t[i + 1].isdigit()


def _adds_parameters(t, i):
  return t[i] in '+-' and not t[i + 1].isdigit()


def compact_wrong_sign(text, problem, rng):
  own = _symbols(text, problem)
  t, i = _first_sign(own, _adds_parameters)
  if t is None:
    return None
  t[i] = '-' if t[i] == '+' else '+'
  return _recomputed(own, problem)


def compact_wrong_number(text, problem, rng):
  """An operand that is not written as its value."""
  own = _symbols(text, problem)
  t, i = _first_sign(own, _has_constant)
  if t is None:
    return None
  t[i + 2] = _shifted(t[i + 2], problem)
  return _joined(own)


def compact_wrong_result(text, problem, rng):
  own = _symbols(text, problem)
  for t in own:
    if '=' not in t:
      t[-1] = _shifted(t[-1], problem)
      return _joined(own)
  return None


def compact_other_operand(text, problem, rng):
  """A parameter of the solution in place of another one."""
  own = _symbols(text, problem)
  size = len(problem.tokens(_name(own[0])))
  for k, t in enumerate(own):
    i = min(t.index(s) for s in '=+-*' if s in t) + 1
    rule = ' '.join(t[i - 1:])
    others = [u for u in own[:k] if f' {_name(u)} ' not in rule]
    if others and not t[i].isdigit() and t[i][0] != '#':
      t[i:i + size] = problem.tokens(_name(others[0]))
      return _recomputed(own, problem)
  return None


def compact_unknown_name(text, problem, rng):
  own = _symbols(text, problem)
  return _joined([['Nothing', *own[0][1:]], *own[1:]])


def compact_twice(text, problem, rng):
  own = _symbols(text, problem)
  return _joined([own[0], *own])


def compact_wrong_query(text, problem, rng):
  for p, d in problem.definitions.items():
    name = problem.name(p)
    if (not d.sources and d.second is None and p not in problem.needed()
        and f' {name} =' not in text):  # a redundant step may have defined it
      return f'{text} {name} = {d.constant} {d.constant}.'
  return None


def compact_unused_step(text, problem, rng):
  own = _symbols(text, problem)
  size = len(problem.tokens(_name(own[0])))
  own[-1][size:size] = ['+', '1', '1', '0', '0', '1']
  for i, token in enumerate(own[-1]):
    if token[0] == '#':
      own[-1][i] = f'#{int(token[1:]) + 1}'
  return _joined(own)


def compact_garbage(text, problem, rng):
  own = _symbols(text, problem)
  own[0].insert(-1, 'sow')
  return _joined(own)


def compact_no_parameter_as_back(text, problem, rng):
  return f' Nothing BACK.{text}'


COMPACT_SPOILERS = {
    'last number': (compact_last_number, ': wanted|is written as'),
    'first step missing': (compact_missing_first,
                           'used before it is defined'),
    'last step missing': (compact_missing_last, 'is defined last'),
    'defined too early': (compact_defined_too_early,
                          'used before it is defined'),
    'wrong constant': (compact_wrong_constant, 'with constants'),
    'wrong sign': (compact_wrong_sign, 'by another rule'),
    'wrong number': (compact_wrong_number, 'is written as'),
    'wrong result': (compact_wrong_result, ': wanted'),
    'other operand': (compact_other_operand, 'is computed from .*, wanted'),
    'unknown name': (compact_unknown_name, 'is not in the problem'),
    'defined twice': (compact_twice, 'is defined twice'),
    'another query': (compact_wrong_query, 'is defined last'),
    'unused step': (compact_unused_step, 'is not used'),
    'leading zero': (leading_zero, 'begins with 0'),
    'no parameter as BACK': (compact_no_parameter_as_back,
                             'defined as BACK, is no parameter'),
    'cut short': (cut_short, 'cannot read|defined last'),
    'garbage': (compact_garbage, 'cannot read|is written as'),
    'empty': (empty, 'nothing is defined last'),
}
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
    'cut short': (cut_short, 'cannot read|defined last'),
    'garbage': (garbage, 'cannot read'),
    'empty': (empty, 'nothing is defined last'),
}
