package simulate

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// PlanTable writes a plan for people.
func PlanTable(w io.Writer, products []Product) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, x := range products {
		fmt.Fprintf(tw, "%s\tGPUS\tUSD/HOUR\tUSD/MONTH\tUSD/1000 REQUESTS\tUSD/1M TOKENS\tIN-TIME\tOBJECTIVE\n", x.Name)
		row(tw, "the plan", x.Came)
		row(tw, "manifests as they are", x.AsIs)
		fmt.Fprintf(tw, "\nTO WRITE INTO MANIFESTS\tmin\tmax\tkeepAlive\tGPUS AT MAX\tIN-TIME\tOBJECTIVE\tNOW\n")
		missed := 0
		for _, f := range x.Functions {
			fmt.Fprintf(tw, "%s\t%d\t%d\t%s\t%d\t%s\t%s\t%s\n", f.Function, f.Min, f.Max, f.KeepAlive, f.GPUs, percent(f.Attained), met(f.Meets), f.Now)
			if !f.Meets {
				missed++
			}
		}
		fmt.Fprintf(tw, "\nTRIED FOR ALL\tGPUS\tUSD/HOUR\tUSD/MONTH\tUSD/1000 REQUESTS\tUSD/1M TOKENS\tIN-TIME\tOBJECTIVE\n")
		for _, t := range x.Tried {
			row(tw, t.Name, t.Came)
		}
		fmt.Fprintf(tw, "\nIN TIME\tGPUS\tUSD/HOUR\tUSD/MONTH\tUSD/1000 REQUESTS\tUSD/1M TOKENS\tIN-TIME\tOBJECTIVE\n")
		for _, n := range x.Nines {
			row(tw, fmt.Sprintf("%g%%", n.Share*100), n.Came)
		}
		fmt.Fprintln(tw)
		if x.Meets && missed > 0 {
			fmt.Fprintf(tw, "%d of %d functions miss their own objective while all together meet theirs: min 1 keeps a replica for one that must not.\n\n", missed, len(x.Functions))
		}
	}
	if len(products) > 1 {
		best, of := cheapest(products), "per request and per million tokens"
		if best.PerMillionToken == 0 {
			of = "per request"
		}
		fmt.Fprintf(tw, "cheapest %s: %s\n", of, best.Name)
	}
	return tw.Flush()
}

func row(w io.Writer, name string, c Came) {
	tokens := "-" // the trace tells none
	if c.PerMillionToken > 0 {
		tokens = fmt.Sprintf("%.4f", c.PerMillionToken)
	}
	fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t%.4f\t%s\t%s\t%s\n", name, c.GPUs, c.PerHour, c.PerMonth, c.PerRequest*1000, tokens, percent(c.Attained), met(c.Meets))
}

// cheapest is the product that costs least of those that meet the objective, if there are any.
func cheapest(products []Product) Product {
	best := products[0]
	for _, x := range products[1:] {
		if x.Meets && !best.Meets || x.Meets == best.Meets && x.PerRequest < best.PerRequest {
			best = x
		}
	}
	return best
}

func met(meets bool) string {
	if meets {
		return "met"
	}
	return "missed"
}
