"""docs/results/ and README's headline table, from the committed records.

A page per experiment (question, claims, figures, set-up, provenance), an index,
and claims.csv with a row per claim. Nothing here is written by hand: the words
are those of the experiment's docstring and CLAIMS, the numbers its records'.
"""

import collections
import csv
import io
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from ml_collections import ConfigDict

from physics_lm import claims, cost, results, run_dir, sweep
from physics_lm.config import load_config, override
from physics_lm.errors import BadInput

SCALES = ('paper', 'gpu', 'day', 'cpu', 'smoke')  # largest first
HEADLINES, EXPERIMENTS = 'headline results', 'experiments'  # README's marks
DOCS = Path('docs') / 'results'
MOST_SEEDS = 200  # that are proposed to decide a claim
# README's table: of the headline claims, those that it has room for, in order.
IN_README = {
    'knowledge_extraction': ('single_finetune_fails', 'augmented_60',
                             'multi5_between', 'mixed_single',
                             'mixed_augmentation'),
    'extraction_by_decay': ('finetuned_single',),
    'celebrity_helps_minority': ('celebrity_30_points',),
    'cot_need': ('chance_80', 'cot_70_all'),
    'inverse_search': ('inverse_search_fails',),
    'knowledge_capacity': ('biod_peak_1000',),
    'capacity_exposures': ('exposures_double', 'halving_removed'),
    'capacity_biod': ('biod_2_bits',),
    'capacity_quantization': ('int8_free', 'int4_loses'),
    'junk_data_domain_tags': ('junk_costs', 'tag_restores'),
    'igsm_probing': ('nece_15',),
    'error_correction': ('retry_0.2_above_clean', 'masking_0.5'),
    'grammar_learning': ('rope_above_nope',),
    'scaling_sweep': ('grammar_e',),
    'cleaning': ('rules_pay',),
    'distillation': ('law_beats_labels',),
    'instruction_tuning': ('enough',)}
EARLIER = 'earlier design'
OPEN = ('inconclusive', 'at floor', 'not run')
# Of *Physics of Language Models*, and of what the other experiments are about.
PARTS = {'1': 'structure of language', '2.1': 'hidden reasoning',
         '2.2': 'learning from errors', '3.1': 'knowledge extraction',
         '3.2': 'manipulating knowledge', '3.3': 'bits per parameter',
         '4.1': 'architecture and Canon layers'}
OTHERS = 'scaling laws, recipes, post-training: other papers, and ours'
OURS = ' †'  # after a claim whose threshold is not the paper's


class Evidence(NamedTuple):
  """What one scale of an experiment showed."""

  scale: str
  judged: list[claims.Judged]
  made_by: dict  # results.provenance
  notes: list[str]  # of records: say, that seeds were not kept
  shares: list[str]  # 'bio 0.1, qa 0.9 (15 runs)': see _shares
  earlier: bool  # all runs are of an earlier design
  part_of: str  # a larger scale that has all of these runs, or ''
  missing: int = 0  # runs of the scale that have no record
  seeds: int = 0  # that ran; 0 where they were not kept
  failed: str = ''  # why no table or claims could be made
  costs: Mapping[str, str] = {}  # of scales that would decide open claims; '':
  # of the runs that are missing
  evaluations: int = 0  # records of runs that only evaluate another's model


class Experiment(NamedTuple):
  """An experiment and its evidence, the largest scale first."""

  name: str
  question: str  # first line of the docstring
  set_up: str  # its rest
  evidence: list[Evidence]

  @property
  def part(self) -> str:
    """'Part 3.1' or what else its first claim is a claim of; 'ours' where
    nothing is claimed."""
    judged = self.evidence[0].judged
    return judged[0].claim.source.split(',')[0] if judged else 'ours'

  def best(self) -> list[tuple[Evidence, claims.Judged]]:
    """Each claim at the largest scale where it was run, of today's design
    where there is one."""
    out = []
    of_today_first = sorted(self.evidence, key=lambda e: e.earlier)
    for i, first in enumerate(self.evidence[0].judged):
      found = [(e, e.judged[i]) for e in of_today_first
               if e.judged[i].outcome != 'not run']
      out.append(found[0] if found else (self.evidence[0], first))
    return out


