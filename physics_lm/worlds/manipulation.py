"""Knowledge manipulation: questions beyond the six on attributes.

>>> from physics_lm.worlds.base import world_from_flags
>>> world = world_from_flags('manipulation', ['people=100'], seed=0)
>>> for task in 'month_mod2_hint', 'luck_rank', 'bdate_first':
...   text = world.example(f'{task}_train', 0).text
...   print(text.replace(' Answer', '\\n   Answer'))
 Was Gwendolyn Eden McGee born in an even month? Hint: October. Yes.
 Is the major of Gwendolyn Eden McGee luckier than that of Amy Sullivan Norman?
   Answer: Yes.
 Give me the first name of the person with these facts: October 10, 1937.
   Answer: Gwendolyn.

People and biographies are those of biographies.py; tasks follow Physics of
Language Models, Part 3.2. Splits, for P_train and P_test: TASK_train has the
answer alone, TASK_hint_train has CoT, that is the facts that the answer follows
from and then the answer. CoT prompts end with "Hint:" instead of "Answer:", the
control token of section 4.

  retrieval (section 3, appendix B): birth_month, birth_day, birth_year; pairs
      of attributes, both orders, as in `both_university_major`
  classification (section 4): month_mod2 (even?), month_mod6, month_mod12;
      luck_mod5, luck_mod20, luck_mod100: every major has a luckiness, a fixed
      permutation of 0 .. majors - 1 drawn from the world's seed
  comparison of two people of one split: month_rank (later?), month_minus,
      luck_rank (luckier?), luck_minus, day_rank, day_minus (appendix C)
  inverse search (section 5): CLUES_first asks for the first name, CLUES_full
      for the full name; the clues are `bdate`, `birth` (date and city), `three`
      (major, university, employer), `four` (and the birth city), `all`

The wording is ours. With equal months, days or majors, the answer to a rank
question is No. `train_people` limits the training splits to the first people of
P_train (the paper trains on 2,500 to 50,000 of 100,000 people).
"""

from collections.abc import Iterator

import numpy as np
from ml_collections import ConfigDict

from physics_lm.errors import BadInput
from physics_lm.worlds import biographies
from physics_lm.worlds.base import CheckResult, Example, check_split, generator

VERSION = 1
PARTS = {'birth_month': ' What is the birth month of',
         'birth_day': ' What is the birth day of',
         'birth_year': ' What is the birth year of'}
WORDS = {'birth_date': 'birth date', 'birth_city': 'birth city',
         'university': 'university', 'major': 'major', 'employer': 'employer',
         'company_city': 'company city'}
PAIRS = (('birth_city', 'employer'), ('employer', 'birth_city'),
         ('university', 'major'), ('major', 'university'),
         ('company_city', 'employer'), ('employer', 'company_city'))
BOTH = tuple(f'both_{a}_{b}' for a, b in PAIRS)
MODULI = {'month': (2, 6, 12), 'luck': (5, 20, 100)}
ONE = tuple(f'{of}_mod{m}' for of, all_ in MODULI.items() for m in all_)
ASK_ONE = {'month': (' What is the birth month of', ' mod {}?'),
           'luck': (' What is the luckiness of the major of', ' mod {}?')}
TWO = ('month_rank', 'month_minus', 'luck_rank', 'luck_minus', 'day_rank',
       'day_minus')
ASK_TWO = {'month_rank': (' Was', ' born in a later month than', '?'),
           'month_minus': (' What is the birth month of',
                           ' minus the birth month of', '?'),
           'luck_rank': (' Is the major of', ' luckier than that of', '?'),
           'luck_minus': (' What is the luckiness of the major of',
                          ' minus that of', '?'),
           'day_rank': (' Was', ' born on a later day of the month than', '?'),
           'day_minus': (' What is the birth day of',
                         ' minus the birth day of', '?')}
INVERSE_CLUES = {
    'bdate': ('birth_date',), 'birth': ('birth_date', 'birth_city'),
    'three': ('major', 'university', 'employer'),
    'four': ('birth_city', 'major', 'university', 'employer'),
    'all': biographies.ATTRIBUTES}
