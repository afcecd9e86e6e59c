"""bioS: synthetic people, their biographies, and questions about them.

Distribution (Physics of Language Models, Part 3.1, section 2, appendix A.1):
a full name is first + middle + last, drawn without replacement from all
combinations; birth date, birth city, university, major and employer are
uniform and independent; the company city is the employer's headquarters. A
biography has one sentence for each of the six attributes, from a template
drawn uniformly. Questions are the paper's six.

Variants: `single` one biography a person; `multiM` M biographies with fresh
templates; `fresh` new templates whenever one is drawn (Part 3.3's bioS, with
`_permute`); `_permuteP` the sentences of each shuffled, P times (P = 1 when
left out); `_coupleP` the same of three ordered pairs: date and birth city,
university and major, employer and its city (Part 3.1, appendix A.1.1);
`_fullname` the name in every sentence, else a pronoun after the first;
`_reverseR` the name first in sentence R + 1, before it "The person", R = 6 in
a seventh sentence (Part 3.2, section 5). Part 3.1's 16 data sets are SIXTEEN.
Version m of a person is the same in every multiM, and person i the same for
any number of people; two worlds that differ in `first` tell of others: the
celebrities and the minority of Part 3.1, section 6. With `power` above 0 the
biographies of a split are of its person i with probability ~ (i + 1)^-(1 +
power), each of the person's versions alike, and both follow from the index
alone (power.py); questions are of everybody alike.

Left out: bioR (it needs a language model to write it). Ours are the lists of
names and values and the templates; their sizes are the paper's, except 50
templates for each attribute where the paper has 46 to 52, and 130 company
cities where it has 133 (36 of 263 employers sit in New York in both). Even
people are 'train', odd are held out, where the paper splits at random: people
are independent, so it is the same.
"""

import functools
import math
import re
from importlib import resources
from typing import NamedTuple

import numpy as np

from physics_lm.errors import BadInput, nearest
from physics_lm.worlds import zipf
from physics_lm.worlds.base import (
  CheckResult,
  Example,
  distinct,
  generator,
  generator_key,
  mix_bits,
)

VERSION = 1
ATTRIBUTES = ('birth_date', 'birth_city', 'university', 'major', 'employer',
              'company_city')
QUESTIONS = {
    'birth_date': ' What is the birth date of',
    'birth_city': ' What is the birth city of',
    'university': ' Which university did',
    'major': ' What major did',
    'employer': ' Which company did',
    'company_city': ' Where did',
}
ENDINGS = {
    'birth_date': '? Answer:', 'birth_city': '? Answer:',
    'university': ' study? Answer:', 'major': ' study? Answer:',
    'employer': ' work for? Answer:', 'company_city': ' work? Answer:',
}
MONTHS = ('January', 'February', 'March', 'April', 'May', 'June', 'July',
          'August', 'September', 'October', 'November', 'December')
PRONOUNS = (' He', ' She', ' They')
SIXTEEN = ('single', 'single_fullname', *(
    f'single_permute{p}{f}' for p in (1, 2, 5) for f in ('', '_fullname')), *(
    f'multi{m}{v}' for m in (2, 5)
    for v in ('', '_fullname', '_permute', '_permute_fullname')))
STRANGER = (' The person',)  # who is not named yet
NAMING = " The person's name is"
FRESH = 1 << 20  # versions of a person: as good as without end
DRAWS = 1 << 20  # under a power law, of each version in the mean
LISTED_DATES = 500  # more dates than this are not pieces, but made of pieces
_VARIANT = re.compile(r'(?:single|multi(\d+)|(fresh))'
                      r'(?:_(permute|couple)(\d+)?)?'
                      r'(?:(_fullname)|_reverse([1-6]))?')


class Variant(NamedTuple):
  m: int  # tellings with templates of their own
  p: int  # orders of each; 0: the fixed one
  fullname: bool
  couples: bool
  reverse: int  # sentences before the name; 0: it comes first
  fresh: bool


def parse_variant(name: str) -> Variant:
  """Raises BadInput."""
  match = _VARIANT.fullmatch(name)
  m = int(match[1] or 1) if match else 0
  p = int(match[4] or 1) if match and match[3] else 0
  if not m or (match[4] and not p) or (match[2] and p > 1):
    raise BadInput(
        f'unknown variant {name!r}; wanted single, multiM or fresh, then '
        '_permute or _permuteP (or _couple, _coupleP), then _fullname or '
        '_reverse1 to _reverse6, as in multi5_permute_fullname')
  return Variant(FRESH if match[2] else m, p, bool(match[5]),
                 match[3] == 'couple', int(match[6] or 0), bool(match[2]))


@functools.cache
def _lines(name: str) -> tuple[str, ...]:
  path = resources.files('physics_lm.worlds') / 'tables' / name
  return tuple(path.read_text(encoding='utf-8').splitlines())


