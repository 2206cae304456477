package functions

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// durationPattern is Go's notation without sign: one or more numbers, each with its unit.
const durationPattern = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`

var durationText = regexp.MustCompile(durationPattern)

// Duration is a time span written as Go does ("2s", "1m30s"), never negative and never
// without a unit.
type Duration time.Duration

// D converts to the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String is the shortest of Go's forms: 10m rather than 10m0s.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText writes what String returns.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the text form. Errors match ErrValue.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := parseDuration(string(text))
	if err == nil {
		*d = v
	}
	return err
}

func parseDuration(s string) (Duration, error) {
	if !durationText.MatchString(s) {
		return 0, fmt.Errorf("%w: duration %q, want numbers with units such as 2s or 1m30s", ErrValue, s)
	}
	v, err := time.ParseDuration(s)
	if err != nil { // only what does not fit into 292 years
		return 0, fmt.Errorf("%w: duration %q: %w", ErrValue, s, err)
	}
	return Duration(v), nil
}

// KeepAlive is how long an idle function keeps its last replicas: "auto", or a duration.
type KeepAlive string

// KeepAliveAuto leaves the time to the scaling policy.
const KeepAliveAuto KeepAlive = "auto"

// Auto tells whether the scaling policy chooses the time.
func (k KeepAlive) Auto() bool { return k == KeepAliveAuto }

// D is the time written in the manifest, and 0 for auto or for what Validate refuses.
func (k KeepAlive) D() time.Duration {
	d, err := parseDuration(string(k))
	if err != nil {
		return 0
	}
	return d.D()
}
