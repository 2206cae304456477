package functions

import "slices"

// HiddenValue stands for the value of an environment variable wherever a manifest is shown.
const HiddenValue = "(hidden)"

// Redact is a spec as it may be shown: the values of its environment are hidden, since any of
// them may be a secret. The caller's spec is left as it is.
func Redact(s Spec) Spec {
	s.Runtime.Env = slices.Clone(s.Runtime.Env)
	for i := range s.Runtime.Env {
		if e := &s.Runtime.Env[i]; e.Value != "" {
			e.Value = HiddenValue
		}
	}
	return s
}