def experiments(committed: Path) -> Iterator[Experiment]:
  """Every experiment with committed records, in order of part and name."""
  found = []
  for path in sorted(Path('experiments').glob('*.py')):
    scales = [s for s in SCALES
              if results.records_path(committed, path.stem, s).exists()]
    if scales:
      found.append(_read(path, scales, committed))
  return iter(sorted(found, key=_position))


def _position(x: Experiment) -> tuple:
  """Parts of the papers first, in order; then what else there is."""
  return not x.part.startswith('Part'), x.part, x.name


def _read(path: Path, scales: list[str], committed: Path) -> Experiment:
  module = sweep.experiment(str(path))
  question, _, rest = module.__doc__.strip().partition('\n')
  evidence, larger = [], {}
  for scale in scales:
    records = results.read_records(
        results.records_path(committed, module.name, scale))
    ids = {r['id'] or object() for r in records}  # seeds not kept: its own
    earlier = all(r.get('earlier_design') for r in records)
    part_of = next((s for s, has in larger.items()
                    if ids <= has and not earlier), '')
    larger[scale] = ids
    to_run = [] if earlier else _to_run(module, scale, records)
    judged, failed = _judged(module, records, earlier or bool(to_run))
    evidence.append(Evidence(
        scale, judged, results.provenance(records, module.name, scale),
        list(dict.fromkeys(r['note'] for r in records if r.get('note'))),
        _shares(records), earlier, part_of, len(to_run),
        len({r['tags'].get('seed') for r in records} - {None}), failed,
        _costs(module, scale, judged, to_run),
        sum(r.get('step') == 0 and r['overrides'].get('init_from') not in ids
            for r in records)))
  return Experiment(module.name, question, rest.strip(), evidence)


def _judged(module: ModuleType, records: list[results.Record], others: bool
            ) -> tuple[list[claims.Judged], str]:
  """An experiment's claims on its records. Its functions may need all runs of
  today: where records are `others` than these, an exception of theirs is
  returned in words, and no claim is run."""
  try:
    return claims.judge_experiment(module, module.table(records)), ''
  except Exception as e:
    if not others:
      raise
    return ([claims.Judged(c, 'not run', cases=len(c.cases))
             for c in module.CLAIMS], f'{type(e).__name__}: {e}')


def _to_run(module: ModuleType, scale: str, records: list[results.Record]
            ) -> list[sweep.Run]:
  """The runs of a scale that lack a record; none where seeds were not kept."""
  if any(r['id'] is None for r in records):
    return []
  runs = module.runs(scale)
  states = sweep.states(runs, sweep.RUNS / '.none',
                        results.recorded_ids(records, runs))
  return [run for run in sweep.ordered(runs)
          if states[run.id] not in sweep.COMPLETE]


def _costs(module: ModuleType, scale: str, judged: Sequence[claims.Judged],
           to_run: list[sweep.Run]) -> dict[str, str]:
  """What scales would cost that decide open claims, and the missing runs."""
  scales = {j.claim.decided_by for j in judged if j.outcome in OPEN}
  out = {s: f'scale `{s}`, {_cost(sweep.ordered(module.runs(s)), s)}'
         for s in SCALES if s in scales}
  waiting = any(j.outcome == 'not run' and not j.claim.decided_by
                for j in judged)
  if to_run and waiting:
    out[''] = 'the runs of this scale that are missing, ' + _cost(to_run, scale)
  return out


def _cost(runs: Sequence[sweep.Run], scale: str) -> str:
  """'45 runs: 1.1 hours of an H200', as launch --list estimates."""
  device = 'h200' if scale in ('gpu', 'paper') else 'cpu'
  costs = [cost.run_cost(run, device) for run in runs]
  hours = sum(k['seconds'] + k['evals'] for k in costs) / 3600
  what = 'an H200' if device == 'h200' else 'a core'
  return f'{len(runs)} runs: {_hours(hours)} of {what}'


