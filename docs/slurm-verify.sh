#!/bin/sh
# Verify a group's backups as an array of four, then judge them together:
#   job=$(sbatch --parsable slurm-verify.sh)
#   sbatch --dependency=afterany:"$job" --wrap "$PACS verify --sites $SITES --all --verdicts $VERDICTS --merge"
#SBATCH --job-name=pacs-recover-verify
#SBATCH --array=0-3
#SBATCH --cpus-per-task=2
#SBATCH --mem=1G
#SBATCH --requeue

SITES=${SITES:-/shared/pacs_recover/sites}
VERDICTS=${VERDICTS:-/shared/pacs_recover/verdicts}
export TMPDIR="${SLURM_TMPDIR:-/tmp}"
exec pacs-recover --state "$TMPDIR/pacs_recover-$SLURM_ARRAY_TASK_ID" \
    verify --sites "$SITES" --all --jobs "${SLURM_CPUS_PER_TASK:-2}" --verdicts "$VERDICTS"
