"""Settings that make a process fast on this machine. No JAX.

Compiled programs are cached for later runs. Memory is kept: by default glibc
returns that of a step's large arrays to the kernel and faults it in again at
every step, a third of the time on a CPU. keep_memory() changes this at run
time, so no environment variable has to be set.
"""

import ctypes
import functools
import os
import sys
import tempfile
from importlib import metadata
from pathlib import Path

# JAX's options for a compilation cache that runs share. On this host's own
# disk: a program compiled for one CPU may not run on another.
PROGRAM_CACHE = {
    'jax_compilation_cache_dir': str(
        Path(tempfile.gettempdir()) / f'physics_lm_jit_{os.getuid()}'),
    'jax_persistent_cache_min_compile_time_secs': 0.2}

# mallopt's names for: largest block to give back, memory asked for at a time,
# blocks by mmap, number of arenas (malloc.h).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_HUGE_PAGES = 14  # MADV_HUGEPAGE
_HUGE = 2 << 20  # bytes of a huge page
RESERVE = 2**31 - 1  # bytes of address space, not of memory


def on_accelerator() -> bool:
  """Whether JAX would use an accelerator: a device and its plugin exist."""
  if os.environ.get('JAX_PLATFORMS') == 'cpu':
    return False
  names = {(d.metadata['Name'] or '').lower() for d in metadata.distributions()}
  cuda = any(n.startswith('jax-cuda') and n.endswith('plugin') for n in names)
  return (Path('/dev/nvidia0').exists() and cuda) or (
      Path('/dev/accel0').exists() and 'libtpu' in names)


@functools.cache
def keep_memory() -> bool:
  """Makes malloc keep its memory, in huge pages where the system allows; once
  a process. True where that was possible (glibc on Linux) and useful: not with
  an accelerator, whose compiler has a thread per core, all of which would wait
  for the one arena."""
  if sys.platform != 'linux' or on_accelerator():
    return False
  libc = ctypes.CDLL(None)
  if not hasattr(libc, 'mallopt') or not hasattr(libc, 'malloc_trim'):
    return False  # musl
  ok = all(libc.mallopt(name, value) for name, value in (
      (_MMAP_MAX, 0), (_TRIM_THRESHOLD, RESERVE), (_TOP_PAD, RESERVE),
      (_ARENA_MAX, 1)))
  # The heap grows by the reserve at once; its pages come when touched.
  libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (
      ctypes.c_size_t,)
  libc.free.argtypes = (ctypes.c_void_p,)
  libc.free(libc.malloc(64 << 20))
  libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
  for line in Path('/proc/self/maps').read_text().splitlines():
    if line.endswith('[heap]'):
      start, end = (int(x, 16) for x in line.split()[0].split('-'))
      start = -(-start // _HUGE) * _HUGE
      if end > start:
        libc.madvise(start, end - start, _HUGE_PAGES)
  return ok