def _hours(n: float) -> str:
  """'0.37 hours' or '130 hours'."""
  return f'{n:.2g} hours' if n < 99 else f'{n:,.0f} hours'


def _shares(records: list[results.Record]) -> list[str]:
  """The share of rows of each task, of every mixture of several tasks that
  runs were trained on, and beside these of the runs of one task."""
  found = collections.Counter()
  for r in records:
    if r.get('config') and r['overrides'].get('steps') != 0:
      found[r['config'], tuple(sorted(
          (k, v) for k, v in r['overrides'].items()
          if re.fullmatch(r'data\.tasks\.\w+\.(weight|since|until)', k)))] += 1
  out = collections.Counter()
  for (file, changes), runs in found.items():
    tasks = override(load_config(file), dict(changes)
                     ).data.tasks
    total = sum(t.weight for t in tasks.values())
    out[', '.join(f'{k} {t.weight / total:.3g}' + _window(t)
                  for k, t in tasks.items() if t.weight)] += runs
  several = any(',' in mixture for mixture in out)
  return [f'{mixture} ({runs} run{"s" if runs > 1 else ""})'
          for mixture, runs in out.items()] if several else []


def _window(task: ConfigDict) -> str:
  """ ' from step 10 to step 20' of a task that takes part then only."""
  return ''.join(f' {word} step {step:,}' for word, step in (
      ('from', task.since), ('to', task.until)) if step)


def write_all(committed: Path = results.RESULTS, docs: Path = DOCS,
              readme: Path = Path('README.md')) -> list[Path]:
  """Writes every page, index, claims.csv and README's table; returns the files
  that changed. Raises BadInput where there is no clone or no record, and when
  README has no pair of marks for a table."""
  if not readme.is_file() or not Path('experiments').is_dir():
    raise BadInput(f'no {readme} and experiments/ here, wanted the root of a '
                   'clone of the repository')
  found = list(experiments(committed))
  if not found:  # every page would go
    raise BadInput(f'no records in {committed}, wanted experiments/results or '
                   'a folder that reports were written to (--out)')
  files = {docs / f'{e.name}.md': page(e, committed, docs) for e in found}
  files |= {docs / 'index.md': index(found), docs / 'claims.csv': table(found)}
  text = readme.read_text(encoding='utf-8')
  for mark, new in ((HEADLINES, headlines(found)),
                    (EXPERIMENTS, by_part(found))):
    text = filled(text, mark, new, readme)
  files[readme] = text
  changed = []
  for path, new in files.items():
    if not path.exists() or path.read_text(encoding='utf-8') != new:
      run_dir.write(path, new)
      changed.append(path)
  for path in docs.glob('*.md'):
    if path not in files:  # of an experiment that is gone
      path.unlink()
  return changed


def filled(text: str, mark: str, new: str, path: Path) -> str:
  """Replaces the text between two marks by `new`. Raises BadInput unless there
  is exactly one pair of them."""
  begin, end = f'<!-- {mark} -->', f'<!-- /{mark} -->'
  if text.count(begin) != 1 or text.count(end) != 1:
    raise BadInput(f'{path} has {text.count(begin)} of {begin} and '
                   f'{text.count(end)} of {end}, wanted one pair')
  before, rest = text.split(begin)
  return f'{before}{begin}\n{new}\n{end}{rest.split(end)[1]}'


def by_part(found: list[Experiment]) -> str:
  """README's index: the experiments of each part, then those on other papers;
  then the names of those that have not run."""
  names = collections.defaultdict(list)
  for x in found:
    names[PARTS.get(x.part.removeprefix('Part '), OTHERS)].append(x.name)
  titles = {title: part for part, title in PARTS.items()}
  return '\n'.join(['| part | experiments |', '|---|---|'] + [
      f'| {titles.get(title, "")} {title} | '.replace('|  ', '| ')
      + f'{", ".join(sorted(here))} |' for title, here in names.items()
  ] + _not_run(found))


