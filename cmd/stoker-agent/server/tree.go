package server

import (
	"slices"

	"github.com/prometheus/procfs"
)

// descendants lists the living processes below root, parents before children, zombies
// left out. As a subreaper we inherit every orphan of the tree, so whatever the model
// server started, however detached, is found below us.
func descendants(root int) ([]int, error) {
	procs, err := procfs.AllProcs()
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	zombie := map[int]bool{}
	for _, p := range procs {
		stat, err := p.Stat()
		if err != nil {
			continue // it went while we were reading
		}
		children[stat.PPID] = append(children[stat.PPID], p.PID)
		// The state is the first thread's: while there are others, files and GPUs are still held.
		zombie[p.PID] = (stat.State == "Z" || stat.State == "X") && stat.NumThreads <= 1
	}
	found := slices.Clone(children[root])
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i]]...)
	}
	return slices.DeleteFunc(found, func(pid int) bool { return zombie[pid] }), nil
}
