package contract

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"stoker.dev/stoker/functions"
)

// ErrPlace is returned for a place that no rank can have.
var ErrPlace = errors.New("no such place in a gang")

// Names of the files in a rank's own directory.
const (
	NoticeFile   = "notice.json"
	SaveFile     = "save"
	ProgressFile = "progress"
	ErrorFile    = "error.json"
	HostFile     = "hosts"
)

// shutdownMargin is what torchrun's patience with its workers is shorter than the grace: it has to end
// before it is killed, to pass on what its workers said.
const shutdownMargin = 2 * time.Second

// Place is where in a gang a rank is.
type Place struct {
	Job           functions.Key
	Spec          functions.JobSpec
	Submitted     time.Time
	Attempt       int // from 1
	Generation    uint64
	Rank          int
	Addresses     []string  // of every rank's node, as the others reach it
	Port          int       // free on the node of rank 0
	Dir           string    // the rank's own, on its node
	CheckpointDir string    // the gang's, on every node
	ResumeFrom    string    // see [Resume]
	Deadline      time.Time // when the job is stopped in any case; zero: never
}

// check says why nobody can be at a place.
func (p Place) check() error {
	switch {
	case len(p.Addresses) == 0 || p.Rank < 0 || p.Rank >= len(p.Addresses):
		return fmt.Errorf("%w: rank %d of %d addresses", ErrPlace, p.Rank, len(p.Addresses))
	case slices.ContainsFunc(p.Addresses, func(a string) bool { return a == "" || strings.ContainsAny(a, " \t\r\n\x00[]") }):
		return fmt.Errorf("%w: an address that is none in %q", ErrPlace, p.Addresses)
	case p.Port < 1 || p.Port > 65535:
		return fmt.Errorf("%w: port %d, allowed are 1 to 65535", ErrPlace, p.Port)
	case !path.IsAbs(p.Dir) || !path.IsAbs(p.CheckpointDir):
		return fmt.Errorf("%w: directories %q and %q, absolute ones are needed", ErrPlace, p.Dir, p.CheckpointDir)
	case p.Attempt < 1 || p.Generation < 1:
		return fmt.Errorf("%w: attempt %d of generation %d, both begin with 1", ErrPlace, p.Attempt, p.Generation)
	default:
		return nil
	}
}

// Environment is what a rank's process gets beside the manifest's own variables, sorted by name.
// Errors match ErrPlace.
func Environment(p Place) ([]functions.EnvVar, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	env := p.everyJob()
	switch p.Spec.Framework {
	case functions.FrameworkTorch:
		env = append(env, p.torch()...)
	case functions.FrameworkJAX:
		env = append(env, p.jax()...)
	case functions.FrameworkMPI:
		env = append(env, p.mpi()...)
	case functions.FrameworkCustom:
	}
	slices.SortFunc(env, func(a, b functions.EnvVar) int { return cmp.Compare(a.Name, b.Name) })
	return env, nil
}

func set(name, value string) functions.EnvVar { return functions.EnvVar{Name: name, Value: value} }

func setNumber[N int | int64 | uint64](name string, value N) functions.EnvVar {
	return set(name, fmt.Sprint(value))
}

func (p Place) everyJob() []functions.EnvVar {
	deadline := ""
	if !p.Deadline.IsZero() {
		deadline = strconv.FormatInt(p.Deadline.Unix(), 10)
	}
	checkpoints := p.Spec.Checkpoint.URI
	if checkpoints == "" {
		checkpoints = "file://" + p.CheckpointDir
	}
	return []functions.EnvVar{
		set("JOB_ID", p.Job.String()), setNumber("ATTEMPT", p.Attempt), setNumber("GANG_GENERATION", p.Generation),
		setNumber("NNODES", len(p.Addresses)), setNumber("NODE_RANK", p.Rank),
		set("CHECKPOINT_DIR", p.CheckpointDir), set("CHECKPOINT_URI", checkpoints), set("RESUME_FROM", p.ResumeFrom), set("DATASET_URI", p.Spec.Dataset.URI),
		set("PREEMPT_FILE", path.Join(p.Dir, NoticeFile)), set("SAVE_FILE", path.Join(p.Dir, SaveFile)), set("PROGRESS_FILE", path.Join(p.Dir, ProgressFile)),
		set("TORCHELASTIC_ERROR_FILE", path.Join(p.Dir, ErrorFile)),
		setNumber("GRACE_SECONDS", int64(p.grace()/time.Second)), set("DEADLINE_UNIX", deadline),
	}
}

func (p Place) grace() time.Duration { return p.Spec.Preemption.Grace.D() }

// rendezvous is the name under which the ranks of one gang find each other, and no others.
func (p Place) rendezvous() string {
	return fmt.Sprintf("%s.%s.%d", p.Job.Namespace, p.Job.Name, p.Generation)
}

func (p Place) torch() []functions.EnvVar {
	nodes, master, port := len(p.Addresses), p.Addresses[0], p.Port
	patience := max(time.Second, p.grace()-shutdownMargin)
	return []functions.EnvVar{
		set("MASTER_ADDR", master), setNumber("MASTER_PORT", port),
		setNumber("WORLD_SIZE", nodes), setNumber("RANK", p.Rank), set("LOCAL_RANK", "0"),
		setNumber("PET_NNODES", nodes), setNumber("PET_NODE_RANK", p.Rank), setNumber("PET_NPROC_PER_NODE", max(1, p.Spec.Resources.GPUsPerNode)),
		set("PET_MASTER_ADDR", master), setNumber("PET_MASTER_PORT", port), set("PET_RDZV_ID", p.rendezvous()), set("PET_MAX_RESTARTS", "0"),
		setNumber("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", int64(patience/time.Second)),
	}
}

func (p Place) jax() []functions.EnvVar {
	return []functions.EnvVar{
		set("JAX_COORDINATOR_ADDRESS", joinPort(p.Addresses[0], p.Port)),
		setNumber("JAX_NUM_PROCESSES", len(p.Addresses)), setNumber("JAX_PROCESS_ID", p.Rank),
	}
}

// joinPort is host:port, with an IPv6 address in brackets.
func joinPort(host string, port int) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("%s:%d", host, port)
}

// mpi names the host file as Open MPI 4 and as Open MPI 5 look for it.
func (p Place) mpi() []functions.EnvVar {
	hosts := path.Join(p.Dir, HostFile)
	return []functions.EnvVar{set("OMPI_MCA_orte_default_hostfile", hosts), set("PRTE_MCA_prte_default_hostfile", hosts)}
}

// Hostfile is the file that tells mpirun the nodes of the gang and the processes for each.
func Hostfile(p Place) (string, error) {
	if err := p.check(); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, address := range p.Addresses {
		fmt.Fprintf(&b, "%s slots=%d\n", address, max(1, p.Spec.Resources.GPUsPerNode))
	}
	return b.String(), nil
}