def _not_run(found: list[Experiment]) -> list[str]:
  """A paragraph: experiments without a committed result."""
  names = ({path.stem for path in Path('experiments').glob('*.py')}
           - {x.name for x in found})
  return ['', 'Designed, not run: '
          + ', '.join(sorted(names)) + '.'] if names else []


def headlines(found: list[Experiment]) -> str:
  """README's table of claims, the unflattering ones too."""
  lines = ['| claim | paper | ours | outcome | evidence |',
           '|---|---|---|---|---|']
  rows = {(x.name, j.claim.id): (e, j) for x in found for e, j in x.best()}
  for name, ids in IN_README.items():
    for e, j in (rows[name, id] for id in ids if (name, id) in rows):
      lines.append(
          f'| {statement(j)} | {j.claim.paper} | {j.ours} | '
          f'{_marked(j.outcome)} | {name}, {where(e, j)} |')
  return '\n'.join(lines)


def _marked(outcome: str) -> str:
  """An outcome, bold where the claim is not supported."""
  return outcome if outcome == 'supported' else f'**{outcome}**'


def statement(j: claims.Judged) -> str:
  """The claim's words, with marks where it is post hoc or its threshold ours.
  """
  return _words(j.claim) + OURS * (j.claim.threshold == 'ours')


def _words(c: claims.Claim) -> str:
  """A claim's words, and whether they were written after looking at runs."""
  return c.statement + ' (post hoc)' * c.post_hoc


def where(e: Evidence, j: claims.Judged) -> str:
  """'cpu, 3 seeds', or 'cpu, n = 9' of a fit or correlation over points; and
  whether the runs are of an earlier design."""
  n = f', {j.seeds} seeds' if j.seeds else (
      f', n = {j.effect.n}' if j.effect else '')
  return f'{e.scale}{n}' + f', {EARLIER}' * e.earlier


def main_claims(x: Experiment) -> list[tuple[Evidence, claims.Judged]]:
  """The headline claims of an experiment; where it has none, its first."""
  best = x.best()
  return [(e, j) for e, j in best if j.claim.headline] or best[:1]


def index(found: list[Experiment]) -> str:
  """docs/results/index.md: counts of outcomes, then the main claims."""
  lines = [
      '# Results', '',
      'Written by `python -m physics_lm.report --all` from the records in '
      '`experiments/results/`. An outcome follows from the 95 % interval of '
      'the effect over seeds (of fits and correlations: over their points): '
      '[how claims are judged](../claims.md). [claims.csv](claims.csv) has '
      'every claim, [LOG.md](../../experiments/LOG.md) what was tried and '
      'failed, the [glossary](../glossary.md) all terms.', '',
      'Scales: `smoke` (seconds, in the tests), `cpu` (most experiments within '
      'an hour on two cores), `day` (within 8 hours on two cores), `gpu` (each '
      'run within ten minutes of one data-centre GPU), `paper` (the published '
      'sizes). Parts are those of *Physics of Language Models* (Allen-Zhu et '
      'al.).', '', '## Number of claims by outcome', '',
      'Each claim at the largest scale where it was run.' + (
          ' "Earlier design" below: the claim was judged on runs in another '
          "world or by another recipe than the experiment's set-up today, "
          'which has not run.' if any(
              e.earlier for x in found for e, _ in x.best()) else ''), '',
      '| source | experiment | question | ' + ' | '.join(claims.OUTCOMES)
      + ' |',
      '|---|---|---|' + '---|' * len(claims.OUTCOMES)]
  for x in found:
    lines.append(f'| {x.part} | [{x.name}]({x.name}.md) | {x.question} | '
                 f'{_counts([x])} |')
  lines.append(f'| all | | | {_counts(found)} |')
  lines += _not_run(found)
  lines += ['', '## Main claims', '',
            'Ours: mean ± standard deviation over seeds; R: bits of knowledge '
            'stored per parameter; op: operations of an iGSM problem; weakest: '
            'the claim is about several cases, and this is the one that is '
            f'weakest for it; {OURS.strip()}: the threshold is ours; n: seeds, '
            'or points of a fit or correlation.', '',
            '| experiment | claim | paper | ours | outcome |',
            '|---|---|---|---|---|']
  for x in found:
    for e, j in main_claims(x):
      lines.append(f'| {x.name}, {where(e, j)} | {statement(j)} | '
                   f'{j.claim.paper} | {j.ours} | **{j.outcome}** |')
  return '\n'.join(lines) + '\n'


