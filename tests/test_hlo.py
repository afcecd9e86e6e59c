"""Communication of a compiled program, counted from its text."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from physics_lm import hlo


def compiled_text(function, shape):
  """Of a function of each device's part of a float32 array, on eight CPUs."""
  mesh = jax.sharding.Mesh(jax.devices(), ('d',))
  mapped = jax.shard_map(function, mesh=mesh, in_specs=P('d'),
                         out_specs=P('d'), check_vma=False)
  return jax.jit(mapped).lower(
      jax.ShapeDtypeStruct(shape, jnp.float32)).compile().as_text()


@pytest.mark.parametrize('turns', [1, 7])
def test_collectives_in_a_loop_count_every_turn(turns):

  def body(x, _):
    return jax.lax.psum(jnp.sin(x), 'd'), None

  text = compiled_text(lambda x: jax.lax.scan(body, x, length=turns)[0],
                       (16, 5))
  assert hlo.collectives(text) == {
      'all-reduce': hlo.Collective(turns, turns * 2 * 5 * 4.0)}


def test_collectives_of_each_kind_have_the_bytes_of_their_results():
  text = compiled_text(
      lambda x: jax.lax.all_gather(x, 'd').sum((0, 1))[None]
      + jax.lax.psum_scatter(x, 'd', tiled=True), (64, 3))
  found = hlo.collectives(text)
  assert found['all-gather'] == hlo.Collective(1, 64 * 3 * 4.0)
  assert found['reduce-scatter'] == hlo.Collective(1, 1 * 3 * 4.0)
  assert hlo.collectives(compiled_text(jnp.sin, (8, 2))) == {}


def test_collective_beside_computation_counts_at_its_start():
  """As the TPU compiler writes them: the same gather three times."""
  gather = '  %g = bf16[128,4] all-gather(%p), channel_id=1\n'
  part = '%{} (p: bf16[32,4]) -> bf16[128,4] {{\n' + gather + '{}}}\n\n'
  done = '  ROOT %c = bf16[] custom-call(), custom_call_target="{}"\n'
  text = (part.format('start', done.format('AsyncCollectiveStart'))
          + part.format('async_collective_fusion.1', '')
          + part.format('done', done.format('AsyncCollectiveDone'))
          + 'ENTRY %main (p: bf16[32,4]) -> bf16[] {\n' + ''.join(
              f'  %f = bf16[] fusion(%p), calls=%{name}\n' for name in (
                  'start', 'async_collective_fusion.1', 'done')) + '}\n')
  assert hlo.collectives(text) == {
      'all-gather': hlo.Collective(1, 128 * 4 * 2.0)}


@pytest.mark.parametrize('groups,size', [
    ('{{0,1},{2,3}}, use', 2), ('{{0},{1}}', 1), ('[2,4]<=[8]', 4),
    ("mesh['axis_0'=4,'axis_1'=1] {'axis_0'}", 4),
    ("mesh['a'=1,'b'=4,'c'=2], device_ids=([2,4]T(1,0)) {'b','c'}", 8)])
def test_group_size_reads_each_form(groups, size):
  assert hlo.group_size(f'  %r = f32[2] all-reduce(%x), channel_id=1, '
                        f'replica_groups={groups}, to_apply=%add') == size
