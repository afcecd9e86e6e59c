"""What decides whether mixed training makes knowledge extractable?

Part 3.1 (arXiv 2309.14316): mixed training extracts knowledge from one text of
a person; when? We vary one quantity of a recipe: compact bioS single, 500
people, 17 exposures; decay between them shrinks weights by ~ decay x people.

  python -m physics_lm.launch experiments/extraction_mechanism.py --scale=cpu
  python -m physics_lm.report experiments/extraction_mechanism.py --scale=cpu

Predicted, questions, % of P_test (decay 0.1, 1, 3 seen on seed 7: 25, 42, 65):
decay 0 as 0.1, 10 below 3; templates 1 to 30 50, 42, 30, 20; width 64 to 192
25, 42, 50; people 250 to 1,000 30, 42, 50, product fixed 40, 42, 45; single to
multi5+permute 30, 40, 50, 50; as other wording. P-probes by decay 15, 33, 62.
"""

from physics_lm import claims, figures, results
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

BASE = dict(decay=1.0, templates=3, width=128, people=500, variant='single')
KEYS = {'decay': 'optim.weight_decay', 'templates': 'worlds.bios.templates',
        'width': 'model.width', 'people': 'worlds.bios.people'}
AXES = {  # points that differ from BASE in one quantity
    'weight decay': [{'decay': x} for x in (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)],
    'templates per attribute': [{'templates': x} for x in (1, 3, 10, 30)],
    'width of the model': [{'width': x} for x in (64, 128, 192)],
    'people': [{'people': x} for x in (250, 500, 1000)],
    'people, decay x people fixed': [
        {'people': x, 'decay': 500 / x} for x in (250, 500, 1000)],
    'biographies per person, 10 templates': [{'variant': v, 'templates': 10}
        for v in ('single', 'multi2', 'multi5', 'multi5_permute')]}
DECAY, TEMPLATES, WIDTH, PEOPLE, PRODUCT, VARIANT = AXES
LINES, WORDINGS = (DECAY, PEOPLE, PRODUCT), 'evals.extraction.wordings'
VALUES = {'person_split': 'test', 'target': 'whole'}  # but for the birth date
PLACES = [(a, str(next(iter(p.values()))), p) for a in AXES for p in AXES[a]]
TEXTS = {'biography': 'inside the biography', 'q_probe': 'Q-probe on the name',
         'own_wording': 'sentence, own wording', 'question': 'question',
         'other_wording': 'sentence, other wording', 'p_probe': 'P-probe, name'}
PROBED = [BASE | {'decay': x} for x in (0.1, 1.0, 3.0)]  # slow: 3 minutes a run
SCALES = {'smoke': dict(axes={TEMPLATES: 1}, common=scales.SMOKE_TINY),
          'cpu': dict(axes=dict.fromkeys(AXES, 3) | {PRODUCT: 5}, common={})}


def runs(scale: str) -> list[Run]:
  """Every (seed, point), with as many exposures of each biography."""
  s = pick(SCALES, scale)
  every = [Run(f'configs/biographies.py:compact_{p["variant"]}',
               {k: p[name] for name, k in KEYS.items()} | scales.Q_PROBE | (
                   scales.P_PROBE if p in PROBED else {}) | {
                   'steps': round(1.25 * p['people']), WORDINGS: True}
               | s['common'] | scales.seeds(seed), p | {'seed': seed})
           for seed in range(max(s['axes'].values()))
           for axis, n in s['axes'].items() if seed < n
           for p in (BASE | point for point in AXES[axis])]
  return list({r.id: r for r in every}.values())  # a point of several axes once


def table(records):
  """A row a run and axis: % of P_test by text; `trained`: of P_train."""
  one = {'attribute': 'mean', 'value_tokens': 'all', 'person_split': 'test'}
  columns = {t: ('extraction', one | {'text': t}) for t in TEXTS} | {
      'trained': ('extraction', one | {'person_split': 'train',
                                       'text': 'question'}),
      'q_probe': ('q_probe', VALUES | {'position': 'all'}),
      'p_probe': ('p_probe', VALUES | {'position': 0})}
  df = results.wide(records, 'extraction', ['majority_baseline'], (), one, True)
  for name, (eval_name, where) in columns.items():
    df = results.beside(df, results.wide(
        records, eval_name, {name: 'accuracy'}, (), where, True), name)
  df['binding'] = df.own_wording - df.other_wording
  return results.below(*(claims.select(df, BASE | p).assign(
      axis=axis, value=value) for axis, value, p in PLACES))


def summary(df):
  """Means by axis and value on it."""
  return results.summarise(df, ['axis', 'value', *BASE], [
      *TEXTS, 'trained', 'binding', 'majority_baseline'])


