package functions

import (
	"fmt"
	"strconv"
	"strings"
)

// jobConflicts are the rules that tie a job's fields together, or a map to its keys.
var jobConflicts = []func(TrainingJob) []FieldError{
	func(j TrainingJob) []FieldError { return checkLabels(j.Metadata) },
	func(j TrainingJob) []FieldError { return checkProgram(j.Spec.Runtime.program(), rankEnv) },
	func(j TrainingJob) []FieldError {
		r := j.Spec.Resources
		return checkWishes("gpusPerNode", r.GPUsPerNode, r.GPUMem, r.Products)
	},
	checkNodes,
	checkElastic,
	checkGoal,
	checkAddresses,
	checkBorrow,
	checkSpans,
	checkExitCodes,
	func(j TrainingJob) []FieldError { return checkPauses("retry.backoff", j.Spec.Retry.Backoff) },
	checkNotices,
}

// rankEnv are the variables of a rank: what tells it its place in the gang, where its checkpoints
// are and which GPUs it has.
var rankEnv = reserved{
	names: append([]string{
		"MASTER_ADDR", "MASTER_PORT", "NNODES", "NODE_RANK", "WORLD_SIZE", "RANK", "LOCAL_RANK", "JOB_ID", "ATTEMPT", "GANG_GENERATION",
		"CHECKPOINT_URI", "CHECKPOINT_DIR", "RESUME_FROM", "PREEMPT_FILE", "SAVE_FILE", "PROGRESS_FILE", "GRACE_SECONDS", "DEADLINE_UNIX", "DATASET_URI",
		"TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "TORCHELASTIC_ERROR_FILE", "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID",
		"OMPI_MCA_orte_default_hostfile", "PRTE_MCA_prte_default_hostfile",
	}, reservedGPUs...),
	prefixes: []string{reservedEnvPrefix, "PET_"},
	allowed:  "any name but those by which a rank learns its place, its checkpoints and its GPUs, and those that begin with STOKER_ or PET_",
	hint:     "stoker sets it for each rank of the gang; read it in the program, or take another name",
}

// ReservedForRanks tells whether a variable is the platform's to set for the ranks of a job.
func ReservedForRanks(name string) bool { return rankEnv.has(name) }

// checkNodes wants the number of nodes from one place: the manifest, or the platform.
func checkNodes(j TrainingJob) []FieldError {
	s := j.Spec
	chooser := ""
	switch {
	case s.Elastic != Elastic{}:
		chooser = "elastic"
	case s.Goal != Goal{}:
		chooser = "goal"
	}
	if s.Resources.Nodes == 0 || chooser == "" {
		return nil
	}
	return []FieldError{{
		Path: "spec.resources.nodes", Value: strconv.Itoa(s.Resources.Nodes), Err: ErrConflict,
		Allowed: "nothing where " + chooser + " is given",
		Hint:    "remove nodes to let the platform choose, or " + chooser + " to fix the number", with: "spec." + chooser,
	}}
}

func checkElastic(j TrainingJob) []FieldError {
	e := j.Spec.Elastic
	switch {
	case e == Elastic{}:
		return nil
	case e.Max == 0:
		return []FieldError{{Path: "spec.elastic.max", Err: ErrRequired, Allowed: fmt.Sprintf("a whole number from 1 to %d", MaxNodes)}}
	case e.Min > e.Max:
		return []FieldError{{
			Path: "spec.elastic.min", Value: strconv.Itoa(e.Min), Err: ErrConflict,
			Allowed: fmt.Sprintf("at most elastic.max, which is %d", e.Max),
			Hint:    fmt.Sprintf("raise max to %d, or lower min", e.Min), with: "spec.elastic.max",
		}}
	case e.Step > 0 && (e.Max-e.Min)%e.Step != 0:
		last := e.Max - (e.Max-e.Min)%e.Step
		return []FieldError{{
			Path: "spec.elastic.max", Value: strconv.Itoa(e.Max), Err: ErrConflict,
			Allowed: fmt.Sprintf("min and a multiple of step: %d, %d, …", e.Min, e.Min+e.Step),
			Hint:    fmt.Sprintf("did you mean %d, or %d?", last, last+e.Step), with: "spec.elastic.step",
		}}
	default:
		return nil
	}
}

func checkGoal(j TrainingJob) []FieldError {
	g := j.Spec.Goal
	times := g.FinishBy != "" || g.Within != 0
	switch {
	case g == Goal{}:
		return nil
	case !times && g.StepsPerSecond == "":
		return []FieldError{{
			Path: "spec.goal", Err: ErrRequired, Allowed: "finishBy, within or stepsPerSecond, beside maxCost",
			Hint: "a cost alone is no goal: write within: 6h, or bound the cost with budget: {maxCost: 200}", with: "spec.goal.finishBy",
		}}
	case g.FinishBy == "" || g.Within == 0:
		return nil
	default:
		return []FieldError{{
			Path: "spec.goal.within", Value: g.Within.String(), Err: ErrConflict, Allowed: "finishBy or within, not both",
			Hint: "remove one of them", with: "spec.goal.finishBy",
		}}
	}
}

