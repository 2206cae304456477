package bench

import (
	"os"

	"github.com/prometheus/procfs"
)

// processes are those whose CPU time is counted, by what they are.
type processes map[string]int

// cpuTimes are seconds of CPU, user and system, by process. The kernel counts hundredths.
type cpuTimes map[string]float64

// cpu reads what the processes have used so far.
func (p processes) cpu() (cpuTimes, error) {
	out := cpuTimes{}
	for name, pid := range p {
		proc, err := procfs.NewProc(pid)
		if err != nil {
			return nil, err
		}
		stat, err := proc.Stat()
		if err != nil {
			return nil, err
		}
		out[name] = stat.CPUTime()
	}
	return out, nil
}

// since is what was used after before was read.
func (t cpuTimes) since(before cpuTimes) cpuTimes {
	out := cpuTimes{}
	for name, now := range t {
		out[name] = now - before[name]
	}
	return out
}

func (t cpuTimes) add(more cpuTimes) {
	for name, s := range more {
		t[name] += s
	}
}

// perRequest is in microseconds; what rounds to nothing is left out.
func (t cpuTimes) perRequest(requests int) map[string]float64 {
	const least = 0.5
	out := map[string]float64{}
	total := 0.0
	for name, s := range t {
		us := s * 1e6 / float64(max(requests, 1))
		total += us
		if us >= least {
			out[name] = us
		}
	}
	out["total"] = total
	return out
}

// processes of the world.
func (w *pathWorld) processes() processes {
	return processes{
		"callers": os.Getpid(), "platform": w.up.cmd.Process.Pid, "agent": w.agentPID, "backend": w.backendPID, "worker": w.worker.cmd.Process.Pid,
	}
}