INVERSE = tuple(f'{g}_{n}' for n in ('first', 'full') for g in INVERSE_CLUES)
HINTED = (*ONE, *TWO)  # tasks with CoT: their answer follows from facts
TASKS = (*PARTS, *BOTH, *ONE, *TWO, *INVERSE)
ANSWER, HINT = ' Answer:', ' Hint:'
PAIRS_SALT = 'asked'  # of a generator: another string draws other pairs
PERSON_SPLITS = ('train', 'test')


class Manipulation(biographies.Biographies):
  """People, biographies, the six questions, and the tasks above."""

  version = VERSION
  splits = (*biographies.Biographies.splits, *(
      f'{t}{hint}_{people}' for t in TASKS for hint in ('', '_hint')
      if not hint or t in HINTED for people in PERSON_SPLITS))

  def __init__(self, config, seed: int):
    super().__init__(config, seed)
    self.train_people = config.train_people
    if not 0 <= self.train_people <= self.n // 2:
      raise BadInput(f'train_people is {self.train_people}, wanted 0 to the '
                     f'size of P_train, {self.n // 2}')
    self.luck_of = generator(seed, 'luck').permutation(
        len(self.lists['major']))

  def task(self, split: str) -> tuple[str, bool, str]:
    """(task, with CoT, 'train' or 'test') of a split. Raises BadInput."""
    check_split(self, split)
    name, people = split.rsplit('_', 1)
    return name.removesuffix('_hint'), name.endswith('_hint'), people

  def people(self, split: str) -> int:
    if split in biographies.Biographies.splits:
      return super().people(split)
    _, _, people = self.task(split)
    if people == 'train' and self.train_people:
      return self.train_people
    return super().people(f'qa_{people}')

  def size(self, split: str) -> int:
    if split in biographies.Biographies.splits:
      return super().size(split)
    n, (task, _, _) = self.people(split), self.task(split)
    return n * (n - 1) if task in TWO else n

  def example(self, split: str, index: int) -> Example:
    if split in biographies.Biographies.splits:
      return super().example(split, index)
    task, cot, people = self.task(split)
    if not 0 <= index < self.size(split):
      raise IndexError(f'example {index} of {self.size(split)} in {split}')
    n = self.people(split)
    other, one = divmod(index, n)
    other += other >= one  # two different people
    first = int(people == 'test')  # P_test has the odd indices
    return self.task_example(task, 2 * one + first, 2 * other + first, cot)

  def task_example(self, task: str, person: int, other: int = 0,
                   cot: bool = False) -> Example:
    """A task's example about a person (two, for a comparison). The pieces are
    the question, the facts of the CoT if `cot`, and the answer."""
    if task in INVERSE:
      clues, name = task.split('_')
      facts = '; '.join(self.value(person, a).strip()
                        for a in INVERSE_CLUES[clues])
      question = (f' Give me the {name} name of the person with these facts:',
                  ' ' + facts + '.')
      names = self.name(person)
      answer = names[0] if name == 'first' else ''.join(names)
      return self._example(task, question, (), answer, person)
    if task in PARTS or task in BOTH:
      if task in PARTS:
        start, answer = PARTS[task], self.part(person, task)
      else:
        a, b = PAIRS[BOTH.index(task)]
        start = f' What are the {WORDS[a]} and the {WORDS[b]} of'
        answer = self.value(person, a) + ';' + self.value(person, b)
      return self._example(task, (start, *self.name(person), '?'), (), answer,
                           person)
    of, how = task.split('_')
    people = [person] if task in ONE else [person, other]
    cot_facts = [self.fact(p, of) for p in people] if cot else []
    question, answer = (self._one_person(task, of, how, person) if task in ONE
                        else self._two_people(task, of, how, person, other))
    return self._example(task, question, cot_facts, answer, person)

  def _one_person(self, task: str, of: str, how: str, person: int):
    """(question's pieces, answer) of a classification."""
    modulus = int(how.removeprefix('mod'))
    number = self.number(person, of)
    if task == 'month_mod2':
      return (' Was', *self.name(person), ' born in an even month?'), (
          ' No' if number % 2 else ' Yes')
    start, end = ASK_ONE[of]
    return (start, *self.name(person), end.format(modulus)), (
        f' {number % modulus}')

  def _two_people(self, task: str, of: str, how: str, person: int, other: int):
    """(question's pieces, answer) of a comparison."""
    start, between, end = ASK_TWO[task]
    question = (start, *self.name(person), between, *self.name(other), end)
    difference = self.number(person, of) - self.number(other, of)
    if how == 'minus':
      return question, f' {difference}'
    return question, ' Yes' if difference > 0 else ' No'

  @staticmethod
  def _example(task, question, cot_facts, answer: str, person: int) -> Example:
    pieces, answers = (*question, HINT if cot_facts else ANSWER), []
    at = len(pieces)
    if cot_facts:
      answers.append(('hint', at))
      pieces += (';'.join(cot_facts) + '.',)
    answers.append((task, len(pieces)))
    pieces += (answer + '.',)
    return Example(pieces, tuple(answers), tuple(range(at, len(pieces))),
                   {'person': person, 'task': task})

  def part(self, person: int, name: str) -> str:
    """Month, day or year of birth, with its leading space."""
    month, rest = self.value(person, 'birth_date').strip().split(' ', 1)
    day, year = rest.split(', ')
    return ' ' + {'birth_month': month, 'birth_day': day,
                  'birth_year': year}[name]

  def fact(self, person: int, of: str) -> str:
    """The fact of a CoT: month, day or major, with its leading space."""
    return self.value(person, 'major') if of == 'luck' else (
        self.part(person, f'birth_{of}'))

  def number(self, person: int, of: str) -> int:
    """Month from 1, day, or luckiness of the major."""
    if of == 'luck':
      return int(self.luck_of[self.value_of['major'][person]])
    text = self.part(person, f'birth_{of}').strip()
    return int(text) if of == 'day' else biographies.MONTHS.index(text) + 1

  def pieces(self) -> Iterator[str]:
    yield from super().pieces()
    yield from (ANSWER, HINT, '?', ';', '.', '-', ' -', ' Yes', ' No')
    yield from PARTS.values()
    yield from (f' What are the {a} and the {b} of' for a in WORDS.values()
                for b in WORDS.values())
    for parts in ASK_TWO.values():
      yield from parts
    for of, (start, end) in ASK_ONE.items():
      yield from (start, *(end.format(m) for m in MODULI[of]))
    yield ' born in an even month?'
    yield from (f' Give me the {w} name of the person with these facts:'
                for w in ('first', 'full'))
    top = max(28, len(self.lists['major']))
    yield from (f'{space}{n}' for n in range(top + 1) for space in ('', ' '))

  def check(self, question: Example, text: str) -> CheckResult:
    """Exact match of the answer; the facts before it are not checked."""
    if 'task' not in question.meta:
      return super().check(question, text)
    wanted = question.pieces[-1].strip()
    found = text.strip()
    if len(question.answers) > 1:  # the facts end where the answer begins
      found = found[:-1].rpartition('. ')[2] + found[-1:]
    if found == wanted:
      return CheckResult(True, 'exact')
    return CheckResult(False, f'found {found[:60]!r}, wanted {wanted!r}')


def make(config: ConfigDict, seed: int) -> Manipulation:
  """The world of a config's keys (configs/default.py). Raises BadInput."""
  return Manipulation(config, seed)


def person_pairs(world: Manipulation, split: str, count: int) -> list[int]:
  """Indices of at most `count` examples of a split. Every person is the first
  of equally many pairs, to within one; the second is random. A smaller count
  gives a prefix."""
  n, size = world.people(split), world.size(split)
  if size == n:
    return list(range(min(count, n)))
  rng = generator(world.seed, PAIRS_SALT, split)
  rounds = -(-min(count, size) // n)
  at = [o * n + one for _ in range(rounds) for one, o in enumerate(
      rng.integers(0, n - 1, n).tolist())]
  return at[:count]


def majority_answer(world: Manipulation, task: str) -> str:
  """The most frequent answer among a task's training examples."""
  train = f'{task}_train'
  answers = [world.example(train, i).pieces[-1]
             for i in person_pairs(world, train, 2000)]
  values, counts = np.unique(answers, return_counts=True)
  return str(values[counts.argmax()])
