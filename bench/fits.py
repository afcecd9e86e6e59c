"""Do fits keep their speed beside other processes?

  python bench/fits.py [--refits=100]

Seconds of a bootstrap of Chinchilla's law on 60 runs with the limit that every
fit has, one thread of NumPy's linear algebra, and without it: then each of its
threads waits for the others, which a busy machine does not let run. Start
as many busy processes beside it as there are cores, or run it while they train.
"""

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import threadpoolctl

from physics_lm.scaling import laws
from physics_lm.scaling.fitting import fits, solve


def main():
  p = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  p.add_argument('--refits', type=int, default=100)
  a = p.parse_args()
  N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e6, 1e9, 10),
                                         np.geomspace(1e8, 2e10, 6)))
  loss = laws.chinchilla(N, D, 1.69, 406.4, 410.7, 0.34, 0.28)
  loss *= np.exp(0.01 * np.random.default_rng(0).standard_normal(len(N)))
  fit = fits.chinchilla(N, D, loss)
  threads = max(x['num_threads'] for x in threadpoolctl.threadpool_info()
                if x['user_api'] == 'blas')
  limited = solve.one_thread
  for name, limit in (('one thread', limited),
                      (f'{threads} threads', contextlib.nullcontext)):
    solve.one_thread = limit
    wall, processor = time.perf_counter(), time.process_time()
    fits.bootstrap(fit, a.refits)
    print(f'{a.refits} refits, {name}: {time.perf_counter() - wall:.1f} s '
          f'({time.process_time() - processor:.1f} of processors), load '
          f'{os.getloadavg()[0]:.1f}', flush=True)


if __name__ == '__main__':
  main()