// checkAddresses keeps passwords out of addresses, which are shown, and checkpoints within the
// directory that was named.
func checkAddresses(j TrainingJob) []FieldError {
	var errs []FieldError
	for _, at := range []struct{ path, uri string }{
		{"spec.dataset.uri", j.Spec.Dataset.URI}, {"spec.checkpoint.uri", j.Spec.Checkpoint.URI},
	} {
		_, rest, _ := strings.Cut(at.uri, "://")
		host, _, _ := strings.Cut(rest, "/")
		switch {
		case strings.Contains(host, "@"):
			errs = append(errs, FieldError{
				Path: at.path, Err: ErrValue, Allowed: "an address without a user or password",
				Hint: "put what is secret into runtime.env with valueFrom",
			})
		case climbs(rest):
			errs = append(errs, FieldError{
				Path: at.path, Value: strconv.Quote(shorten(at.uri)), Err: ErrValue, Allowed: "an address without ..",
				Hint: "write out the path that is meant",
			})
		}
	}
	return errs
}

// checkBorrow wants a loan to be given back in time: the program has its grace, and what is left
// has to be killed and seen to be gone.
func checkBorrow(j TrainingJob) []FieldError {
	b, grace := j.Spec.Borrow, j.Spec.Preemption.Grace.D()
	const path = "spec.borrow.maxGiveBackSeconds"
	switch {
	case b.MaxGiveBackSeconds <= 0:
		return nil
	case b.IdleInference == UseNever:
		return []FieldError{{
			Path: path, Value: strconv.Itoa(b.MaxGiveBackSeconds), Err: ErrConflict, Allowed: "nothing where idleInference is never",
			Hint: "remove it, or write idleInference: allowed", with: "spec.borrow.idleInference",
		}}
	case b.MaxGiveBack() <= grace:
		return []FieldError{{
			Path: path, Value: strconv.Itoa(b.MaxGiveBackSeconds), Err: ErrConflict,
			Allowed: fmt.Sprintf("more than preemption.grace, which is %s", j.Spec.Preemption.Grace),
			Hint:    "raise it, or lower preemption.grace to what a checkpoint takes", with: "spec.preemption.grace",
		}}
	default:
		return nil
	}
}

// checkSpans refuses times that an earlier one makes impossible.
func checkSpans(j TrainingJob) []FieldError {
	s := j.Spec
	if s.Deadline == 0 {
		return nil
	}
	var errs []FieldError
	for _, at := range []struct {
		field string
		value Duration
	}{{"queueTimeout", s.QueueTimeout}, {"maxRuntime", s.MaxRuntime}, {"goal.within", s.Goal.Within}} {
		if at.value > s.Deadline {
			errs = append(errs, FieldError{
				Path: "spec." + at.field, Value: at.value.String(), Err: ErrConflict,
				Allowed: fmt.Sprintf("at most deadline, which is %s", s.Deadline),
				Hint:    fmt.Sprintf("lower it, or raise deadline to %s at least", at.value), with: "spec.deadline",
			})
		}
	}
	return errs
}

// checkExitCodes refuses a code with two meanings.
func checkExitCodes(j TrainingJob) []FieldError {
	c := j.Spec.Retry.ExitCodes
	var errs []FieldError
	meaning := map[int]string{}
	for _, list := range []struct {
		name  string
		codes []int
	}{{"saved", c.Saved}, {"unsaved", c.Unsaved}, {"permanent", c.Permanent}, {"badConfig", c.BadConfig}, {"infra", c.Infra}} {
		at := place{}.field("spec").field("retry").field("exitCodes").field(list.name)
		for i, code := range list.codes {
			if before, twice := meaning[code]; twice {
				errs = append(errs, FieldError{
					Path: at.entry(i).path, Value: strconv.Itoa(code), Err: ErrDuplicate, Allowed: "a code that nothing else means",
					Hint: fmt.Sprintf("it is in %s already, perhaps by default; write both lists out", before),
				})
				continue
			}
			meaning[code] = list.name
		}
	}
	return errs
}

func checkNotices(j TrainingJob) []FieldError {
	var errs []FieldError
	for i, n := range j.Spec.Notify {
		at := place{}.field("spec").field("notify").entry(i)
		errs = append(errs, twice(at.field("on").path, n.On)...)
	}
	return errs
}