def figure(df):
  """A panel for each axis; questions by other wording and decay x people."""
  s = summary(df)
  fig, axes = figures.grid(4, 2, width=3.3, height=2.9, sharey=True)
  *_, wording, product = axes.flat
  for ax, axis in zip(axes.flat, AXES):
    rows, probed = s[s.axis == axis], axis == DECAY  # elsewhere one dot
    for k, (text, name) in enumerate([*TEXTS.items()][:None if probed else -1]):
      at = [i + k / 25 for i in range(len(rows))]  # bars beside each other
      figures.curves(ax, rows.assign(at=at), 'at', None, text, band=False,
                     color=figures.COLOURS[k], label=name)
    ax.set_xticks(range(len(rows)), rows.value.str.replace('_', '\n+'))
    figures.percent_axis(ax), figures.labels(ax, axis, 'correct, %')
  figures.legend(fig, handles=axes[0, 0].get_legend_handles_labels()[0],
                 ncols=6, loc='outside upper right')
  kind = s.variant.map({'single': 'one biography, known'}).fillna(
      'several biographies').where(s.biography_mean > 95, 'one, recall < 95 %')
  for k, (name, rows) in enumerate(s.groupby(kind, sort=False)):
    figures.scatter(wording, rows, 'other_wording', 'question', name, k)
  figures.diagonal(wording, 100), figures.legend(wording, loc='upper left')
  figures.labels(wording, 'sentence alone, other wording, %', 'question, %')
  figures.curves(product, s[s.decay > 0].eval('product = decay * people'),
                 'product', 'axis', 'question', dict(zip(LINES, LINES)))
  figures.labels(product, 'weight decay x people', 'question, %')
  figures.legend(product, loc='upper left'), product.set_xscale('log')
  figures.finish(fig, 'What makes knowledge extractable', (
      f'Mixed training, P_test, {figures.seeds_note(s)}; elsewhere decay 1, 3 '
      'templates, width 128, 500 people, single.\nSentence: name and value in '
      'one sentence, in words of that biography (own) or others'))
  return fig


def claim(id: str, statement: str, *cases: tuple, column: str = 'question',
          rule: claims.Rule | None = None, **kwargs) -> claims.Claim:
  """A claim of ours, of cells (axis, value on it); greater() by default."""
  cells = tuple(tuple({'axis': a, 'value': v} for a, v in c) for c in cases)
  kwargs |= {'baseline': 'majority_baseline'} if column == 'question' else {}
  return claims.Claim(id, statement, 'ours', '—', cells,
                      rule or claims.greater(), column, **kwargs)


ONCE = tuple((a, v) for a, v, p in PLACES if a != VARIANT and p != {
    'templates': 1} and (a == DECAY or BASE | p != BASE))  # BASE once
LOW, MID, HIGH = ((DECAY, x) for x in ('0.1', '1.0', '3.0'))
CLAIMS = (
    claim('questions_fitted', 'Training questions at all points: at least 95 %',
          *(((a, v),) for a, v, _ in PLACES), column='trained',
          rule=claims.at_least(95)),
    claim('decay_helps', 'Mixed training on bioS single: weight decay 3 > 1 > '
          '0.1', (HIGH, MID), (MID, LOW), headline=True),
    claim('decay_unbinds', 'Own minus other wording: weight decay 0.1 > 3',
          (LOW, HIGH), column='binding'),
    claim('p_probe', 'P-probe on the name: weight decay 3 > 1 > 0.1',
          (HIGH, MID), (MID, LOW), column='p_probe'),
    *(claim(id, text, tuple((axis, n) for n in p), post_hoc=axis == PRODUCT)
      for id, text, axis, *p in (
          ('few_templates', 'One template > ten', TEMPLATES, '1', '10'),
          ('width_helps', 'Width 192 > 64', WIDTH, '192', '64'),
          ('more_people', '1,000 people > 250', PEOPLE, '1000', '250'),
          ('people_alone', 'Decay x people fixed: 1,000 people > 250',
           PRODUCT, '1000', '250'))),
    claim('product_decides', 'Decay x people fixed: 1,000 within 10 of 250',
          ((PRODUCT, '1000'), (PRODUCT, '250')), rule=claims.equal(10)),
    claim('augmentation_helps', 'Ten templates: multi5+permute > single',
          ((VARIANT, 'multi5_permute'), (VARIANT, 'single'))),
    *(claim(f'as_another_wording{known}', 'Questions correlate with sentences '
            f'in another wording, one biography each{known and ", known"} '
            '(r at least 0.9)', cells, post_hoc=bool(known),
            headline=bool(known), rule=claims.correlated(.9, 'other_wording'))
      for known, cells in (('', ONCE), ('_known', ONCE[:5] + ONCE[6:]))))
