package functions

import "slices"

// HiddenValue stands for the value of an environment variable, or the address of a webhook,
// wherever a manifest is shown.
const HiddenValue = "(hidden)"

// Redact is a spec as it may be shown: the values of its environment are hidden, since any of
// them may be a secret. The caller's spec is left as it is.
func Redact(s Spec) Spec {
	s.Runtime.Env = hideValues(s.Runtime.Env)
	return s
}

// RedactJob is a job's spec as it may be shown: as [Redact], and without the addresses of webhooks,
// which often hold a token.
func RedactJob(s JobSpec) JobSpec {
	s.Runtime.Env = hideValues(s.Runtime.Env)
	s.Notify = slices.Clone(s.Notify)
	for i := range s.Notify {
		s.Notify[i].Webhook = HiddenValue
	}
	return s
}

func hideValues(env []EnvVar) []EnvVar {
	env = slices.Clone(env)
	for i := range env {
		if env[i].Value != "" {
			env[i].Value = HiddenValue
		}
	}
	return env
}
