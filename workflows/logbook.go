package workflows

import (
	"fmt"
	"strings"
	"unicode"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Typed search attributes, by which Temporal's UI lists and filters functions.
var (
	attrNamespace = temporal.NewSearchAttributeKeyKeyword(AttrNamespace)
	attrFunction  = temporal.NewSearchAttributeKeyKeyword(AttrFunction)
	attrPhase     = temporal.NewSearchAttributeKeyKeyword(AttrPhase)
	attrGPUs      = temporal.NewSearchAttributeKeyInt64(AttrGPUs)
)

// SearchAttributes are those a function's workflow is started with.
func SearchAttributes(namespace, name string) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(
		attrNamespace.ValueSet(namespace), attrFunction.ValueSet(name), attrPhase.ValueSet(""), attrGPUs.ValueSet(0))
}

// shown is what the search attributes say now. Each upsert is an event in the history and a
// write to the visibility store, so they change with the phase and the GPUs only.
type shown struct {
	phase string
	gpus  int
}

// show writes the logbook page: current details, and the search attributes where they changed.
func (f *function) show(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, f.page())
	now := shown{string(f.Decision.Phase), f.gpus()}
	if now == f.shown {
		return
	}
	f.shown = now
	err := workflow.UpsertTypedSearchAttributes(ctx, attrPhase.ValueSet(now.phase), attrGPUs.ValueSet(int64(now.gpus)))
	if err != nil {
		workflow.GetLogger(ctx).Warn("search attributes not written", "error", err)
	}
}

// page is the function's state in Markdown, as Temporal's UI shows it.
func (f *function) page() string {
	var b strings.Builder
	d := f.Decision
	fmt.Fprintf(&b, "**%s** · target **%d** of revision `%s` · decision %d: **%s**", d.Phase, d.Target, d.Revision, d.Epoch, d.Reason)
	if d.Limit != "" {
		fmt.Fprintf(&b, ", wanted %d, held back by **%s**", d.Wanted, d.Limit)
	}
	fmt.Fprintf(&b, "\n\npending %d · in flight %d · free GPUs %d · slots %d\n", d.Inputs.Pending, d.Inputs.InFlight, d.Inputs.FreeGPUs, d.Inputs.Slots)
	f.table(&b)
	for _, note := range []struct{ label, text string }{{"Blocked", f.Blocked}, {"Trouble", f.Trouble}} {
		if note.text != "" {
			fmt.Fprintf(&b, "\n**%s:** %s\n", note.label, plain(note.text))
		}
	}
	for _, x := range f.Failed {
		fmt.Fprintf(&b, "\n**Start refused** `%s`: %s: %s\n", x.ID, plain(x.Cause), plain(x.Message))
	}
	return b.String()
}

// plain keeps what a provider or a model server said to one line that means nothing in Markdown.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '|' || r == '`' || r == '<' || r == '>':
			return '\''
		case unicode.IsPrint(r):
			return r
		}
		return ' '
	}, s)
}

func (f *function) table(b *strings.Builder) {
	if len(f.Replicas) == 0 {
		b.WriteString("\nno replica\n")
		return
	}
	b.WriteString("\n| replica | revision | phase | since | node | cold start | cause |\n|---|---|---|---|---|---|---|\n")
	for _, r := range f.Replicas {
		cold := ""
		if r.ColdMS > 0 {
			cold = fmt.Sprintf("%d ms", r.ColdMS)
		}
		fmt.Fprintf(b, "| `%s` | `%s` | %s | %s | %s | %s | %s |\n", r.ID, r.Revision, r.Phase, r.Since.UTC().Format("15:04:05.000"), plain(r.Node), cold, plain(r.Cause))
	}
}