def _counts(some: list[Experiment]) -> str:
  """Cells of a table: how many claims have each outcome."""
  outcomes = [j.outcome for x in some for _, j in x.best()]
  return ' | '.join(str(outcomes.count(o) or '') for o in claims.OUTCOMES)


def _conclusion(name: str, log: Path, docs: Path) -> list[str]:
  """A paragraph: what the index of the log says of an experiment."""
  text = log.read_text(encoding='utf-8') if log.exists() else ''
  row = re.search(rf'^\| \[{name}\]\(.*?\) \| (.*) \| (.*) \|$', text, re.M)
  return ['', f'Conclusion ([LOG.md]({os.path.relpath(log, docs)}), entries '
          f'{row[2]}; `cpu` scale unless stated): {row[1]}'] if row else []


def page(x: Experiment, committed: Path, docs: Path) -> str:
  """One experiment's page."""
  lines = [f'# {x.name}', '', f'**{x.question}**', '']
  lines += [f'* **{j.outcome}** ({where(e, j)}): {_words(j.claim)}. Ours: '
            f'{j.ours_named}; paper: {_paper(j.claim)}.'
            for e, j in main_claims(x)]
  lines += _conclusion(x.name, committed.parent / 'LOG.md', docs)
  lines += ['', 'Ours: mean ± standard deviation over seeds. Error bars in '
            'figures: 95 % intervals of each mean; claims compare seed by seed '
            'where they can, so that means whose bars overlap may differ. Of a '
            'claim with several cases its weakest is shown. Older rule: the '
            'verdict before intervals ([how claims are judged](../claims.md), '
            '[terms](../glossary.md)).', '']
  for e in x.evidence:
    lines += [f'## Scale `{e.scale}`' + f', {EARLIER}' * e.earlier, '']
    if e.earlier:
      lines += ['These runs are of an earlier design, in another world or by '
                'another recipe than the set-up below, which has not run at '
                'this scale. Figure and outcomes are theirs.', '']
    if e.part_of:
      lines += [f'The {e.made_by["runs"]} runs of this scale are all part of '
                f'`{e.part_of}` above.', '']
      continue
    if e.failed:
      lines += [f'Table and claims cannot be made of the {e.made_by["runs"]} '
                f'records that there are ({e.failed}).', '',
                _provenance(e), '']
      continue
    for path in results.figure_paths(committed / x.name, e.scale):
      lines += [f'![{x.name}, {e.scale}]({os.path.relpath(path, docs)})', '']
    lines += [*claim_table(e), *undecided(e), *_trained_on(e), _provenance(e),
              '']
  return '\n'.join([*lines, '## Set-up', '', _markdown(x.set_up), '',
                    *_recorded(x), f'Code: [experiments/{x.name}.py]'
                    f'(../../experiments/{x.name}.py)']) + '\n'


def _recorded(x: Experiment) -> list[str]:
  """A paragraph: the scales of which launch has nothing left to run."""
  scales = [f'`{e.scale}`' for e in reversed(x.evidence)
            if not (e.missing or e.earlier) and e.made_by['seeds']]
  return [f'The records of all runs at {" and ".join(scales)} are committed: '
          '`launch` trains them again only with `--again`.', ''
          ] if scales else []


