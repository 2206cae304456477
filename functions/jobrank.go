package functions

// Rank is what one rank of a job needs of its node and runs there, as providers know it from the
// replicas of functions: its program, its resources, its grace
// and how long it may take to begin. It has none of what serves requests.
func (s JobSpec) Rank() Spec {
	run := s.Runtime.program()
	run.Drain.Grace, run.Ready.Timeout = s.Preemption.Grace, Duration(BarrierTimeout)
	r := s.Resources
	return Spec{
		Runtime:   run,
		Resources: Resources{GPUs: r.GPUsPerNode, GPUMem: r.GPUMem, Products: r.Products, CPU: r.CPU, Memory: r.Memory},
		Placement: s.Placement,
	}
}
