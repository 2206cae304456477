package simulate

import "time"

// Arrival is one request of a trace.
type Arrival struct {
	At       time.Duration // since the trace's zero; never before the one handed in last
	Function string
	Service  time.Duration // for which it occupies a slot
}

// Request is one row of a trace, before a profile says how long it takes.
type Request struct {
	At       time.Duration
	Function string
	Input    float64       // tokens
	Output   float64       // tokens
	Exec     time.Duration // measured service time; negative: the trace has none
}

// ServiceModel says how long a request occupies its slot where the trace does not.
type ServiceModel struct {
	Base      time.Duration // per request
	PerInput  time.Duration // per input token
	PerOutput time.Duration // per output token
	Measured  bool          // the trace's own time counts, where it has one
}

// maxService bounds a service time, so that sums of absurd ones stay numbers: 30 days.
const maxService = 30 * 24 * time.Hour

// Arrival completes a request with its service time.
func (m ServiceModel) Arrival(r Request) Arrival {
	a := Arrival{At: r.At, Function: r.Function, Service: r.Exec}
	if !m.Measured || r.Exec < 0 {
		sec := float64(m.Base) + r.Input*float64(m.PerInput) + r.Output*float64(m.PerOutput)
		a.Service = time.Duration(min(sec, float64(maxService)))
	}
	a.Service = max(0, min(a.Service, maxService))
	return a
}
