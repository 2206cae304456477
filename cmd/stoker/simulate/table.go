package simulate

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"stoker.dev/stoker/scale/simulate"
)

// Table writes results for people.
func Table(w io.Writer, results []simulate.Result) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, strings.Join([]string{
		"POLICY", "GPU-S", "USEFUL", "COLD", "IDLE", "USD", "COLD-RATE", "P75", "WAIT-P50", "P95", "P99", "IN-TIME", "/PEAK", "/FIXED", "/ORACLE", "DECISIONS/H", "",
	}, "\t"))
	for _, r := range results {
		cells := []string{
			r.Policy, whole(r.GPUSeconds), whole(r.Useful), whole(r.Cold), whole(r.Idle), fmt.Sprintf("%.2f", r.CostUSD),
			percent(r.ColdRate), percent(r.ColdP75), sec(r.Wait.P50), sec(r.Wait.P95), sec(r.Wait.P99), percent(r.Attainment),
			times(r.VsPeak), times(r.VsFixed), times(r.VsOracle), fmt.Sprintf("%.1f", r.Decisions), "",
		}
		if r.Policy == simulate.NameOracle { // a bound has neither waits nor decisions
			for _, i := range []int{6, 7, 8, 9, 10, 15} {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, rates(results))
	return err
}

// rates says how fast the machine was.
func rates(results []simulate.Result) string {
	n, sec := 0, 0.0
	for _, r := range results {
		if r.PerSecond > 0 {
			n += r.Requests
			sec += float64(r.Requests) / r.PerSecond
		}
	}
	if sec == 0 {
		return ""
	}
	return fmt.Sprintf("%d requests simulated in %.2f s of CPU time: %.2f million a second per core", n, sec, float64(n)/sec/1e6)
}

func whole(x float64) string   { return fmt.Sprintf("%.0f", x) }
func percent(x float64) string { return fmt.Sprintf("%.2f%%", x*100) }
func sec(ms float64) string    { return fmt.Sprintf("%.2fs", ms/1000) }

func times(x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", x)
}