def _pool(name: str, count: int) -> tuple[str, ...]:
  lines = _lines(name)
  if not 1 <= count <= len(lines):
    raise BadInput(
        f'{name} has {len(lines)} entries, the config wants {count}')
  return lines[:count]


class Biographies:
  """People 0 .. N-1 with their biographies and questions.

  Splits: 'bio' (every person's biographies), 'bio_train' and 'bio_test',
  'qa_train' and 'qa_test' (six questions a person, of one half each).
  """

  version = VERSION
  splits = ('bio', 'bio_train', 'bio_test', 'qa_train', 'qa_test')
  unbounded = False

  def __init__(self, config, seed: int):
    c, n = config, config.person_offset + config.people
    self.n, self.seed = config.people, seed
    self.variant = v = parse_variant(c.variant)
    self.m, self.p, self.fullname = v.m, v.p, v.fullname
    self.versions = self.m * max(self.p, 1)
    self._count, self._draw_key = c.templates, mix_bits(seed, 5)
    self.names = tuple(
        tuple(' ' + s for s in _pool(f'{part}_names.txt', count))
        for part, count in (('first', c.first_names),
                            ('middle', c.middle_names),
                            ('last', c.last_names)))
    sizes = [len(pool) for pool in self.names]
    if self.n < 2:
      raise BadInput(f'people is {self.n}, wanted at least 2 (two halves)')
    if c.person_offset < 0:
      raise BadInput(f'person_offset is {c.person_offset}, wanted at least 0')
    if n > np.prod(sizes, dtype=np.int64):
      raise BadInput(f'{n} people, but only {np.prod(sizes)} names '
                     f'({" x ".join(map(str, sizes))})')
    for key, top in (('years', 200), ('months', 12), ('days', 28)):
      if not 1 <= c[key] <= top:
        raise BadInput(f'{key} is {c[key]}, wanted 1 to {top}')
    self.dates = (c.months, c.days, c.years)
    self._laws = {s: zipf.zipf_law(self.people(s), c.zipf_a)
                  for s in ('bio', 'bio_train', 'bio_test')}
    companies = [line.split('\t')
                 for line in _pool('employers.txt', c.employers)]
    self.lists = {
        'birth_city': _pool('cities.txt', c.cities),
        'university': _pool('universities.txt', c.universities),
        'major': _pool('majors.txt', c.majors),
        'employer': tuple(name for name, _ in companies),
        'company_city': tuple(city for _, city in companies),
    }
    self.templates = {a: self._templates(a, c.templates) for a in ATTRIBUTES}
    own = slice(c.person_offset, None)
    draw = lambda key, high: generator(seed, key).integers(0, high, n)[own]
    code = distinct(generator(seed, 'name'), int(np.prod(sizes)), n)
    self.name_of = np.stack(np.unravel_index(code[own], sizes), -1)
    self.pronoun_of = draw('pronoun', len(PRONOUNS))
    self.value_of = {a: draw(a, len(pool)) for a, pool in self.lists.items()
                     if a != 'company_city'}
    self.value_of['company_city'] = self.value_of['employer']
    self.value_of['birth_date'] = draw('birth_date', int(np.prod(self.dates)))
    if v.fresh:  # drawn when asked for
      return
    each = lambda key, make: np.stack(
        [make(generator(seed, key, i))[own] for i in range(
            self.m if key == 'template' else self.versions)], 1)
    self.template_of = each('template', lambda rng: rng.integers(
        0, c.templates, (n, 6), dtype=np.uint8))
    if self.p:
      self.order_of = each('order', lambda rng: _orders(rng, n, v.couples))

  @staticmethod
  def _templates(attribute: str, count: int) -> tuple[tuple[str, str], ...]:
    """(words between subject and value, words after the value)."""
    pairs = []
    for line in _pool(f'templates/{attribute}.txt', count):
      between, after = line.removeprefix('{subject}').split(' {value}')
      pairs.append((between, after))
    return tuple(pairs)

  def size(self, split: str) -> int:
    each = self.versions if split.startswith('bio') else len(ATTRIBUTES)
    if self.law(split) and not self.variant.fresh:
      each *= DRAWS
    return self.people(split) * each

  def law(self, split: str) -> zipf.ZipfLaw | None:
    """Who is drawn how often in a split; None: everybody alike."""
    return self._laws.get(split)

  def floor(self, split: str = 'bio') -> float:
    """Entropy of a biography, nats: of the person and the telling; a model
    that knows everybody loses no less. Of fresh tellings, that of what they
    are drawn from: nobody learns a million of them."""
    people, law = self.people(split), self.law(split)
    whom = law.entropy if law else math.log(people)
    if self.variant.fresh:
      orders = (6 if self.variant.couples else 720) if self.p else 1
      return whom + 6 * math.log(self._count) + math.log(orders)
    own = slice(0, None) if split == 'bio' else slice(
        int(split == 'bio_test'), None, 2)
    number = lambda digits, base: digits @ base**np.arange(6)
    telling = np.repeat(number(self.template_of[own], self._count),
                        max(self.p, 1), 1)
    if self.p:
      telling = telling * 6**6 + number(self.order_of[own], 6)
    # Versions that came out alike are one text.
    alike = (telling[:, :, None] == telling[:, None]).sum(-1)
    each = math.log(self.versions) - np.log(alike).mean(-1)
    share = law.share(np.arange(1, people + 1)) if law else 1 / people
    return whom + float((share * each).sum())

  def people(self, split: str) -> int:
    if split not in self.splits:
      raise BadInput(f'unknown split {split!r}; {nearest(split, self.splits)}')
    if split == 'bio':
      return self.n
    return (self.n + 1) // 2 if split.endswith('train') else self.n // 2

  def example(self, split: str, index: int) -> Example:
    people = self.people(split)
    which, person = divmod(index, people)
    if not 0 <= index < self.size(split):
      raise IndexError(f'example {index} of {self.size(split)} in {split}')
    if self.law(split):
      which = index % self.versions
      person = self.law(split).person(mix_bits(index, state=self._draw_key))
    if split.endswith('_train'):
      person = 2 * person
    elif split.endswith('_test'):
      person = 2 * person + 1
    if split.startswith('bio'):
      return self.biography(person, which)
    return self.question(person, ATTRIBUTES[which])

  def biography(self, person: int, version: int) -> Example:
    """Version `version` (0 .. M*P-1) of a person's six sentences."""
    chosen, order = self._telling(person, version)
    pieces, answers = [], []
    for place, a in enumerate(order):
      attribute = ATTRIBUTES[a]
      between, after = self.templates[attribute][chosen[a]]
      pieces += self.subject(person, place)
      pieces.append(between)
      answers.append((attribute, len(pieces)))
      pieces.append(self.value(person, attribute))
      pieces.append(after)
    if self.variant.reverse == 6:
      pieces += [NAMING, *self.name(person), '.']
    return Example(tuple(pieces), tuple(answers),
                   tuple(i for _, i in answers),
                   {'person': person, 'version': version})

  def _telling(self, person: int, version: int):
    """(template of each attribute, order of the attributes)."""
    if self.variant.fresh:
      rng = np.random.Generator(np.random.Philox(
          key=generator_key(self.seed, 'fresh'),
          counter=[0, 0, version, person]))
      chosen = rng.integers(0, self._count, 6).tolist()
      order = (_orders(rng, 1, self.variant.couples)[0] if self.p
               else np.arange(6))
    else:
      chosen = self.template_of[person, version // max(self.p, 1)].tolist()
      order = self.order_of[person, version] if self.p else np.arange(6)
    return chosen, order.tolist()

  def subject(self, person: int, place: int) -> tuple[str, ...]:
    """What sentence `place` calls the person."""
    if place < self.variant.reverse:
      return STRANGER
    if self.fullname or place == self.variant.reverse:
      return self.name(person)
    return (PRONOUNS[self.pronoun_of[person]],)

  def question(self, person: int, attribute: str) -> Example:
    """A question and its answer, 'value.' with the full stop."""
    pieces = (QUESTIONS[attribute], *self.name(person), ENDINGS[attribute],
              self.value(person, attribute) + '.')
    return Example(pieces, ((attribute, 5),), (5,),
                   {'person': person, 'attribute': attribute})

  def entry(self, person: int) -> Example:
    """A person's first biography, told off as evals/knowledge_bits.py scores
    it: name, pronoun and the five independent attributes. An employer that
    follows its city is left out: the city tells it. Raises BadInput for a
    reversed variant, whose name is not first."""
    if self.variant.reverse:
      raise BadInput('bits of knowledge of a reversed variant, wanted one '
                     'whose texts begin with the name')
    e = self.biography(person, 0)
    order = [a for a, _ in e.answers]
    leaked = order.index('company_city') < order.index('employer')
    kept = tuple((a, i) for a, i in e.answers if a != 'company_city'
                 and not (a == 'employer' and leaked))
    name = (('name', 0), ('name', 1), ('name', 2))
    pronoun = () if self.fullname else (('pronoun', 6),)
    return Example(e.pieces, name + pronoun + kept, e.loss, e.meta)

  @property
  def N0(self) -> int:
    """Names there are."""
    return int(np.prod([len(pool) for pool in self.names], dtype=np.int64))

  @property
  def S0(self) -> int:
    """Combinations of values, and of pronouns where they are told."""
    lists = [len(self.lists[a]) for a in ('birth_city', 'university', 'major',
                                          'employer')]
    pronouns = 1 if self.fullname else len(PRONOUNS)
    return int(np.prod([*lists, *self.dates, pronouns], dtype=object))

  def name(self, person: int) -> tuple[str, str, str]:
    """First, middle and last name, each with its leading space."""
    return tuple(pool[i] for pool, i
                 in zip(self.names, self.name_of[person].tolist()))

  def value(self, person: int, attribute: str) -> str:
    """The attribute's text, with its leading space."""
    i = int(self.value_of[attribute][person])
    if attribute != 'birth_date':
      return ' ' + self.lists[attribute][i]
    return self.date(i)

  def date(self, i: int) -> str:
    """Birth date `i` of all that there are, with its leading space."""
    rest, year = divmod(i, self.dates[2])
    month, day = divmod(rest, self.dates[1])
    return f' {MONTHS[month]} {day + 1}, {1900 + year}'

  def pieces(self):
    for pool in self.names:
      yield from pool
    yield from PRONOUNS
    if self.variant.reverse:  # else vocabularies would be others than before
      yield from (*STRANGER, NAMING)
    yield from (*QUESTIONS.values(), *ENDINGS.values(), '.', ',')
    for pairs in self.templates.values():
      for pair in pairs:
        yield from pair
    for pool in self.lists.values():
      yield from (' ' + value for value in pool)
    months, days, years = self.dates
    if math.prod(self.dates) <= LISTED_DATES:
      yield from map(self.date, range(math.prod(self.dates)))
    yield from (' ' + month for month in MONTHS[:months])
    yield from (f' {day + 1}' for day in range(days))
    yield from (f' {1900 + year}' for year in range(years))

  def check(self, question: Example, text: str) -> CheckResult:
    """Exact match of the whole answer, full stop included (paper 3.1)."""
    (attribute, at), = question.answers
    wanted, found = question.pieces[at].strip(), text.strip()
    if found == wanted:
      return CheckResult(True, 'exact')
    if not found:
      return CheckResult(False, 'empty answer')
    if found.startswith(wanted):
      return CheckResult(False, f'text after the answer: {found!r}')
    if self._is_value(attribute, found.rstrip('.')):
      return CheckResult(False, f'another {attribute}: {found!r}, not {wanted!r}')
    return CheckResult(False, f'not a {attribute}: {found!r}, wanted {wanted!r}')

  def _is_value(self, attribute: str, text: str) -> bool:
    if attribute != 'birth_date':
      return text in self.lists[attribute]
    return bool(re.fullmatch(rf'({"|".join(MONTHS)}) \d+, \d{{4}}', text))

  def check_biography(self, person: int, text: str) -> CheckResult:
    """Reads a text anew: six sentences, each a known template with the
    person's value, every attribute once, the name where the variant says."""
    rest, told = text, []
    if self.variant.reverse == 6:
      end = NAMING + ''.join(self.name(person)) + '.'
      if not rest.endswith(end):
        return CheckResult(False, f'ends {rest[-30:]!r}, wanted {end!r}')
      rest = rest.removesuffix(end)
    while rest:
      subject = ''.join(self.subject(person, len(told)))
      if not rest.startswith(subject):
        return CheckResult(False, f'sentence {len(told) + 1} begins '
                              f'{rest[:30]!r}, wanted {subject!r}')
      rest = rest.removeprefix(subject)
      found = [(len(between + value + after), attribute)
               for attribute, pairs in self.templates.items()
               for value in [self.value(person, attribute)]
               for between, after in pairs
               if rest.startswith(between + value + after)]
      if not found:
        return CheckResult(False, f'no sentence of this person: {rest[:60]!r}')
      length, attribute = max(found)
      told.append(attribute)
      rest = rest[length:]
    if sorted(told) != sorted(ATTRIBUTES):
      return CheckResult(False, f'attributes told: {told}')
    if not self.p and tuple(told) != ATTRIBUTES:
      return CheckResult(False, f'order {told} in an unshuffled variant')
    at = [ATTRIBUTES.index(a) for a in told]
    if self.variant.couples and any(
        a % 2 or b != a + 1 for a, b in zip(at[::2], at[1::2])):
      return CheckResult(False, f'order {told} parts a couple')
    return CheckResult(True, 'ok')


def _orders(rng, n: int, couples: bool) -> np.ndarray:
  """Orders of the six sentences, [n, 6]; of couples, the pairs shuffled."""
  order = np.argsort(rng.random((n, 3 if couples else 6), dtype=np.float32), -1)
  if couples:
    order = (2 * order[..., None] + np.arange(2)).reshape(n, 6)
  return order.astype(np.uint8)


def make(config, seed: int) -> Biographies:
  return Biographies(config, seed)
