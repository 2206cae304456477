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
// "knative-300s".
var swept = map[string]func(time.Duration) Family{
	"timer": Timer, "knative": KnativeWindow, "keda": KEDACooldown,
}

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
	family, constant, _ := strings.Cut(name, "-")
	d, err := time.ParseDuration(constant)
	if swept[family] == nil || err != nil || d < 0 || d > maxConstant {
		return Family{}, fmt.Errorf("%w: %q; allowed: %s", ErrPolicy, name, strings.Join(Names(), ", "))
	}
	return swept[family](d), nil
}

// Names lists what Named knows, and the two that need hindsight.
func Names() []string {
	names := []string{"stoker", NamePeak, NameOracle}
	for _, f := range Baselines() {
		names = append(names, f.Name)
	}
	return slices.Concat(names, []string{"timer-DURATION", "knative-DURATION", "keda-DURATION (at most 24h)"})
}

// The policies that know the whole trace.
const (
	NamePeak   = "peak"
	NameOracle = "oracle"
)
