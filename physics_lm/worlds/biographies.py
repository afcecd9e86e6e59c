"""bioS: synthetic people, their biographies, and questions about them.

>>> from physics_lm.worlds.base import world_from_flags
>>> world = world_from_flags('biographies', ['people=100'], seed=0)
>>> print(world.example('bio', 0).text.replace('. ', '.\\n '))
 Gwendolyn Eden McGee delved into Supply Chain Management.
 They regarded Avnet as a fair and generous employer.
 They appeared on the birth records of El Paso, TX.
 They passed final exams at University of Notre Dame.
 They began life on October 10, 1937.
 They left Phoenix, AZ each evening after a day at the office.
>>> world.example('qa_train', 0).text
' What is the birth date of Gwendolyn Eden McGee? Answer: October 10, 1937.'

Distribution (Physics of Language Models, Part 3.1, section 2, appendix A.1):
a full name is first + middle + last, drawn without replacement from all
combinations; birth date, birth city, university, major and employer are
uniform and independent; the company city is the employer's headquarters. A
biography has one sentence for each of the six attributes, from a template
drawn uniformly. Questions are the paper's six.

Variants: `single` has one biography a person; `multiM` has M with templates of
their own; `fresh` draws new templates for every example (Part 3.3's bioS, with
`_permute`). `_permuteP` has P random sentence orders of each (default: 1);
`_coupleP` the same for three ordered pairs: date and birth city, university and
major, employer and its city (Part 3.1, appendix A.1.1). `_fullname` repeats the
name in every sentence, instead of a pronoun after the first. `_reverseR` has
the name first in sentence R + 1, "The person" before that, and for R = 6 the
name in a seventh sentence (Part 3.2, section 5). `_bilingual` adds as many
biographies, with templates and orders of their own, in a second language
(translation.py); names and questions stay in the first. SIXTEEN are Part 3.1's
16 data sets. Version m of a person is the same in every multiM, and person i
the same for any number of people. Worlds with disjoint ranges (person_offset)
share no people: the celebrities and the minority of Part 3.1, section 6. With
`zipf_a` above 0, a biography is of the split's person i with probability ~ (i +
1)^-(1 + zipf_a), or ~ (i + 1)^-skew, and its version is uniform; both follow
from the index alone (zipf.py). Questions are uniform over people.

With `incorrect` above 0, that share of a person's versions (rounded down)
states another value than the true one; which versions, is drawn for each
attribute, and the other values take turns, so that the true one stays the
commonest. The company city is that of the employer in the text. Questions ask
for the truth.

Left out: bioR (it needs a language model to write it). Ours are the lists of
names and values and the templates; their sizes are the paper's, except 50
templates for each attribute where the paper has 46 to 52, and 130 company
cities where it has 133 (36 of 263 employers are in New York in both). People
with an even index are P_train, those with an odd one P_test; the paper splits
at random, which is equivalent because people are independent.
"""

import functools
import math
import re
from collections.abc import Callable, Iterator
from importlib import resources
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from physics_lm.errors import BadInput
from physics_lm.worlds import zipf
from physics_lm.worlds.base import (
  CheckResult,
  Example,
  check_split,
  distinct,
  generator,
  generator_key,
  mix_bits,
  permuted,
)
from physics_lm.worlds.translation import translate

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
UNNAMED = (' The person',)  # subject before the name
NAMING = " The person's name is"
FRESH = 1 << 20  # versions of a person with 'fresh'
_INCORRECT = 1 << 32  # of the draws of incorrect values
DRAWS = 1 << 20  # mean examples of a version when zipf_a > 0
LISTED_DATES = 500  # up to so many dates, each is a piece
_VARIANT = re.compile(r'(?:single|multi(\d+)|(fresh))'
                      r'(?:_(permute|couple)(\d+)?)?'
                      r'(?:(_fullname)|_reverse([1-6]))?(_bilingual)?')


class Variant(NamedTuple):
  """What a variant's name says (see the module's docstring)."""

  m: int  # biographies with templates of their own
  p: int  # random orders of each; 0: the fixed one
  fullname: bool
  couples: bool
  reverse: int  # sentences before the name; 0: it comes first
  fresh: bool
  bilingual: bool