def claim_table(e: Evidence) -> list[str]:
  """Rows of the claims that were run, then those that were not."""
  lines = [
      '| claim | source | paper | ours | effect [95 % interval] | outcome | '
      'older rule |', '|---|---|---|---|---|---|---|']
  for j in sorted(e.judged, key=lambda j: j.outcome == 'not run'):
    c = j.claim
    by = j.effect and f'{j.interval}; {_method(j.effect)}'
    held = {True: 'held', False: 'not held', None: ''}[j.held]
    lines.append(f'| {_words(c)} | {c.source} | {_paper(c)} | '
                 f'{j.ours_named} '
                 f'| {by or ""} | **{j.outcome}** | {held} |')
  return [*lines, '']


def _paper(c: claims.Claim) -> str:
  """The paper's number, and whether the claim's threshold is another."""
  return c.paper + ('; threshold ours' if c.threshold == 'ours' else '')


def _method(e: claims.Effect) -> str:
  """'paired by seed, n = 3': how an interval was computed."""
  return {'t': '', 'paired t': 'paired by seed, ',
          'Welch t': 'seeds not paired, '}.get(
              e.method, f'{e.method}, ') + f'n = {e.n}'


def seeds_to_decide(j: claims.Judged) -> int | None:
  """The least number of seeds with which the interval of the claim's weakest
  case would lie on one side of each bound, at the present effect and spread;
  None where it is no mean over seeds, or MOST_SEEDS would not do."""
  e, rule = j.effect, j.claim.rule
  if e is None or not j.samples or e.method.split()[-1] != 't' or (
      not math.isfinite(e.high - e.low)):
    return None
  spread = (e.high - e.low) / 2 / claims.quantile(e.n - 1) * e.n**0.5
  room = min(abs(e.value - bound) for bound in (rule.low, rule.high))
  return next((n for n in range(e.n + 1, MOST_SEEDS + 1)
               if claims.quantile(n - 1) * spread / n**0.5 < room), None)


def _seeds_wanted(j: claims.Judged, e: Evidence) -> str:
  """'12 seeds (5 ran; the others take 0.47 hours of a core), at the present
  effect and spread'; '' where seeds would not decide. A cell may have fewer
  than ran: other cells have more, or some seeds have no value."""
  if j.outcome != 'inconclusive' or not j.samples:
    return ''
  if j.effect.method == 'Fisher z':
    return _points_wanted(j, e)
  n, used, ran = seeds_to_decide(j), j.effect.n, e.seeds or j.effect.n
  hours = e.made_by['run_seconds'] / ran / 3600
  text = f'{n or f"more than {MOST_SEEDS}"} seeds' + (
      f' ({ran} ran' if used == ran else
      f' with values ({used} of the {ran} that ran have them')
  return text + (
      f'; the others take {_hours(((n or MOST_SEEDS) - used) * hours)} of a '
      'core)' if hours else ')') + ', at the present effect and spread'


def _points_wanted(j: claims.Judged, e: Evidence) -> str:
  """How many points would decide a claim on a correlation over them: the width
  of its interval is 2 * 1.96 / sqrt(n - 3) on the scale of atanh."""
  found, ran = math.atanh(j.effect.value), j.effect.n
  room = min(abs(found - math.atanh(b))
             for b in (j.claim.rule.low, j.claim.rule.high) if abs(b) < 1)
  n = math.ceil(3 + (1.96 / max(room, 0.1))**2)
  hours = e.made_by['run_seconds'] / ran / 3600 * (n - ran)
  return (f'{n} points or more ({ran} ran; the others take {hours:,.0f} hours '
          'of a core): a claim on a correlation over them, at the present one')


def undecided(e: Evidence) -> list[str]:
  """What would decide the claims that are open."""
  wanted = {}
  for j in e.judged:
    what = j.claim.decided_by or _seeds_wanted(j, e) or (
        e.costs.get('', '') if j.outcome == 'not run' else '')
    what = e.costs.get(what, f'scale `{what}`') if what in SCALES else what
    if what and j.outcome in OPEN:
      wanted.setdefault(what, []).append(j)
  if not wanted:
    return []
  return ['What would decide the open claims:', '', *(
      f'* {what[0].upper() + what[1:]}: for {_open_claims(open_)}.'
      for what, open_ in wanted.items()), '']


