package main

import (
	"fmt"
	"math"
	"strings"

	policies "stoker.dev/stoker/scale/simulate"
)

// documentPath is where the document lies in the repository.
const documentPath = "docs/simulation.md"

// document writes everything down.
func document(studies []study, source string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Every recorded trace, every policy\n\n<!-- written by `go tool task sim`; do not edit. %s%s -->\n\n", sourceMark, source)
	b.WriteString(introduction)
	b.WriteString(compared(studies))
	b.WriteString(hardest(studies))
	for _, s := range studies {
		b.WriteString(section(s))
	}
	return b.String()
}

// sourceMark stands before the fingerprint.
const sourceMark = "Sources: "

const introduction = "`stoker simulate` with one set of defaults and the profiles in [deploy/profiles](../deploy/profiles), seed 1. The traces are not part\n" +
	"of the repository. `go doc ./scale/simulate` says what is simulated and what each figure means. \"/ peak\" is against always-on\n" +
	"replicas for the busiest moment, \"/ fixed\" against the fewest always-on replicas that meet the objective, \"/ oracle\" against a bound.\n\n"

// compared holds stoker against each family's frontier.
func compared(studies []study) string {
	var b strings.Builder
	b.WriteString("## Against each family with hindsight\n\nGPU-seconds that a family needs at stoker's attainment on the trace, its constant chosen with hindsight and interpolated\n" +
		"between constants; in brackets stoker's GPU-seconds divided by that, below 1 where stoker needs fewer. \"never\": no\nconstant tried reaches that attainment. Constants tried: ")
	var swept []string
	for _, f := range families {
		swept = append(swept, f.name+" "+f.swept)
	}
	b.WriteString(strings.Join(swept, "; ") + ".\n\n| trace | in time | stoker |")
	for _, f := range families {
		b.WriteString(" " + f.name + " |")
	}
	b.WriteString(" / peak | / fixed | / oracle |\n|---|--:|--:|" + strings.Repeat("--:|", len(families)+3) + "\n")
	sums, counts := map[string]float64{}, map[string]int{}
	for _, s := range studies {
		ours := s.row("stoker")
		fmt.Fprintf(&b, "| %s | %s | %s |", s.name, percent(ours.Attainment), whole(ours.GPUSeconds))
		for _, f := range families {
			at, reached := s.atOurs(f.name)
			if !reached {
				b.WriteString(" never |")
				continue
			}
			sums[f.name] += ours.GPUSeconds / at
			counts[f.name]++
			fmt.Fprintf(&b, " %s (%.3f) |", whole(at), ours.GPUSeconds/at)
		}
		fmt.Fprintf(&b, " %.3f | %.3f | %.3f |\n", ours.VsPeak, ours.VsFixed, ours.VsOracle)
	}
	b.WriteString("| mean ratio, traces weighted alike | | |")
	for _, f := range families {
		if counts[f.name] == 0 {
			b.WriteString(" – |")
			continue
		}
		fmt.Fprintf(&b, " %.3f of %d |", sums[f.name]/float64(counts[f.name]), counts[f.name])
	}
	b.WriteString(" | | |\n\n")
	return b.String()
}

// hardest says which trace is farthest from the bound, and what stoker's GPU-seconds there went to.
func hardest(studies []study) string {
	worst := studies[0]
	for _, s := range studies {
		if s.row("stoker").VsOracle > worst.row("stoker").VsOracle {
			worst = s
		}
	}
	r, bound := worst.row("stoker"), worst.row(policies.NameOracle)
	over := []struct {
		what string
		by   float64
	}{
		{"replicas that idle between requests", r.Idle - bound.Idle},
		{"cold starts", r.Cold - bound.Cold},
		{"replicas with some slots in use and others empty, where the bound packs every slot", r.Useful - bound.Useful},
	}
	total, most := 0.0, over[0]
	for _, o := range over {
		total += math.Max(0, o.by)
		if o.by > most.by {
			most = o
		}
	}
	gap := r.Seconds * float64(r.Functions) / float64(max(r.Requests, 1))
	return fmt.Sprintf("## The hardest trace\n\n%s: stoker needs %.2f times the bound. Of its %s GPU-seconds %s are useful, %s cold and %s idle; the bound has %s,\n"+
		"%s and %s. %.0f %% of the excess are %s. A function there has a request every %.1f s on average, against\n"+
		"cold starts of %.1f s on average and an objective of %v: the bound sees them all in advance, packs them, and picks which %s may be late.\n\n",
		worst.name, r.VsOracle, whole(r.GPUSeconds), whole(r.Useful), whole(r.Cold), whole(r.Idle), whole(bound.Useful), whole(bound.Cold), whole(bound.Idle),
		100*math.Max(0, most.by)/math.Max(total, 1e-9), most.what, gap, worst.settings.ColdStart.Mean().Seconds(), worst.settings.Wait, percent(1-worst.settings.WaitAt))
}

// section is a trace's table.
func section(s study) string {
	var b strings.Builder
	r := s.table[0]
	fmt.Fprintf(&b, "## %s\n\n%s requests, %d functions, %.1f hours; %d slots, cold start %.1f s on average, %s within %v.\n\n", s.name,
		whole(float64(r.Requests)), r.Functions, r.Seconds/3600, s.settings.Slots, s.settings.ColdStart.Mean().Seconds(), percent(s.settings.WaitAt), s.settings.Wait)
	b.WriteString("| policy | GPU-seconds | useful | cold | idle | USD | cold starts | p75 of functions | wait p50 | p95 | p99 | in time | / peak | / fixed | / oracle | decisions/h |\n|---|" + strings.Repeat("--:|", 15) + "\n")
	for _, r := range s.table {
		felt := fmt.Sprintf("%s | %s | %.2f s | %.2f s | %.2f s", percent(r.ColdRate), percent(r.ColdP75), r.Wait.P50/1000, r.Wait.P95/1000, r.Wait.P99/1000)
		decisions := fmt.Sprintf("%.1f", r.Decisions)
		if r.Policy == policies.NameOracle {
			felt, decisions = "– | – | – | – | –", "–"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %.2f | %s | %s | %.3f | %.3f | %.3f | %s |\n", r.Policy, whole(r.GPUSeconds), whole(r.Useful), whole(r.Cold), whole(r.Idle),
			r.CostUSD, felt, percent(r.Attainment), r.VsPeak, r.VsFixed, r.VsOracle, decisions)
	}
	return b.String() + "\n"
}

func percent(x float64) string { return fmt.Sprintf("%.2f %%", x*100) }

// whole is a number with commas.
func whole(x float64) string {
	s := fmt.Sprintf("%.0f", x)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
