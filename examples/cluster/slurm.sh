#!/usr/bin/env bash
# A comparison on Ray over several machines of a Slurm cluster: sbatch examples/cluster/slurm.sh
# The run folder must be on a file system that all machines see: a killed job goes on in it when it is submitted again.
#SBATCH --job-name=unseen
#SBATCH --nodes=8
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
#SBATCH --requeue
set -euo pipefail

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address="$head:6379"

srun --nodes=1 --ntasks=1 -w "$head" ray start --head --port=6379 --num-cpus="$SLURM_CPUS_PER_TASK" --block &
sleep 15
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" \
    ray start --address="$address" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
  sleep 15
fi

unseen compare --source "$SOURCE" --target "$TARGET" --seeds 10 --engine ray --ray-address "$address" --out "$OUT"
