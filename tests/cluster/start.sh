#!/usr/bin/env bash
# A real Slurm of one node on this machine, from Debian's packages, as root and
# without systemd: to test --executor=slurm. `start.sh stop` ends it.
set -euo pipefail
RUN=/run/slurm
alive() { ps -C "$1" -o stat= | grep -qv '^Z'; }  # a zombie is not
if [ "${1:-}" = stop ]; then
  for file in "$RUN/slurmd.pid" "$RUN/slurmctld.pid" /run/munge/munged.pid; do
    if [ -e "$file" ]; then kill "$(cat "$file")" 2> /dev/null || true; fi
  done
  exit 0
fi
if ! command -v slurmctld > /dev/null || ! command -v munged > /dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends slurm-wlm munge > /dev/null
fi
mkdir -p /run/munge "$RUN" /etc/slurm /var/spool/slurmctld /var/spool/slurmd \
  /var/log/slurm
chown munge:munge /run/munge
alive munged || runuser -u munge -- /usr/sbin/munged
slurmd -C | head -1 > "$RUN/hardware"  # NodeName=... CPUs=... RealMemory=...
cat > /etc/slurm/slurm.conf <<CONF
ClusterName=test
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
SlurmctldPidFile=$RUN/slurmctld.pid
SlurmdPidFile=$RUN/slurmd.pid
SlurmdSpoolDir=/var/spool/slurmd
StateSaveLocation=/var/spool/slurmctld
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=20
MinJobAge=5
SchedulerParameters=sched_interval=2,batch_sched_delay=1
$(cat "$RUN/hardware") NodeAddr=127.0.0.1 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=FORCE:4 State=UP
CONF
alive slurmctld || slurmctld
sleep 2
alive slurmd || slurmd
for _ in $(seq 30); do
  sinfo -h -o %T 2> /dev/null | grep -qE 'idle|mixed|allocated' && exit 0
  sleep 1
done
echo "Slurm did not start; see /var/log/slurm" >&2
exit 1
