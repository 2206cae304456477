// Package contract is what a training program and the platform tell each other. It is pure: it makes
// the environment of a rank, reads what a program reports, and says which checkpoints count; writing
// files and starting processes is somebody else's.
//
// What the program gets, in every rank, once per node:
//
//	JOB_ID, ATTEMPT, GANG_GENERATION     whose rank it is
//	NNODES, NODE_RANK                    its place in the gang
//	CHECKPOINT_DIR, CHECKPOINT_URI       where checkpoints go, on a file system that all ranks see
//	RESUME_FROM                          the checkpoint to begin with; empty: from the beginning
//	DATASET_URI                          as the manifest has it
//	PREEMPT_FILE                         appears when the gang is told to go: JSON, see [Notice]
//	SAVE_FILE                            appears when a checkpoint is wanted now, see below
//	GRACE_SECONDS                        the time it will have from then on
//	DEADLINE_UNIX                        when the job will be stopped in any case; empty: never
//	PROGRESS_FILE                        takes the program's reports, one to a line, see [ParseReport]
//	TORCHELASTIC_ERROR_FILE              takes its last words, see job.ParseProgramError
//
// and by the manifest's framework
//
//	torch    MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE, LOCAL_RANK for one process per node, and PET_…
//	         for torchrun, which starts a process for each GPU and replaces the former for them;
//	         TORCH_ELASTIC_SHUTDOWN_TIMEOUT (torch 2.12), so that its patience with the workers is the grace
//	jax      JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID
//	mpi      the host file of [Hostfile], named to Open MPI 4 and 5
//
// torchrun restarts nothing by itself (PET_MAX_RESTARTS is 0): the gang is the platform's to restart.
// Rendezvous carries the generation, so that a rank of an earlier gang never joins a later one.
//
// Being told to go comes twice: PREEMPT_FILE appears, then the main process of each rank gets SIGTERM,
// and only that one, since data loaders that die of it take the chance to save with them. All ranks
// have to agree on the step they save at. When the grace is over, every process is killed.
//
// A checkpoint that people ask for is a file, too: SAVE_FILE appears, empty, in every rank. A program that
// looks for it, as it does for PREEMPT_FILE, removes it and saves; asked again before that, it saves once.
// One that does not look saves when it would have anyway.
//
// What the program tells: reports; the exit codes of functions.ExitCodes; and checkpoints. A checkpoint
// is a directory step-N in CHECKPOINT_DIR. It counts once it is committed: written, flushed, and then
// marked by a file COMMITTED in it, or by the .metadata that torch's distributed checkpoints write last.
// What is not committed is never resumed from.
package contract
