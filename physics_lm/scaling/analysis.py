"""What a sweep's runs say of scaling laws, beside what is known. No JAX.

Each function takes the runs of one world as a data frame, a row a run: role
('isoflop'; 'tune', 'trunk', 'branch' and 'shape', where there are such, run
beside it), budget, width, depth, seed, rate, N, D, C, C_<convention> of
scaling/flops.py, loss and floor (nats a token; floor: the true entropy).
"""

import functools
import math

import numpy as np

from physics_lm.scaling import approaches, fit, laws

DRAWS = 400  # bootstrap refits; of the p-norm half as many
FAR = 3.0  # times the best size: limited mostly by one thing
NEAR = 2.2  # of learning rates: as far as a parabola serves
BOUNDS = {'p': (1 / 16, 16.0)}  # of the p-norm


def points(df, role: str = 'isoflop'):
  """Mean over seeds, by (budget, width, depth, rate)."""
  own = df[df.role == role]
  keys = ['budget', 'width', 'depth', 'rate']
  return own.groupby(keys, as_index=False).mean(numeric_only=True)


def surface(df):
  """(Chinchilla fit of the isoFLOP runs, bootstrap over runs)."""
  return _fitted('chinchilla', *_columns(df))


def pinned(df):
  """The same with E held at the floor: its exponents are of what is above, for
  which theory speaks."""
  return _fitted('chinchilla', *_columns(df), low=float(df.floor.iloc[0]))


def p_norm(df):
  """The same of laws.p_norm."""
  return _fitted('p_norm', *_columns(df))


def crossed(df):
  """The same of laws.crossed."""
  return _fitted('crossed', *_columns(df))


def _columns(df) -> list[tuple]:
  own = df[df.role == 'isoflop']
  return [tuple(own[k].astype(float)) for k in ('N', 'D', 'loss')]


