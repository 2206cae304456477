package job

import (
	"slices"
	"time"
)

const (
	// FaultsFor is how long a GPU's errors are held against it: a shift of whoever looks after the machines,
	// and longer than most jobs run.
	FaultsFor = 24 * time.Hour
	// MaxFaults bounds how many are remembered; the oldest go first.
	MaxFaults = 1000
)

// Faults remembers which GPU reported what under which program. An error that is a program's own doing while
// one program has it is the GPU's once others have it there, too. The zero value is ready.
type Faults struct{ seen []fault }

type fault struct {
	gpu, program string
	code         int
	at           time.Time
}

// Take notes the events of a program's rank, and returns them with how many other programs had the same on the
// same GPU lately. It may be told the same again. The argument is left as it is.
func (f *Faults) Take(program string, xids []Xid) []Xid {
	out := slices.Clone(xids)
	for i, x := range out {
		f.seen = slices.DeleteFunc(f.seen, func(o fault) bool {
			return x.At.Sub(o.at) > FaultsFor || o == fault{x.GPU, program, x.Code, o.at}
		})
		for _, o := range f.seen {
			if o.gpu == x.GPU && o.code == x.Code {
				out[i].OtherJobs++
			}
		}
		f.seen = append(f.seen, fault{x.GPU, program, x.Code, x.At})
		f.seen = f.seen[max(0, len(f.seen)-MaxFaults):]
	}
	return out
}
