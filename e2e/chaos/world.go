package chaos

import (
	"fmt"
	"time"

	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/e2e/history"
	"stoker.dev/stoker/functions"
)

// functionsN is how many functions share the GPUs: many more than fit, so that every wake is also somebody's wait.
const functionsN = 20

// steadyN of them, the first, keep one replica whatever happens: nobody ever asks it to go.
const steadyN = 2

// name is the name of the i-th function.
func name(i int) string { return fmt.Sprintf("f%02d", i) }

// modes are what the model servers leave behind, by function: most nothing, some a grandchild in a session of its
// own, some one that has lost its parent too.
var modes = map[int]string{3: "grandchild", 8: "daemon", 13: "grandchild", 18: "daemon"}

// manifest is the i-th function: they differ in slots, replicas, GPUs, keep-alive, pace and manners.
func manifest(p *harness.Platform, i int) functions.Function {
	args := []string{"-delay", fmt.Sprintf("%dms", 5+5*(i%7)), "-load", fmt.Sprintf("%dms", 40*(i%5))}
	if m := modes[i]; m != "" {
		args = append(args, "-mode", m)
	}
	f := p.Function(name(i), args...)
	f.Spec.Scaling = functions.Scaling{Max: 1 + i%2, Slots: 1 + i%4, KeepAlive: functions.KeepAlive(fmt.Sprintf("%dms", 500+500*(i%4)))}
	if i < steadyN {
		f.Spec.Scaling = functions.Scaling{Min: 1, Max: 1, Slots: 4, KeepAlive: "1h"}
	}
	if i%9 == 5 {
		f.Spec.Resources.GPUs = 2
	}
	f.Spec.Results.Retention = functions.Duration(24 * time.Hour) // longer than the longest run: records are read at its end
	f.Spec.Queue.Attempts = 10                                    // a kill fails what is in flight; few are to be given up for that
	f.Spec.Queue.Backoff = functions.Backoff{Initial: functions.Duration(50 * time.Millisecond), Max: functions.Duration(time.Second)}
	return f
}

// deploy applies the functions and notes them.
func deploy(p *harness.Platform, b *book) {
	for i := range functionsN {
		f := manifest(p, i)
		p.Apply(f)
		b.note(history.Record{Kind: history.Declared, Function: f.Metadata.Name, Steady: i < steadyN})
	}
}
