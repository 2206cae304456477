package simulate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrPolicy is returned for a policy that does not exist.
var ErrPolicy = errors.New("no such policy")

// swept are the families whose main constant a name may carry: "timer-45s", "keda-120s",
// "knative-300s", "hybrid-histogram-60m". KEDA's may carry more, see namedKEDA.
var swept = []struct {
	prefix string
	make   func(time.Duration) Family
}{{"timer-", Timer}, {"knative-", KnativeWindow}, {nameKEDA + "-", KEDACooldown}, {nameHybrid + "-", HybridRange}}

// maxConstant bounds that constant: a day.
const maxConstant = 24 * time.Hour

// Baselines are the policies to compare with that need no hindsight.
func Baselines() []Family { return append(Timers(), Knative(), KEDA(), Hybrid()) }

// Named finds a policy by its name. The error is ErrPolicy and lists what there is.
func Named(name string) (Family, error) {
	for _, f := range append(Baselines(), Stoker()) {
		if f.Name == name {
			return f, nil
		}
	}
	if constants, is := strings.CutPrefix(name, nameKEDA+"-"); is {
		if f, ok := namedKEDA(constants); ok {
			return f, nil
		}
	}
	for _, f := range swept {
		constant, is := strings.CutPrefix(name, f.prefix)
		if d, ok := parseConstant(constant); is && ok {
			return f.make(d), nil
		}
	}
	return Family{}, fmt.Errorf("%w: %q; allowed: %s", ErrPolicy, name, strings.Join(Names(), ", "))
}

func parseConstant(text string) (time.Duration, bool) {
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0 && d <= maxConstant
}

// Hindsight names the policies that know the whole trace.
func Hindsight() []string { return []string{NamePeak, NameFixed, NameOracle} }

// Names lists what Named knows, and those that need hindsight.
func Names() []string {
	names := append([]string{"stoker"}, Hindsight()...)
	for _, f := range Baselines() {
		names = append(names, f.Name)
	}
	return slices.Concat(names, []string{"timer-DURATION", "knative-DURATION", "keda-COOLDOWN", "keda-COOLDOWN-POLL[-half][-min1]", "hybrid-histogram-DURATION (at most 24h)"})
}

// The policies that know the whole trace.
const (
	NamePeak   = "peak"   // always on, enough for the busiest moment
	NameFixed  = "fixed"  // always on, no more than the objective needs
	NameOracle = "oracle" // a bound
)