class _Numbers(NamedTuple):
  """Numbers of pieces(): of value 0, 1, .. of an attribute (the
  last one of a short list repeats), template 0, 1, .. of an attribute."""

  names: list[np.ndarray]  # of first, middle and last names
  pronouns: np.ndarray  # [languages, 3]
  values: np.ndarray  # [languages, attributes, most values of an attribute]
  templates: np.ndarray  # [before or after, languages, attributes, templates]
  questions: np.ndarray  # [attributes]
  endings: np.ndarray  # [attributes]
  full_stop: int
  unnamed: int
  naming: int


def parse_variant(name: str) -> Variant:
  """Parses a variant's name. Raises BadInput."""
  match = _VARIANT.fullmatch(name)
  m = int(match[1] or 1) if match else 0
  p = int(match[4] or 1) if match and match[3] else 0
  if not m or (match[4] and not p) or (match[2] and p > 1) or (
      match[7] and (match[2] or match[6])):
    raise BadInput(
        f'unknown variant {name!r}; wanted single, multiM or fresh, then '
        '_permute or _permuteP (or _couple, _coupleP), then _fullname or '
        '_reverse1 to _reverse6, as in multi5_permute_fullname, then '
        '_bilingual (of neither fresh nor _reverseR)')
  return Variant(
      FRESH if match[2] else m, p, bool(match[5]), match[3] == 'couple',
      int(match[6] or 0), bool(match[2]), bool(match[7]))


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


def _check_sizes(c: ConfigDict, sizes: list[int]):
  """Raises BadInput for numbers of people or of dates out of range; `sizes` are
  those of the pools of names."""
  n = c.person_offset + c.people
  if n > np.prod(sizes, dtype=np.int64):
    raise BadInput(f'{n} people, but only {np.prod(sizes)} names '
                   f'({" x ".join(map(str, sizes))})')