@functools.lru_cache(32)
def _fitted(law: str, N, D, loss, low=None):
  bent = law == 'p_norm'
  f = getattr(fit, law)(N, D, loss, bounds=BOUNDS if bent else (
      fit.held(E=low) if low else None))
  return f, fit.bootstrap(f, DRAWS // (1 + bent))


def isoflop(df, f=None):
  """Approach 2."""
  p = points(df)
  return approaches.approach2(*(p[k].to_numpy(float) for k in (
      'budget', 'N', 'D', 'loss')), 'parabola', f)


def interior(found) -> list:
  """Of at least five sizes: through three a parabola always goes."""
  return [b for b in found.budgets
          if b.status == 'ok' and b.left and b.right and b.n >= 5]


def growth(found, name: str) -> tuple[float, float]:
  """(exponent, log coefficient) of N* or D* in C over interior minima."""
  good = interior(found)
  if len(good) < 2:
    return math.nan, math.nan
  return tuple(np.polyfit([math.log(b.C) for b in good],
                          [math.log(getattr(b, name)) for b in good], 1))


def allocation(df, f, convention: str) -> float:
  """a of N* ~ C^a when C is counted by a convention: the fitted surface, and
  FLOP a token between the sizes by interpolation."""
  p = points(df).drop_duplicates('N').sort_values('N')
  n = np.log(p.N.to_numpy(float))
  each = np.log((p[f'C_{convention}'] / p.D).to_numpy(float))
  slope = lambda i, j: (each[j] - each[i]) / (n[j] - n[i])

  def work(N, D):  # straight on beyond the sizes
    x = np.log(N)
    inside = np.interp(x, n, each)
    return D * np.exp(inside + min(x - n[0], 0) * slope(0, 1)
                      + max(x - n[-1], 0) * slope(-2, -1))

  C = np.geomspace(*np.quantile(points(df)[f'C_{convention}'], (0.1, 0.9)), 5)
  best, _, _ = laws.chinchilla_optimal(f.params, C, work)
  if convention.startswith('6n_ne'):
    best = np.exp(np.interp(np.log(best), n, np.log(p.N_ne.to_numpy(float))))
  return float(np.polyfit(np.log(C), np.log(best), 1)[0])


def power_laws(df) -> dict:
  """{'C', 'N', 'D': (x, loss above the floor, fit.Power, R2 of logarithms)}:
  of the best run of each budget; of each size well below the best of its
  budget, at its longest, where data abound; of the sizes well above, by
  length, where only data are short (Kaplan et al., figure 1)."""
  p = points(df)
  best = {b.C: b.N for b in isoflop(df).budgets if b.status == 'ok'}
  against = p.N / p.budget.map(best)  # nan where no best is known
  small, large = p[against < 1 / FAR], p[against > FAR]
  rows = {'C': ('budget', p.loc[p.groupby('budget').loss.idxmin()]),
          'N': ('N', small.loc[small.groupby('N').D.idxmax()]),
          'D': ('D', large.loc[large.groupby('budget').N.idxmax()])}
  out = {}
  for name, (key, own) in rows.items():
    x, y = own[key].to_numpy(float), (own.loss - own.floor).to_numpy(float)
    if len(np.unique(x)) > 2 and (y > 0).all():
      law = fit.power(x, y)
      r2 = np.corrcoef(np.log(x), np.log(y))[0, 1]**2
      out[name] = x, y, law, float(r2)
  return out


def by_size(df):
  """One row a size at three horizons or more: exponent of the loss above its
  floor in D, by least squares of logarithms over means of seeds, and its
  standard error."""
  import pandas as pd
  out = []
  for N, own in points(df).groupby('N'):
    above = (own.loss - own.floor).to_numpy(float)
    if len(own) > 2 and (above > 0).all():
      law = fit.power(own.D.to_numpy(float), above)
      out.append({'N': N, 'width': own.width.iloc[0], 'horizons': len(own),
                  'exponent': -law.exponent,
                  'error': law.covariance[0, 0]**0.5})
  return pd.DataFrame(out)


def schedules(df):
  """One row a horizon and seed of the trunk's size: a decay off the trunk
  (`loss_branch`) beside the run of the same seed and rate whose schedule
  matches."""
  own = df[df.role == 'branch']
  both = own.merge(df[df.role.isin(['isoflop', 'tune'])], on=[
      'budget', 'width', 'depth', 'seed', 'rate'], suffixes=('_branch', ''))
  return both.assign(difference=both.loss_branch / both.loss - 1)


def tuning(df):
  """One row a (budget, width) at which rates were tried. Per budget the losses
  at rates within a factor NEAR of that used are fitted, by least squares, as a
  level per width and seed + c x^2 + (b + d ln width) x, x the logarithm of the
  rate over that used. `best`: the rate where this is least within those,
  `gain`: what it saves, nats; `others`: what the middle width's rate would, of
  all. `least`: what the best of one seed's runs at any rate saves, which takes
  luck for gain as well: seeds differ as much as a factor of two in the rate
  does."""
  import pandas as pd
  size, own = ['budget', 'width', 'depth'], df[df.role == 'isoflop']
  keys = [*size, 'seed']
  tried = df[df.role == 'tune'].merge(own[[*keys, 'rate', 'loss']], on=keys,
                                      suffixes=('', '_used'))
  out = []
  for _, runs in tried.groupby('budget'):
    at = runs.drop_duplicates(keys)
    every = pd.concat([runs, at.assign(rate=at.rate_used, loss=at.loss_used)])
    every['x'] = np.log(every.rate / every.rate_used)
    near = every[every.x.abs() < math.log(NEAR)]
    x = near.x.to_numpy()
    level = (near[['width', 'seed']].to_numpy()[:, None]
             == at[['width', 'seed']].to_numpy()).all(-1)
    *_, c, b, d = np.linalg.lstsq(np.column_stack([
        level, x**2, x, x * np.log(near.width)]), near.loss)[0]
    fine = np.linspace(x.min(), x.max(), 401)
    middle = at.rate_used.median()
    for r in at.drop_duplicates(size).itertuples():
      saved = -(c * fine + b + d * math.log(r.width)) * fine
      best = saved.argmax()
      same = np.clip(math.log(middle / r.rate_used), x.min(), x.max())
      one = every[(every.width == r.width) & (every.seed == r.seed)]
      out.append({k: getattr(r, k) for k in (*size, 'N')} | {
          'used': r.rate_used, 'best': r.rate_used * math.exp(fine[best]),
          'gain': saved[best], 'others': np.interp(same, fine, saved),
          'least': r.loss_used - one.loss.min(), 'of': r.loss_used})
  return pd.DataFrame(out, columns=[*size, 'N', 'used', 'best', 'gain',
                                    'others', 'least', 'of'])


def retuned(df, column: str = 'gain'):
  """The isoFLOP runs of the budgets at which rates were tried, their losses
  less `column` of `tuning`, which intervals then take as known."""
  own = df[df.role == 'isoflop'].merge(
      tuning(df)[['budget', 'width', 'depth', column]])
  return own.assign(loss=own.loss - own[column])


def moved(df) -> dict[str, float]:
  """What schedule and tuning move: the exponent of the loss above its floor in
  D by schedule; a of N* ~ C^a (parabolas) by the rates used, by the best, and
  by one rate for all sizes of a budget, the middle one."""
  out, low = {}, df.floor.iloc[0]
  both = schedules(df).groupby('budget').mean(numeric_only=True)
  for name, column in (('matched', 'loss'), ('branch', 'loss_branch')):
    if len(both) > 2 and (both[column] > low).all():
      law = fit.power(both.D.to_numpy(float), (both[column] - low).to_numpy())
      out[f'exponent in D, {name}'] = -law.exponent
  if df[df.role == 'tune'].budget.nunique() > 1:
    own = retuned(df)
    for name, table_ in (('used', own.assign(loss=own.loss + own.gain)),
                         ('best', own), ('one for all', retuned(df, 'others'))):
      out[f'a, rates: {name}'] = growth(isoflop(table_), 'N')[0]
  return out


def shapes(df):
  """Models of about one N at one budget, by depth."""
  own = points(df, 'shape')
  if own.empty:
    return own
  import pandas as pd
  base_ = points(df)
  base_ = base_[base_.budget == own.budget.iloc[0]]
  like = base_.iloc[(np.log(base_.N / own.N.mean())).abs().argsort()[:1]]
  return pd.concat([own, like]).sort_values('depth')
