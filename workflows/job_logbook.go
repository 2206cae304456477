package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stoker.dev/stoker/scale/job"
)

var attrJob = temporal.NewSearchAttributeKeyKeyword(AttrJob)

// listedFirst is what the lists say of a job from its start: what it is after its first task, in which one that was let
// in claims its GPUs. Only where that does not come true is there a change to write.
func listedFirst(s JobState) Listed {
	for _, e := range s.First {
		if e.Kind == job.Admit {
			return Listed{Phase: job.Placed, GPUs: e.Nodes * s.Spec.Resources.GPUsPerNode}
		}
	}
	return Listed{Phase: job.Queued}
}

// attributes are the search attributes that a job's workflow is started with.
func (s JobState) attributes() temporal.SearchAttributes {
	return temporal.NewSearchAttributes(attrNamespace.ValueSet(s.Key.Namespace), attrJob.ValueSet(s.Key.Name),
		attrPhase.ValueSet(string(s.Listed.Phase)), attrGPUs.ValueSet(int64(s.Listed.GPUs)))
}

// show writes the logbook page.
func (j *jobRun) show(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, j.page())
	if j.Code < claimAtOnce {
		j.list(ctx)
	}
}

// mark is called before the workflow waits: each change of search attributes is written to the server's lists
// by itself, so those that nobody would see are left out.
func (j *jobRun) mark(ctx workflow.Context) {
	if j.Code >= claimAtOnce {
		j.list(ctx)
	}
}

// list writes the search attributes where they changed.
func (j *jobRun) list(ctx workflow.Context) {
	now := Listed{Phase: j.Life.Phase}
	if j.Life.Gang != nil {
		now.GPUs = j.Life.Gang.Nodes * j.Spec.Resources.GPUsPerNode
	}
	if now == j.Listed {
		return
	}
	j.Listed = now
	if err := workflow.UpsertTypedSearchAttributes(ctx, attrPhase.ValueSet(string(now.Phase)), attrGPUs.ValueSet(int64(now.GPUs))); err != nil {
		workflow.GetLogger(ctx).Warn("search attributes not written", "error", err)
	}
}

// page is the job's state in Markdown, as Temporal's UI shows it.
func (j *jobRun) page() string {
	var b strings.Builder
	s := j.Life
	fmt.Fprintf(&b, "**%s** · %s · attempt %d · generation %d\n", s.Phase, s.Cause.Meaning(), s.Attempts, s.Generation)
	if s.Saved.Path != "" {
		fmt.Fprintf(&b, "\ncheckpoint of step **%d** at %s: `%s`\n", s.Saved.Step, s.Saved.At.UTC().Format("15:04:05"), plain(s.Saved.Path))
	}
	if j.Resumed != "" {
		fmt.Fprintf(&b, "\nresumed from `%s`\n", plain(j.Resumed))
	}
	fmt.Fprintf(&b, "\nretries: %d of %d for its own errors, %d of %d for those of machines\n", s.Used.User, j.Spec.Retry.UserErrors, s.Used.Infra, j.Spec.Retry.InfraErrors)
	if v := s.Last; v.Class != "" {
		fmt.Fprintf(&b, "\nthe last gang: **%s**, %s\n", v.Class, v.Class.Meaning())
		if v.Hint != "" {
			fmt.Fprintf(&b, "\n%s\n", plain(v.Hint))
		}
	}
	j.table(&b)
	if why := j.why(); why != "" {
		fmt.Fprintf(&b, "\n**Trouble:** %s\n", plain(why))
	}
	return b.String()
}

// maxRows bounds the table of ranks: beyond it nobody reads one.
const maxRows = 32

func (j *jobRun) table(b *strings.Builder) {
	g := j.Life.Gang
	if g == nil {
		b.WriteString("\nholds no GPUs\n")
		return
	}
	fmt.Fprintf(b, "\nnodes: %d, GPUs on each: %d, step %d\n", g.Nodes, j.Spec.Resources.GPUsPerNode, g.Step)
	if len(g.Ranks) == 0 {
		return
	}
	b.WriteString("\n| rank | node | state |\n|---|---|---|\n")
	for i, r := range g.Ranks[:min(len(g.Ranks), maxRows)] {
		state := "starting"
		switch {
		case r.End != nil:
			state = "gone"
		case !r.Silent.IsZero():
			state = "out of reach"
		case r.Arrived && g.Started.IsZero():
			state = "waits for the others"
		case r.Arrived:
			state = "at work"
		}
		fmt.Fprintf(b, "| %d | %s | %s |\n", i, plain(j.node(i)), state)
	}
	if more := len(g.Ranks) - maxRows; more > 0 {
		fmt.Fprintf(b, "\nand %d more\n", more)
	}
}