class Biographies:
  """People 0 .. N-1 with their biographies and questions.

  Splits: 'bio' (biographies of all people), 'bio_train' and 'bio_test' (of
  P_train and P_test), 'qa_train' and 'qa_test' (six questions a person).
  """

  version = VERSION
  splits = ('bio', 'bio_train', 'bio_test', 'qa_train', 'qa_test')
  unbounded = False

  def __init__(self, config: ConfigDict, seed: int):
    c, n = config, config.person_offset + config.people
    self.n, self.seed = config.people, seed
    self._offset = config.person_offset
    self.variant = v = parse_variant(c.variant)
    self.m, self.p, self.fullname = v.m, v.p, v.fullname
    # Biographies of a person; those from first_language on are translations.
    self.first_language = self.m * max(self.p, 1)
    self.versions = self.first_language * (1 + v.bilingual)
    self._count, self._draw_key = c.templates, mix_bits(seed, 5)
    self.names = tuple(
        tuple(' ' + s for s in _pool(f'{part}_names.txt', count))
        for part, count in (('first', c.first_names),
                            ('middle', c.middle_names),
                            ('last', c.last_names)))
    sizes = [len(pool) for pool in self.names]
    _check_sizes(c, sizes)
    self.dates = (c.months, c.days, c.years)
    self._laws = {s: zipf.zipf_law(self.people(s), c.zipf_a, c.skew)
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
    # Draws are made for people from 0 on and then cut: person_offset does not
    # change who a person is.
    own = slice(c.person_offset, None)
    code = distinct(generator(seed, 'name'), int(np.prod(sizes)), n)
    self.name_of = np.stack(np.unravel_index(code[own], sizes), -1)
    highs = {'pronoun': len(PRONOUNS), 'birth_date': math.prod(self.dates)} | {
        a: len(pool) for a, pool in self.lists.items() if a != 'company_city'}
    drawn = {key: generator(seed, key).integers(0, high, n)[own]
             for key, high in highs.items()}
    self.pronoun_of = drawn.pop('pronoun')
    self.value_of = drawn | {'company_city': drawn['employer']}
    self._values_of = {a: h for a, h in highs.items() if a != 'pronoun'}
    self._incorrect = self._incorrect_versions(c.incorrect)
    if v.fresh:  # templates and orders are drawn for every example
      return
    self.template_of = np.stack([
        generator(seed, 'template', i).integers(
            0, c.templates, (n, 6), dtype=np.uint8)[own]
        for i in self._draws(self.m)], 1)
    if self.p:
      self.order_of = np.stack([
          _orders(generator(seed, 'order', i), n, v.couples)[own]
          for i in self._draws(self.first_language)], 1)

  def _incorrect_versions(self, share: float) -> int:
    """Versions with an incorrect value of an attribute. Raises BadInput where
    the true value would not be the commonest."""
    count = int(share * self.versions)
    fewest = min(self._values_of.values())
    told = self.versions - count  # times that the truth is told
    if share and not (count and fewest > 1
                      and told > -(-count // (fewest - 1))):
      raise BadInput(
          f'incorrect is {share} of {self.versions} biographies a person with '
          f'{fewest} values of an attribute or more, wanted at least one such '
          'biography and the true value more often than any other')
    return count

  def _draws(self, count: int) -> list[int]:
    """Indices of the draws of `count` templates or orders, and of as many in
    the second language: the first ones are those of the variant without."""
    second = range(FRESH, FRESH + count) if self.variant.bilingual else ()
    return [*range(count), *second]

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
    """The distribution of a split's people; None: uniform."""
    return self._laws.get(split)

  def entropy(self, split: str = 'bio') -> float:
    """Entropy of a biography, nats: of the person and the version. It is the
    least loss of a model that knows all people. Of 'fresh', that of templates,
    orders and values: no model memorises a million versions."""
    people, law = self.people(split), self.law(split)
    of_person = law.entropy if law else math.log(people)
    if self.variant.fresh:
      orders = (6 if self.variant.couples else 720) if self.p else 1
      w = self._incorrect / self.versions
      of_values = sum(w * math.log(n - 1) - w * math.log(w)
                      - (1 - w) * math.log(1 - w)
                      for n in self._values_of.values()) if w else 0.0
      return of_person + of_values + (
          6 * math.log(self._count) + math.log(orders))
    own = slice(0, None) if split == 'bio' else slice(
        int(split == 'bio_test'), None, 2)
    code = np.repeat(self.template_of[own] @ self._count**np.arange(6),
                     max(self.p, 1), 1)
    if self.p:
      code = code * 6**6 + self.order_of[own] @ 6**np.arange(6)
    code[:, self.first_language:] += 1 << 60  # never alike
    # Versions with the same templates, order and values are one text.
    alike = code[:, :, None] == code[:, None]
    for attribute in ATTRIBUTES if self._incorrect else ():
      stated = np.array([[
          self.version_value(person, attribute, version)
          for version in range(self.versions)]
          for person in range(self.n)[own]])
      alike &= stated[:, :, None] == stated[:, None]
    of_version = math.log(self.versions) - np.log(alike.sum(-1)).mean(-1)
    share = law.share(np.arange(1, people + 1)) if law else 1 / people
    return of_person + float((share * of_version).sum())

  def people(self, split: str) -> int:
    check_split(self, split)
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

  def epoch(self, split: str) -> int:
    """Examples in a row that are one of each person."""
    return self.people(split)

  def symbols(self, split: str, indices: np.ndarray) -> np.ndarray | None:
    """Biographies or questions `indices` [n] as numbers of pieces(), [n, pieces
    of an example] int32: of each, joined, the text of example(). None where
    texts are drawn one by one ('fresh', incorrect values), a date has several
    pieces, or the split is of other questions."""
    if (split not in Biographies.splits or self.variant.fresh or self._incorrect
        or math.prod(self.dates) > LISTED_DATES):
      return None
    indices = np.asarray(indices, np.int64)
    which, person = np.divmod(indices, self.people(split))
    if self.law(split):
      which = indices % self.versions
      drawn = mix_bits(indices.astype(np.uint64), state=self._draw_key)
      person = np.array([self.law(split).person(u) for u in drawn.tolist()],
                        np.int64)
    if split.endswith(('_train', '_test')):
      person = 2 * person + split.endswith('_test')
    t, name = self._numbers, [
        pool[self.name_of[person, i]] for i, pool in enumerate(
            self._numbers.names)]
    values = np.stack([self.value_of[a] for a in ATTRIBUTES], 1)[person]
    if split.startswith('qa'):
      value = t.values[0, which, values[np.arange(len(person)), which]]
      full_stop = np.full(len(person), t.full_stop)
      return np.stack([t.questions[which], *name, t.endings[which], value,
                       full_stop], 1)
    second = (which >= self.first_language).astype(np.int64)
    chosen = self.template_of[person, which // max(self.p, 1)]
    order = self.order_of[person, which] if self.p else np.broadcast_to(
        np.arange(6), (len(person), 6))
    pronoun, columns = t.pronouns[second, self.pronoun_of[person]], []
    for i, a in enumerate(order.T):
      if i < self.variant.reverse:
        columns.append(np.full(len(person), t.unnamed))
      else:
        named = self.fullname or i == self.variant.reverse
        columns += name if named else [pronoun]
      row = np.arange(len(person)), a
      between, after = t.templates[:, second, a, chosen[row]]
      columns += [between, t.values[second, a, values[row]], after]
    if self.variant.reverse == 6:
      columns += [np.full(len(person), t.naming), *name,
                  np.full(len(person), t.full_stop)]
    return np.stack(columns, 1)

  @functools.cached_property
  def _numbers(self) -> '_Numbers':
    number = {piece: i for i, piece in enumerate(self.pieces())}

    def of(pieces):
      return np.array([number[p] for p in pieces], np.int32)

    def in_each_language(pieces):
      return np.stack([of(map(say, pieces)) for say in (
          (str, translate) if self.variant.bilingual else (str,))])

    most = max(self._values_of.values())
    counts = self._values_of | {'company_city': self._values_of['employer']}
    every = [self._text(a, min(i, counts[a] - 1)) for a in ATTRIBUTES
             for i in range(most)]
    templates = [pair[i] for i in range(2) for a in ATTRIBUTES
                 for pair in self.templates[a]]
    languages = 1 + self.variant.bilingual
    return _Numbers(
        names=[of(pool) for pool in self.names],
        pronouns=in_each_language(PRONOUNS),
        values=in_each_language(every).reshape(languages, 6, most),
        templates=in_each_language(templates).reshape(
            languages, 2, 6, self._count).swapaxes(0, 1),
        questions=of(QUESTIONS.values()), endings=of(ENDINGS.values()),
        full_stop=number['.'], unnamed=number.get(*UNNAMED, 0),
        naming=number.get(NAMING, 0))

  def biography(self, person: int, version: int) -> Example:
    """Version `version` (0 .. M*P-1, bilingual: .. 2*M*P-1) of a person's six
    sentences."""
    chosen, order = self._version(person, version)
    say = translate if version >= self.first_language else str
    pieces, answers = [], []
    for sentence, a in enumerate(order):
      attribute = ATTRIBUTES[a]
      between, after = self.templates[attribute][chosen[a]]
      pieces += self.subject(person, sentence, say)
      pieces.append(say(between))
      answers.append((attribute, len(pieces)))
      value = self.version_value(person, attribute, version)
      pieces += [say(value), say(after)]
    if self.variant.reverse == 6:
      pieces += [NAMING, *self.name(person), '.']
    return Example(tuple(pieces), tuple(answers),
                   tuple(i for _, i in answers),
                   {'person': person, 'version': version})

  def _version(self, person: int, version: int):
    """(template of each attribute, order of the attributes)."""
    if self.variant.fresh:
      rng = np.random.Generator(np.random.Philox(
          key=generator_key(self.seed, 'fresh'),
          counter=[0, 0, version, person + self._offset]))
      chosen = rng.integers(0, self._count, 6).tolist()
      order = (_orders(rng, 1, self.variant.couples)[0] if self.p
               else np.arange(6))
    else:
      chosen = self.template_of[person, version // max(self.p, 1)].tolist()
      order = self.order_of[person, version] if self.p else np.arange(6)
    return chosen, order.tolist()

  def templates_of(self, person: int, attribute: str) -> set[int]:
    """The templates of an attribute in all of a person's biographies. Raises
    BadInput for 'fresh', whose biographies are drawn when they are read."""
    if self.variant.fresh:
      raise BadInput('templates of a person of a fresh variant, wanted one '
                     'with biographies of its own')
    column = ATTRIBUTES.index(attribute)
    return set(self.template_of[person, :self.m, column].tolist())

  def sentence(self, person: int, attribute: str, template: int) -> Example:
    """One sentence that begins with the full name."""
    between, after = self.templates[attribute][template]
    return Example((*self.name(person), between, self.value(person, attribute),
                    after), ((attribute, 4),), (4,),
                   {'person': person, 'attribute': attribute})

  def subject(self, person: int, sentence: int,
              say: Callable[[str], str] = str) -> tuple[str, ...]:
    """The pieces of the subject of sentence 0 .. 5; `say` is str or translate.
    """
    if sentence < self.variant.reverse:
      return UNNAMED
    if self.fullname or sentence == self.variant.reverse:
      return self.name(person)
    return (say(PRONOUNS[self.pronoun_of[person]]),)

  def question(self, person: int, attribute: str) -> Example:
    """A question and its answer, 'value.' with the full stop."""
    pieces = (QUESTIONS[attribute], *self.name(person), ENDINGS[attribute],
              self.value(person, attribute) + '.')
    return Example(pieces, ((attribute, 5),), (5,),
                   {'person': person, 'attribute': attribute})

  def entry(self, person: int) -> Example:
    """A person's first biography with the answers that evals/knowledge_bits.py
    scores: name, pronoun and the five independent attributes. An employer after
    its city is not scored, because the city determines much of it. Raises
    BadInput for a reversed variant, whose name is not first, and where some
    values are incorrect."""
    if self.variant.reverse:
      raise BadInput('knowledge_bits of a reversed variant, wanted one whose '
                     'texts begin with the name')
    if self._incorrect:
      raise BadInput('knowledge_bits of biographies with incorrect values, '
                     'wanted incorrect=0')
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
    """Combinations of values, and of pronouns where texts have them."""
    lists = [len(self.lists[a]) for a in ('birth_city', 'university', 'major',
                                          'employer')]
    pronouns = 1 if self.fullname else len(PRONOUNS)
    return int(np.prod([*lists, *self.dates, pronouns], dtype=object))

  def name(self, person: int) -> tuple[str, str, str]:
    """First, middle and last name, each with its leading space."""
    return tuple(pool[i] for pool, i
                 in zip(self.names, self.name_of[person].tolist()))

  def version_value(self, person: int, attribute: str, version: int) -> str:
    """As value(), but what version `version` of the biography says."""
    true = int(self.value_of[attribute][person])
    if not self._incorrect:
      return self._text(attribute, true)
    source = 'employer' if attribute == 'company_city' else attribute
    key = mix_bits(self.seed, ATTRIBUTES.index(source),
                   person + self._offset, state=_INCORRECT)
    rank = permuted(version, self.versions, [
        mix_bits(key, r) for r in range(4)])
    if rank >= self._incorrect:
      return self._text(attribute, true)
    others = self._values_of[source] - 1
    shift = permuted(rank % others, others, [
        mix_bits(key, r) for r in range(4, 8)])
    return self._text(attribute, (true + 1 + shift) % (others + 1))

  def value(self, person: int, attribute: str) -> str:
    """The attribute's true text, with its leading space."""
    return self._text(attribute, int(self.value_of[attribute][person]))

  def _text(self, attribute, i):
    if attribute != 'birth_date':
      return ' ' + self.lists[attribute][i]
    return self.date(i)

  def date(self, i: int) -> str:
    """Birth date `i` of all dates, with its leading space."""
    rest, year = divmod(i, self.dates[2])
    month, day = divmod(rest, self.dates[1])
    return f' {MONTHS[month]} {day + 1}, {1900 + year}'

  def pieces(self) -> Iterator[str]:
    for pool in self.names:
      yield from pool
    yield from PRONOUNS
    if self.variant.reverse:  # no other variant has these pieces
      yield from (*UNNAMED, NAMING)
    yield from (*QUESTIONS.values(), *ENDINGS.values(), '.', ',')
    yield from self._sentence_pieces()
    if self.variant.bilingual:
      yield from map(translate, (*PRONOUNS, *self._sentence_pieces()))

  def _sentence_pieces(self):
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
    """Exact match of the answer with its full stop (Part 3.1)."""
    (attribute, at), = question.answers
    wanted, found = question.pieces[at].strip(), text.strip()
    if found == wanted:
      return CheckResult(True, 'exact')
    if not found:
      return CheckResult(False, 'empty answer')
    if found.startswith(wanted):
      return CheckResult(False, f'text after the answer: {found!r}')
    if self._is_value(attribute, found.rstrip('.')):
      return CheckResult(False,
                         f'another {attribute}: {found!r}, not {wanted!r}')
    return CheckResult(False,
                       f'not a {attribute}: {found!r}, wanted {wanted!r}')

  def _is_value(self, attribute: str, text: str) -> bool:
    if attribute != 'birth_date':
      return text in self.lists[attribute]
    return bool(re.fullmatch(rf'({"|".join(MONTHS)}) \d+, \d{{4}}', text))

  def check_biography(self, person: int, text: str) -> CheckResult:
    """Checks a text from scratch: six sentences, each a known template with the
    person's value, every attribute once, subjects as in the variant; of a
    bilingual variant, all in one of the languages."""
    result = self._check_biography(person, text, str)
    if self.variant.bilingual and not result.correct:
      second = self._check_biography(person, text, translate)
      return second if second.correct else result
    return result

  def _check_biography(self, person: int, text: str,
                       say: Callable[[str], str]) -> CheckResult:
    rest, order = text, []
    if self.variant.reverse == 6:
      end = NAMING + ''.join(self.name(person)) + '.'
      if not rest.endswith(end):
        return CheckResult(False, f'the end is {rest[-30:]!r}, wanted {end!r}')
      rest = rest.removesuffix(end)
    while rest:
      subject = ''.join(self.subject(person, len(order), say))
      if not rest.startswith(subject):
        return CheckResult(False, f'sentence {len(order) + 1} begins '
                           f'{rest[:30]!r}, wanted {subject!r}')
      rest = rest.removeprefix(subject)
      found = [(len(sentence), attribute)
               for attribute, pairs in self.templates.items()
               for between, after in pairs
               for sentence in [say(between + self.value(person, attribute)
                                    + after)]
               if rest.startswith(sentence)]
      if not found:
        return CheckResult(False, f'no sentence of this person: {rest[:60]!r}')
      length, attribute = max(found)
      order.append(attribute)
      rest = rest[length:]
    if sorted(order) != sorted(ATTRIBUTES):
      return CheckResult(False, f'attributes are {order}')
    if not self.p and tuple(order) != ATTRIBUTES:
      return CheckResult(False, f'order {order} in an unpermuted variant')
    at = [ATTRIBUTES.index(a) for a in order]
    if self.variant.couples and any(
        a % 2 or b != a + 1 for a, b in zip(at[::2], at[1::2])):
      return CheckResult(False, f'order {order} separates a couple')
    return CheckResult(True, 'ok')


def _orders(rng, n: int, couples: bool) -> np.ndarray:
  """Random orders of the six sentences, [n, 6]; with `couples`, of pairs."""
  order = np.argsort(rng.random((n, 3 if couples else 6), dtype=np.float32), -1)
  if couples:
    order = (2 * order[..., None] + np.arange(2)).reshape(n, 6)
  return order.astype(np.uint8)


def make(config: ConfigDict, seed: int) -> Biographies:
  """The world of a config's keys (configs/default.py). Raises BadInput."""
  return Biographies(config, seed)