def _open_claims(judged: list[claims.Judged]) -> str:
  """Their statements and outcomes; of many that have not run, the number."""
  waiting = [j for j in judged if j.outcome == 'not run']
  if len(waiting) <= 3:
    waiting = []
  texts = [f'"{j.claim.statement}" ({j.outcome})'
           for j in judged if j not in waiting]
  if waiting:
    texts.append(f'{len(waiting)} claims that have not run')
  return '; '.join(texts)


def _trained_on(e: Evidence) -> list[str]:
  """The shares of tasks, where runs had mixtures."""
  hint = ' `_hint`: with CoT.' if '_hint' in str(e.shares) else ''
  return ['Share of rows (not of tokens) of each task: ' + '; '.join(e.shares)
          + '.' + hint, ''] if e.shares else []


def _provenance(e: Evidence) -> str:
  m = e.made_by
  versions = ', '.join(f'{k} {v}' for k, v in m['versions'].items())
  seconds = f'{m["run_seconds"]:,} s, ' if m['run_seconds'] else ''
  cores = '/'.join(m['cores'])
  without = f' ({e.missing} runs of this scale have not run)' if (
      e.missing) else ''
  if e.evaluations and seconds:  # their models are other experiments'
    seconds = (f'{m["run_seconds"]:,} s without the training of the '
               f'{e.evaluations} models that are evaluated only, ')
  return (f'Provenance: {m["runs"]} records{without}, {seconds}device '
          f'{"/".join(m["device"])}, {cores} '
          f'{"core" if cores == "1" else "cores"}, '
          f'{_seeds(m["seeds"])}{versions}, '
          f'commit {"/".join(g[:8] for g in m["git"])}, finished '
          f'{m["finished"]}. ' + '. '.join(n[0].upper() + n[1:]
                                           for n in e.notes)).strip()


def _seeds(seeds: dict[str, list[int]]) -> str:
  """'seeds 0, 1, 2 (init = data = world), ', or the seeds of each key."""
  if not seeds:
    return ''
  lists = {', '.join(map(str, v)) for v in seeds.values()}
  if len(lists) == 1:
    return f'seeds {lists.pop()} ({" = ".join(sorted(seeds))}), '
  return 'seeds (' + '; '.join(f'{k} {", ".join(map(str, v))}'
                               for k, v in sorted(seeds.items())) + '), '


def _markdown(text: str) -> str:
  """A docstring as Markdown: indented blocks after an empty line become code
  blocks; other indented lines go on with a list's item."""
  out, code, before = [], False, ''
  for line in text.splitlines():
    indented = bool(re.match(r' {2,}\S', line)) and (code or not before)
    if code and not indented:
      out.append('```')
    if indented and not code:
      out.append('```')
    code, before = indented, line.strip()
    out.append(line[2:] if code else line)
  return '\n'.join(out + ['```'] * code)


def table(found: list[Experiment]) -> str:
  """claims.csv: a row per experiment, scale and claim."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(['experiment', 'scale', 'id', 'statement', 'source', 'paper',
                   'ours', 'effect', 'low', 'high', 'n', 'method', 'outcome',
                   'held', 'post_hoc', 'headline', 'threshold', 'device',
                   'earlier_design'])
  for x in found:
    for e in x.evidence:
      for j in e.judged:
        c, effect = j.claim, j.effect
        numbers = [''] * 5 if effect is None else [
            *(f'{v:.4g}' for v in effect[:3]), effect.n, effect.method]
        writer.writerow([
            x.name, e.scale, c.id, c.statement, c.source, c.paper, j.ours,
            *numbers, j.outcome, '' if j.held is None else j.held, c.post_hoc,
            c.headline, c.threshold, '/'.join(e.made_by['device']),
            e.earlier])
  return text.getvalue()
